import assert from "node:assert/strict";
import { afterEach, beforeEach, test } from "node:test";

import { load } from "../src/index.js";
import { Rust, answer, fp32, frame, idle, loaded, rejection } from "./rust.js";

let rust: Rust;
beforeEach(() => {
    rust = new Rust();
});
afterEach(() => rust.close());

test("an answer has tensors, and how they came about", async () => {
    const model = await loaded(rust, load);
    const infer = model.infer({ x: 1 });
    const why = [["first", "model_failed: no"]];
    const timings = { queue_ms: 0.5, run_ms: 2, batch_requests: 3, batch_rows: 4 };
    const label = { datatype: "BYTES" as const, shape: [1], data: [new TextEncoder().encode("seven")] };
    (await rust.next("infer")).resolve(
        frame((add) => ({
            outputs: add({ scores: fp32(0.25, 0.75), label }),
            model: "m",
            version: "2",
            timings,
            cached: true,
            degraded: { by: "second", why },
        })),
    );
    const out = await infer;
    assert.deepEqual([out.model, out.version, out.cached], ["m", "2", true]);
    assert.deepEqual(out.timings, timings);
    assert.deepEqual(out.degraded, { by: "second", why });
    assert.deepEqual(out.names, ["scores", "label"]);
    assert.deepEqual([out.has("label"), out.has("labels")], [true, false]);
    assert.deepEqual(out.get("label", "BYTES").data.strings(), ["seven"]);
    assert.deepEqual(
        [...out].map(([name, { shape }]) => [name, shape]),
        [
            ["scores", [2]],
            ["label", [1]],
        ],
    );
    assert.equal((out.get("scores").data as Float32Array).buffer, out.get("label", "BYTES").data[0]!.buffer);
    assert.throws(() => out.get("score"), /there is no output `score`; there are `scores`, `label`/);
    assert.throws(() => out.get("scores", "FP64"), /output `scores` is FP32, not FP64/);
});

test("what an answer does not say is not there", async () => {
    const model = await loaded(rust, load);
    const infer = model.infer({ x: 1 });
    (await rust.next("infer")).resolve(frame(() => ({ outputs: [], model: "m" })));
    const out = await infer;
    assert.deepEqual(
        [out.version, out.cached, out.degraded, out.timings],
        [undefined, false, undefined, undefined],
    );
    assert.throws(() => out.get("y"), /there are none/);
});

test("an output may be the next input", async () => {
    const model = await loaded(rust, load);
    const infer = model.infer({ x: 1 });
    (await rust.next("infer")).resolve(answer(1, 2));
    void model.infer({ x: (await infer).get("y") });
    const call = await rust.next("infer");
    assert.deepEqual(call.take(call.json.inputs).x!.data, Float32Array.of(1, 2));
    call.resolve(answer());
});

test("each item of a batch has its own outcome", async () => {
    const model = await loaded(rust, load);
    const items = [{ x: [1] }, { x: "a" }, { x: [2, 3] }, { x: [4] }];
    const batch = model.inferBatch(items, { timeoutMs: 9, inFlight: 2 });
    const call = await rust.next("infer_batch");
    assert.deepEqual(Object.keys(call.json), ["page", "call", "model", "timeout_ms", "in_flight", "items"]);
    assert.equal(call.json.in_flight, 2);
    const sent = call.json.items.map(({ inputs }: any) => [...call.take(inputs).x!.data]);
    assert.deepEqual(sent, [[1], [2, 3], [4]]);
    call.resolve(
        frame((add) => ({
            items: [
                { outputs: add({ y: fp32(10) }), model: "m" },
                { error: { code: "model_failed", message: "a bad row", model: "m" } },
                { outputs: add({ y: fp32(40) }), model: "m" },
            ],
        })),
    );
    const settled = (await batch).map((outcome) =>
        outcome.status === "fulfilled" ? [...outcome.value.get("y").data] : outcome.reason.code,
    );
    assert.deepEqual(settled, [[10], "invalid_input", "model_failed", [40]]);
});

test("a batch of nothing asks nothing", async () => {
    const model = await loaded(rust, load);
    assert.deepEqual(await model.inferBatch([]), []);
    const settled = await model.inferBatch(new Set([{ x: "a" }]));
    assert.equal(settled[0]!.status, "rejected");
    await idle();
    assert.equal(rust.count("infer_batch"), 0);
});

test("a batch that could not be asked rejects", async () => {
    const model = await loaded(rust, load);
    const batch = rejection(model.inferBatch([{ x: 1 }]));
    (await rust.next("infer_batch")).reject({ code: "not_found", message: "gone" });
    assert.equal((await batch).code, "not_found");

    const short = rejection(model.inferBatch([{ x: 1 }]));
    (await rust.next("infer_batch")).resolve(frame(() => ({ items: [] })));
    assert.match((await short).message, /0 answers to 1 items/);

    const stop = new AbortController();
    const aborted = rejection(model.inferBatch([{ x: 1 }], { signal: stop.signal }));
    const call = await rust.next("infer_batch");
    stop.abort("enough");
    assert.equal(await aborted, "enough");
    assert.deepEqual((await rust.next("cancel")).json.calls, [call.json.call]);
});

test("what the source of a batch throws is thrown", async () => {
    const model = await loaded(rust, load);
    function* source() {
        yield { x: 1 };
        throw new RangeError("no more");
    }
    assert.equal((await rejection(model.inferBatch(source()))).message, "no more");
    assert.equal(rust.count("infer_batch"), 0);
});
