import assert from "node:assert/strict";
import { mock, test } from "node:test";

import { load } from "../src/index.js";
import { Rust, Wire, answer, frame, fp32, loaded } from "./rust.js";

test("tensors that come as numbers are taken, with one warning", async () => {
    const warn = mock.method(console, "warn", () => {});
    const rust = new Rust();
    const model = await loaded(rust, load);

    const infer = model.infer({ x: [1] });
    (await rust.next("infer")).resolve([...new Uint8Array(answer(4, 5))]);
    assert.deepEqual((await infer).get("y").data, Float32Array.of(4, 5));

    const results = model.stream([{ x: [1] }]);
    const first = results.next();
    const open = await rust.next("stream", "open");
    open.resolve();
    (await rust.next("stream", "push")).resolve();
    (await rust.next("stream", "end")).resolve();
    const result = frame((add) => ({
        results: [{ item: 0, last: true, outputs: add({ y: fp32(6) }) }],
        end: { items: 1, results: 1 },
    }));
    new Wire(open).send([...new Uint8Array(result)]);
    assert.deepEqual((await first).value!.outputs!.get("y").data, Float32Array.of(6));

    assert.equal(warn.mock.callCount(), 1);
    assert.match(String(warn.mock.calls[0]!.arguments[0]), /connect-src ipc: http:\/\/ipc\.localhost/);
    rust.close();
});
