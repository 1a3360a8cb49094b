import assert from "node:assert/strict";
import { getEventListeners } from "node:events";
import { afterEach, beforeEach, test } from "node:test";

import { type Job, type JobStatus, jobs, load } from "../src/index.js";
import { Rust, Wire, answer, idle, loaded, rejection } from "./rust.js";

let rust: Rust;
beforeEach(() => {
    rust = new Rust();
});
afterEach(() => rust.close());

const told = (state: string, more: object = {}): JobStatus => ({ id: "j1", model: "m", state, ...more });

async function job(): Promise<Job> {
    const found = jobs.get("j1");
    const call = await rust.next("job");
    assert.deepEqual(call.json, { id: "j1" });
    call.resolve(told("queued"));
    return found;
}

test("a request is submitted as a job", async () => {
    const model = await loaded(rust, load);
    const submitted = model.submit(
        { x: [1] },
        { key: "scan-17", keepMs: 1.5, attempts: 2, priority: "normal" },
    );
    const call = await rust.next("submit");
    const { page, call: number, inputs, ...rest } = call.json;
    assert.deepEqual(rest, { model: "m", priority: "normal", key: "scan-17", keep_ms: 2, attempts: 2 });
    assert.ok(page && number);
    assert.deepEqual(call.take(inputs).x!.data, Float32Array.of(1));
    call.resolve(told("queued"));
    const { id, model: name } = await submitted;
    assert.deepEqual([id, name], ["j1", "m"]);

    void model.submit({ x: [1] });
    const plain = await rust.next("submit");
    assert.deepEqual(Object.keys(plain.json), ["page", "call", "model", "inputs"]);
    plain.resolve(told("queued"));
});

test("a submission may be given up", async () => {
    const model = await loaded(rust, load);
    const stop = new AbortController();
    const submitted = rejection(model.submit({ x: 1 }, { signal: stop.signal }));
    const call = await rust.next("submit");
    stop.abort("enough");
    assert.equal(await submitted, "enough");
    assert.deepEqual((await rust.next("cancel")).json.calls, [call.json.call]);
});

test("a job is found, asked how it is, and cancelled", async () => {
    const found = await job();
    const status = found.status();
    (await rust.next("job")).resolve(told("running", { progress: { part: 0.5, text: "half" } }));
    assert.deepEqual((await status).progress, { part: 0.5, text: "half" });

    const cancelled = found.cancel();
    const call = await rust.next("job_cancel");
    assert.deepEqual(call.json, { id: "j1" });
    call.resolve(true);
    assert.equal(await cancelled, undefined);

    const missing = rejection(jobs.get("j2"));
    (await rust.next("job")).reject({ code: "not_found", message: "there is no job `j2`" });
    assert.equal((await missing).code, "not_found");
});

test("a result is waited for, as long as one likes", async () => {
    const found = await job();
    const result = found.result();
    const call = await rust.next("job_result");
    assert.deepEqual(Object.keys(call.json), ["page", "call", "id"]);
    call.resolve(answer(5));
    assert.deepEqual((await result).get("y").data, Float32Array.of(5));

    const stop = new AbortController();
    const second = rejection(found.result({ signal: stop.signal }));
    const { json } = await rust.next("job_result");
    stop.abort("enough");
    assert.equal(await second, "enough");
    assert.deepEqual((await rust.next("cancel")).json.calls, [json.call]);
    assert.equal(rust.count("job_cancel"), 0);

    const failed = rejection(found.result());
    (await rust.next("job_result")).reject({ code: "model_failed", message: "no" });
    assert.equal((await failed).code, "model_failed");
});

/** Watches a job; gives the states as they come. */
async function watched(signal?: AbortSignal) {
    const found = await job();
    const statuses = found.statuses({ signal });
    const first = statuses.next();
    const call = await rust.next("job");
    assert.deepEqual(Object.keys(call.json), ["page", "call", "id", "channel"]);
    return { statuses, first, call, wire: new Wire(call) };
}

test("statuses come until the final one", async () => {
    const { statuses, first, call, wire } = await watched();
    wire.send(told("queued"));
    assert.equal((await first).value!.state, "queued");
    const second = statuses.next();
    wire.send(told("running"));
    assert.equal((await second).value!.state, "running");
    wire.drop();
    call.resolve(told("done"));
    assert.equal((await statuses.next()).value!.state, "done");
    assert.equal((await statuses.next()).done, true);
    assert.equal(wire.isReleased, true);
    assert.equal(rust.count("cancel"), 0);
});

test("a final status that comes twice is given once", async () => {
    const { statuses, first, call, wire } = await watched();
    wire.send(told("done"));
    assert.equal((await first).value!.state, "done");
    call.resolve(told("done"));
    assert.equal((await statuses.next()).done, true);
});

test("who is slow misses statuses, but not the last", async () => {
    const { statuses, first, call, wire } = await watched();
    wire.send(told("queued"));
    await first;
    for (const part of [0.1, 0.2, 0.3]) wire.send(told("running", { progress: { part } }));
    assert.equal((await statuses.next()).value!.progress!.part, 0.3);
    wire.send(told("running", { progress: { part: 0.4 } }));
    call.resolve(told("failed", { error: { code: "model_failed", message: "no" } }));
    await idle();
    assert.equal((await statuses.next()).value!.error!.code, "model_failed");
    assert.equal((await statuses.next()).done, true);
    wire.send(told("running"));
});

test("breaking out of the loop ends the watch, not the job", async () => {
    const { statuses, first, call, wire } = await watched();
    wire.send(told("queued"));
    await first;
    await statuses.return!();
    assert.deepEqual((await rust.next("cancel")).json.calls, [call.json.call]);
    assert.equal(rust.count("job_cancel"), 0);
    wire.send(told("running"));
    wire.drop();
    call.reject({ code: "cancelled", message: "the page gave it up" });
    await idle();
    assert.equal(wire.isReleased, true);
    assert.equal((await statuses.next()).done, true);
});

test("aborting a watch throws at once", async () => {
    const stop = new AbortController();
    const { statuses, first, call, wire } = await watched(stop.signal);
    wire.send(told("queued"));
    await first;
    wire.send(told("running"));
    stop.abort("enough");
    assert.equal(await rejection(statuses.next()), "enough");
    assert.deepEqual((await rust.next("cancel")).json.calls, [call.json.call]);
    wire.send(told("done"));
    assert.equal((await statuses.next()).done, true);
});

test("a watch that is over leaves nothing at the signal", async () => {
    const stop = new AbortController();
    const { statuses, first, call } = await watched(stop.signal);
    call.resolve(told("done"));
    await first;
    assert.equal((await statuses.next()).done, true);
    assert.equal(getEventListeners(stop.signal, "abort").length, 0);
});

test("a watch that is refused throws why, and lets go of its channel", async () => {
    const { first, call, wire } = await watched();
    call.reject({ code: "not_found", message: "it is not kept any more" });
    assert.equal((await rejection(first)).code, "not_found");
    assert.equal(wire.isReleased, true);
});
