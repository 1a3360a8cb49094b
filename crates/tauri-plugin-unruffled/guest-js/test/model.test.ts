import assert from "node:assert/strict";
import { afterEach, beforeEach, test } from "node:test";

import { type LoadProgress, load, metrics, models } from "../src/index.js";
import { Rust, Wire, idle, loaded, rejection, status } from "./rust.js";

let rust: Rust;
beforeEach(() => {
    rust = new Rust();
});
afterEach(() => rust.close());

test("a load tells how far it is, and gives the model", async () => {
    const heard: LoadProgress[] = [];
    const loading = load("m", { onProgress: (progress) => heard.push(progress) });
    const call = await rust.next("load");
    const wire = new Wire(call);
    assert.deepEqual(Object.keys(call.json), ["page", "call", "model", "channel"]);
    assert.equal(call.json.model, "m");
    wire.send({ state: "loading" });
    wire.send({ state: "loading", fraction: 0.5 });
    // A whole status says it in its own words.
    wire.send({ ...status([]), state: "loading", progress: 0.75 });
    const told = status([{ name: "x", datatype: "FP32", shape: ["n"] }], { labels: { y: ["a", "b"] } });
    call.resolve(told);
    const model = await loading;
    assert.deepEqual([model.name, model.status], ["m", told]);
    wire.send({ state: "ready", fraction: 1 });
    assert.deepEqual(heard, [
        { state: "loading", fraction: undefined },
        { state: "loading", fraction: 0.5 },
        { state: "loading", fraction: 0.75 },
    ]);
    wire.drop();
    assert.equal(wire.isReleased, true);
});

test("nobody need listen", async () => {
    const loading = load("m");
    const call = await rust.next("load");
    new Wire(call).send({ state: "loading" });
    call.resolve(status([]));
    assert.equal((await loading).name, "m");
});

test("a load that fails rejects with why, and lets go of its channel", async () => {
    const loading = rejection(load("m"));
    const call = await rust.next("load");
    call.reject({ code: "not_found", message: "there is no model `m`", model: "m" });
    const { code, model } = await loading;
    assert.deepEqual([code, model], ["not_found", "m"]);
    assert.equal(new Wire(call).isReleased, true);
});

test("who stops waiting for a load hears no more of it", async () => {
    const stop = new AbortController();
    const heard: LoadProgress[] = [];
    const loading = rejection(
        load("m", { signal: stop.signal, onProgress: (progress) => heard.push(progress) }),
    );
    const call = await rust.next("load");
    const wire = new Wire(call);
    stop.abort("enough");
    wire.send({ state: "loading", fraction: 0.5 });
    assert.equal(await loading, "enough");
    assert.deepEqual((await rust.next("cancel")).json.calls, [call.json.call]);
    assert.deepEqual(heard, []);
    call.reject({ code: "cancelled", message: "the page gave it up" });
    await idle();
    assert.equal(wire.isReleased, true);
});

test("models are listed and unloaded", async () => {
    const listed = models();
    const call = await rust.next("models");
    assert.deepEqual(call.json, {});
    call.resolve([status([])]);
    assert.equal((await listed)[0]!.name, "m");

    const model = await loaded(rust, load);
    const unloaded = model.unload();
    const unload = await rust.next("unload");
    assert.deepEqual(unload.json, { model: "m" });
    unload.resolve();
    assert.equal(await unloaded, undefined);
});

test("metrics are what the plugin tells", async () => {
    const asked = metrics();
    const told = { models: [], main_thread: { p50_ms: 1, p99_ms: 2, max_ms: 3 }, runtime: null };
    (await rust.next("metrics")).resolve(told);
    assert.deepEqual(await asked, told);
});
