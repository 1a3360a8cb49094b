import assert from "node:assert/strict";
import { afterEach, beforeEach, test } from "node:test";

import { load } from "../src/index.js";
import { Rust, answer, loaded, rejection } from "./rust.js";

let rust: Rust;
beforeEach(() => {
    rust = new Rust();
});
afterEach(() => rust.close());

async function begun() {
    const model = await loaded(rust, load);
    const session = model.session();
    const begin = await rust.next("session", "begin");
    begin.resolve({ session: "s1" });
    return { session: await session, page: begin.json.page as string, json: begin.json };
}

test("a session is begun, asked and ended", async () => {
    const { session, page, json } = await begun();
    assert.deepEqual(json, { page, do: "begin", model: "m" });
    assert.equal(session.id, "s1");

    const infer = session.infer({ x: 1 }, { timeoutMs: 5 });
    const call = await rust.next("infer");
    assert.deepEqual([call.json.session, call.json.timeout_ms, call.json.page], ["s1", 5, page]);
    call.resolve(answer(2));
    assert.deepEqual((await infer).get("y").data, Float32Array.of(2));

    const ends = [session.end(), session.end()];
    const end = await rust.next("session", "end");
    assert.deepEqual(end.json, { page, do: "end", model: "m", session: "s1" });
    end.resolve();
    await Promise.all(ends);
    await session.end();
    assert.equal(rust.count("session", "end"), 1);
});

test("a call of a session is aborted like any other", async () => {
    const { session } = await begun();
    const stop = new AbortController();
    const infer = rejection(session.infer({ x: 1 }, { signal: stop.signal }));
    const call = await rust.next("infer");
    stop.abort("enough");
    assert.equal(await infer, "enough");
    assert.deepEqual((await rust.next("cancel")).json.calls, [call.json.call]);
});

test("a model without a state has no sessions", async () => {
    const model = await loaded(rust, load);
    const session = rejection(model.session());
    (await rust.next("session")).reject({
        code: "invalid_input",
        message: "the model keeps no state",
        model: "m",
    });
    assert.equal((await session).code, "invalid_input");
});

test("disposing ends it, where there is such a thing", async () => {
    const { session } = await begun();
    // Node 20 has the symbol.
    const disposed = session[Symbol.asyncDispose]();
    (await rust.next("session", "end")).resolve();
    await disposed;
    assert.equal(Object.keys(session).includes("asyncDispose"), false);
});
