import assert from "node:assert/strict";
import { getEventListeners } from "node:events";
import { afterEach, beforeEach, test } from "node:test";

import { UnruffledError, load, metrics, models } from "../src/index.js";
import { Rust, answer, idle, loaded, rejection } from "./rust.js";

let rust: Rust;
beforeEach(() => {
    rust = new Rust();
});
afterEach(() => rust.close());

test("a request says who asks whom for what", async () => {
    const model = await loaded(rust, load);
    const infer = model.infer({ x: [1, 2] }, { timeoutMs: 50, priority: "bulk", supersede: "k" });
    const call = await rust.next("infer");
    const { page, call: number, inputs, ...rest } = call.json;
    assert.match(page, /^[0-9a-f]{16}$/);
    assert.ok(number > rust.calls[0]!.json.call);
    assert.equal(rust.calls[0]!.json.page, page);
    assert.deepEqual(rest, { model: "m", timeout_ms: 50, priority: "bulk", supersede: "k" });
    assert.deepEqual(call.take(inputs).x!.data, Float32Array.of(1, 2));
    call.resolve(answer(3));
    const out = await infer;
    assert.deepEqual(out.get("y", "FP32").data, Float32Array.of(3));

    void model.infer({ x: [1] });
    const plain = await rust.next("infer");
    assert.deepEqual(Object.keys(plain.json), ["page", "call", "model", "inputs"]);
    assert.equal(plain.json.call, number + 1);
    plain.resolve(answer());
});

test("inputs are copied before the call returns", async () => {
    const model = await loaded(rust, load);
    const x = Float32Array.of(1);
    const infer = model.infer({ x });
    x[0] = 2;
    const call = await rust.next("infer");
    assert.deepEqual(call.take(call.json.inputs).x!.data, Float32Array.of(1));
    call.resolve(answer());
    await infer;
});

test("what is aborted already asks nothing", async () => {
    const model = await loaded(rust, load);
    const job = model.submit({ x: 1 });
    (await rust.next("submit")).resolve({ id: "j", model: "m", state: "queued" });
    const { result, statuses } = await job.then((job) => ({
        result: job.result.bind(job),
        statuses: job.statuses.bind(job),
    }));
    const before = rust.calls.length;
    const reason = new Error("never mind");
    const signal = AbortSignal.abort(reason);
    const all = [
        () => load("m", { signal }),
        () => model.infer({ x: 1 }, { signal }),
        // Even what does not fit.
        () => model.infer({ x: "a" }, { signal }),
        () => model.inferBatch([{ x: 1 }], { signal }),
        () => model.submit({ x: 1 }, { signal }),
        () => model.stream([{ x: 1 }], { signal }).next(),
        () => model.outputs({ x: 1 }, { signal }).next(),
        () => result({ signal }),
        () => statuses({ signal }).next(),
    ];
    for (const ask of all) assert.equal(await rejection(ask()), reason);
    await idle();
    assert.equal(rust.calls.length, before);
    // Nor does it take a number, or a stream that nobody reads.
    model.stream([{ x: 1 }]);
    void model.infer({ x: 1 });
    const call = await rust.next("infer");
    assert.equal(call.json.call, rust.calls[before - 1]!.json.call + 1);
    call.resolve(answer());
});

test("aborting rejects at once, and then tells Rust", async () => {
    const model = await loaded(rust, load);
    const stop = new AbortController();
    const infer = model.infer({ x: 1 }, { signal: stop.signal });
    const call = await rust.next("infer");
    const reason = new Error("enough");
    stop.abort(reason);
    assert.equal(rust.count("cancel"), 0);
    assert.equal(await rejection(infer), reason);
    const cancel = await rust.next("cancel");
    assert.deepEqual(cancel.json, { page: call.json.page, calls: [call.json.call] });
    // Whatever still comes is too late, and harms nobody.
    cancel.reject("plugin:unruffled|cancel not allowed");
    call.reject({ code: "cancelled", message: "the page gave it up" });
    await idle();
});

test("an answer that comes after the abort is dropped", async () => {
    const model = await loaded(rust, load);
    const stop = new AbortController();
    const infer = model.infer({ x: 1 }, { signal: stop.signal });
    const call = await rust.next("infer");
    stop.abort();
    call.resolve(answer(1));
    assert.equal((await rejection(infer)).name, "AbortError");
});

test("aborting after the answer does nothing", async () => {
    const model = await loaded(rust, load);
    const stop = new AbortController();
    const infer = model.infer({ x: 1 }, { signal: stop.signal });
    (await rust.next("infer")).resolve(answer(1));
    await infer;
    assert.equal(getEventListeners(stop.signal, "abort").length, 0);
    stop.abort();
    await idle();
    assert.equal(rust.count("cancel"), 0);
});

test("aborts of one moment are told together", async () => {
    const model = await loaded(rust, load);
    const stop = new AbortController();
    const asked = [1, 2, 3].map((x) => rejection(model.infer({ x }, { signal: stop.signal })));
    const calls = [await rust.next("infer"), await rust.next("infer"), await rust.next("infer")];
    stop.abort();
    await Promise.all(asked);
    assert.deepEqual(
        (await rust.next("cancel")).json.calls,
        calls.map((call) => call.json.call),
    );
    const later = new AbortController();
    const last = rejection(model.infer({ x: 4 }, { signal: later.signal }));
    const call = await rust.next("infer");
    later.abort();
    await last;
    assert.deepEqual((await rust.next("cancel")).json.calls, [call.json.call]);
    assert.equal(rust.count("cancel"), 2);
});

test("errors have their code, their model, and when to try again", async () => {
    const model = await loaded(rust, load);
    const cases: [body: object, retryable: boolean][] = [
        [{ code: "invalid_input", message: "a" }, false],
        [{ code: "not_found", message: "a", model: "m" }, false],
        [{ code: "not_ready", message: "a" }, true],
        [{ code: "overloaded", message: "full", model: "m", retry_after_ms: 40 }, true],
        [{ code: "deadline_exceeded", message: "a" }, true],
        [{ code: "cancelled", message: "a" }, false],
        [{ code: "model_failed", message: "a" }, false],
        [{ code: "model_crashed", message: "a" }, true],
        [{ code: "shutting_down", message: "a" }, false],
        [{ code: "forbidden", message: "a" }, false],
        [{ code: "duplicate", message: "a" }, false],
        [{ code: "unsupported", message: "a" }, false],
        [{ code: "of_tomorrow", message: "a" }, false],
    ];
    for (const [body, retryable] of cases) {
        const infer = rejection(model.infer({ x: 1 }));
        (await rust.next("infer")).reject(body);
        const error = await infer;
        assert.ok(error instanceof UnruffledError && error instanceof Error);
        const told = {
            code: error.code,
            message: error.message,
            ...(error.model === undefined ? {} : { model: error.model }),
            ...(error.retryAfterMs === undefined ? {} : { retry_after_ms: error.retryAfterMs }),
        };
        assert.deepEqual(told, body);
        assert.equal(error.retryable, retryable, error.code);
        assert.equal(error.name, "UnruffledError");
    }
});

test("what Tauri itself refuses has a code", async () => {
    const cases: [reason: unknown, code: string, message: RegExp][] = [
        ["Command plugin:unruffled|metrics not allowed by ACL", "forbidden", /not allowed by ACL/],
        ["unruffled.metrics not allowed. Permissions associated ...", "forbidden", /not allowed/],
        ["plugin unruffled not found", "unsupported", /plugin unruffled not found/],
        ["invalid args `model` for command `load`: ...", "unsupported", /invalid args/],
        [{ message: "no code" }, "unsupported", /no error/],
        [null, "unsupported", /no error/],
        [new TypeError("x is undefined"), "unsupported", /shown by Tauri\? x is undefined/],
    ];
    for (const [reason, code, message] of cases) {
        const asked = rejection(metrics());
        (await rust.next("metrics")).reject(reason);
        const error = await asked;
        assert.equal(error.code, code);
        assert.match(error.message, message);
    }
});

test("outside Tauri it says so", async () => {
    rust.close();
    delete (globalThis as any).__TAURI_INTERNALS__;
    for (const asked of [models(), load("m")]) {
        const error = await rejection(asked);
        assert.equal(error.code, "unsupported");
        assert.match(error.message, /is this page shown by Tauri/);
    }
});

test("an answer that is no frame rejects", async () => {
    const model = await loaded(rust, load);
    const infer = rejection(model.infer({ x: 1 }));
    (await rust.next("infer")).resolve({ outputs: [] });
    assert.equal((await infer).code, "unsupported");
});
