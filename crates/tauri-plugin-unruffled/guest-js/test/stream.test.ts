import assert from "node:assert/strict";
import { getEventListeners } from "node:events";
import { afterEach, beforeEach, mock, test } from "node:test";

import { type Inputs, type Model, type StreamResult, UnruffledError, load } from "../src/index.js";
import { Call, Rust, Wire, fp32, frame, idle, loaded, rejection } from "./rust.js";

let rust: Rust;
let model: Model;
beforeEach(async () => {
    // What is there at once goes together however slow this machine is.
    mock.method(performance, "now", () => 0);
    rust = new Rust();
    model = await loaded(rust, load);
});
afterEach(() => {
    rust.close();
    mock.restoreAll();
});

/** Rust's side of a stream that was opened. */
class Course {
    readonly open: Call;
    readonly wire: Wire;

    constructor(open: Call) {
        this.open = open;
        this.wire = new Wire(open);
    }

    /** What the next push has for input `x`. It stays unanswered. */
    async push(): Promise<{ readonly call: Call; readonly items: number[][] }> {
        const call = await rust.next("stream", "push");
        assert.equal(call.json.call, this.open.json.call);
        const items = call.json.items.map(({ inputs }: any) => [...(call.take(inputs).x?.data ?? [])]);
        return { call, items };
    }

    results(...results: [item: number, y: number, last?: boolean][]): void {
        this.wire.send(
            frame((add) => ({
                results: results.map(([item, y, last = true]) => ({
                    item,
                    last,
                    model: "m",
                    outputs: add({ y: fp32(y) }),
                })),
            })),
        );
    }

    json(json: object): void {
        this.wire.send(frame(() => json));
    }

    end(error?: object): void {
        this.json({ end: error ? { error } : { items: 0, results: 0 } });
        this.wire.drop();
    }
}

/** Opens the next stream. */
async function opened(): Promise<Course> {
    const open = await rust.next("stream", "open");
    open.resolve();
    return new Course(open);
}

function y({ item, last, outputs, error }: StreamResult): unknown[] {
    return [item, last, error?.code ?? (outputs ? outputs.get("y").data[0] : "nothing")];
}

/** A source that tells how often it was asked, and whether it was closed. */
class Watched implements AsyncIterable<Inputs> {
    asked = 0;
    closed = 0;
    readonly #pulled: ((result: IteratorResult<Inputs>) => void)[] = [];
    readonly #failed: ((error: unknown) => void)[] = [];

    [Symbol.asyncIterator](): AsyncIterator<Inputs> {
        return {
            next: () => {
                this.asked += 1;
                return new Promise((resolve, reject) => {
                    this.#pulled.push(resolve);
                    this.#failed.push(reject);
                });
            },
            return: async () => {
                this.closed += 1;
                return { done: true, value: undefined };
            },
        };
    }

    give(x: number): void {
        this.#failed.shift();
        this.#pulled.shift()!({ done: false, value: { x } });
    }

    fail(error: unknown): void {
        this.#pulled.shift();
        this.#failed.shift()!(error);
    }

    end(): void {
        this.#failed.shift();
        this.#pulled.shift()!({ done: true, value: undefined });
    }
}

test("items go in, results come out in order, both ends are explicit", async () => {
    const results = model.stream([{ x: 1 }, { x: 2 }, { x: 3 }], {
        priority: "bulk",
        timeoutMs: 9,
        inFlight: 8,
        credit: 5,
    });
    const taken = (async () => {
        const told = [];
        for await (const result of results) told.push(y(result));
        return told;
    })();
    const course = await opened();
    const { page, call, channel, ...open } = course.open.json;
    assert.match(page, /^[0-9a-f]{16}$/);
    assert.ok(call > 0 && channel);
    assert.deepEqual(open, {
        do: "open",
        model: "m",
        priority: "bulk",
        timeout_ms: 9,
        in_flight: 8,
        credit: 5,
    });

    const push = await course.push();
    assert.deepEqual(push.items, [[1], [2], [3]]);
    assert.deepEqual(Object.keys(push.call.json), ["page", "call", "do", "items"]);
    course.results([0, 10], [1, 20]);
    assert.equal(rust.count("stream", "end"), 0);
    push.call.resolve();
    const end = await rust.next("stream", "end");
    assert.deepEqual(end.json, { page, call, do: "end" });
    end.resolve();
    course.results([2, 30]);
    course.end();
    assert.deepEqual(await taken, [
        [0, true, 10],
        [1, true, 20],
        [2, true, 30],
    ]);
    assert.equal(course.wire.isReleased, true);
    assert.equal(rust.count("cancel"), 0);
});

test("terms that were not said are not sent", async () => {
    const first = model.stream([]).next();
    const course = await opened();
    assert.deepEqual(Object.keys(course.open.json), ["page", "call", "do", "model", "credit", "channel"]);
    assert.equal(course.open.json.credit, 64);
    (await rust.next("stream", "end")).resolve();
    course.end();
    assert.deepEqual(await first, { done: true, value: undefined });
    assert.equal(rust.count("stream", "push"), 0);
});

test("nothing begins before the first result is asked for", async () => {
    const source = new Watched();
    const results = model.stream(source);
    await idle();
    assert.equal(rust.count("stream"), 0);
    await results.return!();
    assert.deepEqual(await results.next(), { done: true, value: undefined });
    await idle();
    assert.equal(rust.count("stream") + rust.count("cancel") + source.asked, 0);
});

test("the source is not asked before the stream is open, nor while a push is under way", async () => {
    const source = new Watched();
    const results = model.stream(source);
    const first = results.next();
    const open = await rust.next("stream", "open");
    await idle();
    assert.equal(source.asked, 0);
    open.resolve();
    const course = new Course(open);
    await idle();
    assert.equal(source.asked, 1);

    source.give(1);
    const push = await course.push();
    assert.deepEqual(push.items, [[1]]);
    // To see whether there is more at once it was asked once more, before the push; that waits now.
    await idle();
    assert.equal(source.asked, 2);
    source.give(2);
    await idle();
    assert.deepEqual([source.asked, rust.count("stream", "push")], [2, 1]);
    push.call.resolve();
    const second = await course.push();
    assert.deepEqual(second.items, [[2]]);
    await results.return!();
    assert.deepEqual(await first, { done: true, value: undefined });
    assert.equal(source.closed, 1);
});

test("a plain source is asked for what a push takes, and for no more", async () => {
    let asked = 0;
    let closed = false;
    function* source() {
        try {
            for (;;) yield { x: (asked += 1) };
        } finally {
            closed = true;
        }
    }
    const results = model.stream(source(), { inFlight: 3 });
    void results.next();
    const course = await opened();
    const push = await course.push();
    assert.deepEqual(push.items, [[1], [2], [3]]);
    await idle();
    assert.deepEqual([asked, rust.count("stream", "push")], [3, 1]);
    push.call.resolve();
    assert.deepEqual((await course.push()).items, [[4], [5], [6]]);
    await results.return!();
    assert.equal(closed, true);
});

test("what an async source has at once goes together", async () => {
    async function* numbers() {
        for (let x = 0; x < 70; x += 1) yield x;
    }
    async function* doubled() {
        for await (const x of numbers()) yield 2 * x;
    }
    async function* source() {
        for await (const x of doubled()) yield { x };
    }
    const results = model.stream(source(), { inFlight: 1000 });
    void results.next();
    const course = await opened();
    const push = await course.push();
    assert.equal(push.items.length, 64);
    push.call.resolve();
    assert.deepEqual((await course.push()).items, [[128], [130], [132], [134], [136], [138]]);
    await results.return!();
});

test("a push has no more than 400 KB, unless one item has", async () => {
    const kilobytes = (count: number) => ({ x: new Float32Array(count * 256) });
    const sizes = [150, 150, 150, 900, 10, 500, 1];
    const results = model.stream(sizes.map(kilobytes));
    void results.next();
    const course = await opened();
    const pushed = [];
    for (let count = 0; count < sizes.length;) {
        const { call, items } = await course.push();
        pushed.push(items.map((item) => item.length / 256));
        count += items.length;
        call.resolve();
    }
    assert.deepEqual(pushed, [[150, 150], [150], [900], [10], [500], [1]]);
    await results.return!();
});

test("a source that takes its time is asked for no more than that time gives", async () => {
    let now = 0;
    mock.method(performance, "now", () => now);
    const source = function* () {
        for (let x = 0; ; x += 1) {
            now += 3;
            yield { x };
        }
    };
    const results = model.stream(source());
    void results.next();
    const { items } = await (await opened()).push();
    assert.deepEqual(items, [[0], [1], [2]]);
    await results.return!();
});

test("credit is given back for half of it at a time, as results are taken", async () => {
    const results = model.stream(new Watched(), { credit: 4 });
    const first = results.next();
    const course = await opened();
    course.results([0, 0], [1, 1], [2, 2], [3, 3]);
    assert.deepEqual(y((await first).value!), [0, true, 0]);
    await idle();
    assert.equal(rust.count("stream", "taken"), 0);

    await results.next();
    const { page, call } = course.open.json;
    const taken = await rust.next("stream", "taken");
    assert.deepEqual(taken.json, { page, call, do: "taken", count: 2 });
    taken.resolve();
    await results.next();
    assert.equal(rust.count("stream", "taken"), 1);
    await results.next();
    assert.equal((await rust.next("stream", "taken")).json.count, 2);
    // Rust never has less than it began with, for what was taken.
    const waiting = [results.next(), results.next(), results.next()];
    course.results([4, 4], [5, 5], [6, 6]);
    await Promise.all(waiting);
    assert.equal((await rust.next("stream", "taken")).json.count, 2);
    await results.return!();
    await idle();
    assert.equal(rust.count("stream", "taken"), 3);
});

test("credit is a whole number that Rust knows", async () => {
    for (const [credit, sent] of [
        [0, 1],
        [2.5, 2],
        [1e9, 4096],
    ]) {
        const results = model.stream([], { credit });
        void results.next();
        assert.equal((await opened()).open.json.credit, sent);
        await results.return!();
    }
});

test("a credit of one is given back for each", async () => {
    const results = model.stream(new Watched(), { credit: 1 });
    const first = results.next();
    const course = await opened();
    course.results([0, 0]);
    await first;
    assert.equal((await rust.next("stream", "taken")).json.count, 1);
    await results.return!();
});

test("what is left over after the end is not given back", async () => {
    const results = model.stream([], { credit: 6 });
    const first = results.next();
    const course = await opened();
    course.results([0, 0], [1, 1], [2, 2]);
    course.end();
    await first;
    assert.deepEqual(y((await results.next()).value!), [1, true, 1]);
    assert.deepEqual(y((await results.next()).value!), [2, true, 2]);
    assert.equal((await results.next()).done, true);
    await idle();
    assert.equal(rust.count("stream", "taken"), 0);
});

test("an item may have several results", async () => {
    const results = model.stream(new Watched());
    const first = results.next();
    const course = await opened();
    course.results([0, 1, false], [0, 2, false]);
    const timings = { queue_ms: 1, run_ms: 2, batch_requests: 1, batch_rows: 1 };
    const degraded = { by: "other", why: [] };
    course.json({
        results: [
            { item: 0, last: true, model: "m", outputs: [], timings, degraded },
            { item: 1, last: true },
        ],
    });
    assert.deepEqual(y((await first).value!), [0, false, 1]);
    assert.deepEqual(y((await results.next()).value!), [0, false, 2]);
    const last = (await results.next()).value!;
    assert.deepEqual(y(last), [0, true, "nothing"]);
    assert.deepEqual([last.timings, last.degraded], [timings, degraded]);
    assert.deepEqual(y((await results.next()).value!), [1, true, "nothing"]);
    await results.return!();
});

test("an item that fails or does not fit keeps its place, and the stream goes on", async () => {
    const results = model.stream([{ x: 1 }, { x: "a" }, { x: 3 }], { credit: 8 });
    const first = results.next();
    const course = await opened();
    const push = await course.push();
    assert.deepEqual(push.items, [[1], [], [3]]);
    push.call.resolve();
    course.json({
        results: [{ item: 0, last: true, error: { code: "model_failed", message: "a bad row" } }],
    });
    // Even if the model makes something of no inputs at all.
    course.results([1, 7, false], [1, 8], [2, 30]);
    const told = [(await first).value!, (await results.next()).value!, (await results.next()).value!];
    assert.deepEqual(told.map(y), [
        [0, true, "model_failed"],
        [1, true, "invalid_input"],
        [2, true, 30],
    ]);
    assert.match(told[1]!.error!.message, /input `x`: got the text "a"/);
    // What was left out has taken its credit, too.
    assert.equal((await rust.next("stream", "taken")).json.count, 4);
    await results.return!();
});

test("breaking out of the loop cancels, and closes the source without waiting for it", async () => {
    const source = new Watched();
    const loop = (async () => {
        for await (const result of model.stream(source)) return y(result);
        return undefined;
    })();
    const course = await opened();
    await idle();
    source.give(1);
    const push = await course.push();
    push.call.resolve();
    course.results([0, 10], [1, 20]);
    assert.deepEqual(await loop, [0, true, 10]);
    const cancel = await rust.next("cancel");
    assert.deepEqual(cancel.json.calls, [course.open.json.call]);
    assert.equal(source.closed, 1);

    // Late messages harm nobody, and the callback goes with Rust's end of the channel.
    course.results([2, 30]);
    course.wire.send("nonsense");
    source.give(2);
    await idle();
    assert.equal(rust.count("stream", "push"), 1);
    course.end({ code: "cancelled", message: "the page gave it up" });
    assert.equal(course.wire.isReleased, true);
});

test("a source that fails after the end harms nobody", async () => {
    const source = new Watched();
    const results = model.stream(source);
    void results.next();
    await opened();
    await idle();
    source.give(1);
    await rust.next("stream", "push");
    await results.return!();
    // It was asked to see whether there is more at once.
    assert.equal(source.asked, 2);
    source.fail(new Error("too late"));
    await idle();
});

test("what the loop throws cancels", async () => {
    const loop = (async () => {
        for await (const _ of model.stream(new Watched())) throw new RangeError("mine");
    })();
    const course = await opened();
    course.results([0, 10]);
    assert.equal((await rejection(loop)).message, "mine");
    await rust.next("cancel");
});

test("aborting throws at once, drops what is here, and closes the source", async () => {
    const source = new Watched();
    const stop = new AbortController();
    const results = model.stream(source, { signal: stop.signal });
    const first = results.next();
    const course = await opened();
    await idle();
    course.results([0, 10], [1, 20]);
    await first;
    stop.abort("enough");
    assert.equal(await rejection(results.next()), "enough");
    assert.deepEqual(await results.next(), { done: true, value: undefined });
    assert.deepEqual((await rust.next("cancel")).json.calls, [course.open.json.call]);
    await idle();
    assert.equal(source.closed, 1);
    course.results([2, 30]);
    course.end({ code: "cancelled", message: "the page gave it up" });
});

test("aborting wakes whoever waits, also while the stream is being opened", async () => {
    const source = new Watched();
    const stop = new AbortController();
    const waiting = rejection(model.stream(source, { signal: stop.signal }).next());
    const open = await rust.next("stream", "open");
    const wire = new Wire(open);
    stop.abort("enough");
    assert.equal(await waiting, "enough");
    assert.deepEqual((await rust.next("cancel")).json.calls, [open.json.call]);
    // Rust has never had the channel, and drops nothing.
    open.reject({ code: "cancelled", message: "the page gave it up" });
    await idle();
    assert.deepEqual([source.asked, wire.isReleased], [0, true]);
});

test("aborting a stream that has ended does nothing", async () => {
    const stop = new AbortController();
    const first = model.stream([], { signal: stop.signal }).next();
    const course = await opened();
    course.end();
    await first;
    assert.equal(getEventListeners(stop.signal, "abort").length, 0);
    stop.abort();
    await idle();
    assert.equal(rust.count("cancel"), 0);
});

test("what the source throws is thrown behind the results that are here, and cancels", async () => {
    const source = new Watched();
    const results = model.stream(source);
    const first = results.next();
    const course = await opened();
    await idle();
    course.results([0, 10], [1, 20]);
    // One with a code is no different.
    const error = new UnruffledError("cancelled", "superseded");
    source.fail(error);
    assert.deepEqual(y((await first).value!), [0, true, 10]);
    assert.deepEqual((await rust.next("cancel")).json.calls, [course.open.json.call]);
    assert.deepEqual(y((await results.next()).value!), [1, true, 20]);
    assert.equal(await rejection(results.next()), error);
    // It has closed itself.
    assert.equal(source.closed, 0);
});

test("a plain source may throw as well, at once or later", async () => {
    function* source() {
        yield { x: 1 };
        throw new RangeError("no more");
    }
    const failed = rejection(model.stream(source(), { inFlight: 1 }).next());
    const course = await opened();
    (await course.push()).call.resolve();
    assert.equal((await failed).message, "no more");
    await rust.next("cancel");

    const useless = rejection(model.stream(7 as never).next());
    await opened();
    assert.ok((await useless) instanceof TypeError);
    await rust.next("cancel");
});

test("an end with an error throws it behind the results", async () => {
    const source = new Watched();
    const results = model.stream(source);
    const first = results.next();
    const course = await opened();
    await idle();
    course.results([0, 10], [1, 20]);
    course.end({ code: "shutting_down", message: "the app is ending" });
    await first;
    await results.next();
    assert.equal((await rejection(results.next())).code, "shutting_down");
    assert.equal(source.closed, 1);
    await idle();
    assert.equal(rust.count("cancel"), 0);
});

test("a push that comes too late leaves the reason to the channel", async () => {
    const results = model.stream([{ x: 1 }]);
    const first = rejection(results.next());
    const course = await opened();
    const push = await course.push();
    push.call.reject({ code: "cancelled", message: "the stream is over" });
    await idle();
    course.end({ code: "not_ready", message: "the model was unloaded" });
    assert.equal((await first).code, "not_ready");
    assert.equal(rust.count("stream", "end"), 0);
});

test("a push that fails ends the stream", async () => {
    for (const todo of ["push", "end"]) {
        const failed = rejection(model.stream([{ x: 1 }]).next());
        await opened();
        if (todo === "end") (await rust.next("stream", "push")).resolve();
        (await rust.next("stream", todo)).reject({ code: "invalid_input", message: "no" });
        assert.equal((await failed).code, "invalid_input");
        await rust.next("cancel");
    }
});

test("a stream that is refused throws why, and lets go of its channel", async () => {
    const source = new Watched();
    const failed = rejection(model.stream(source).next());
    const open = await rust.next("stream", "open");
    open.reject("unruffled.stream not allowed");
    assert.equal((await failed).code, "forbidden");
    assert.equal(new Wire(open).isReleased, true);
    assert.equal(source.asked, 0);
});

test("a message that cannot be read ends the stream", async () => {
    const failed = rejection(model.stream(new Watched()).next());
    const course = await opened();
    course.wire.send(new ArrayBuffer(2));
    assert.equal((await failed).code, "unsupported");
    await rust.next("cancel");
});

test("messages of one stream are none of another's", async () => {
    const [a, b] = [model.stream([{ x: 1 }]), model.stream([{ x: 2 }])];
    const [first, second] = [a.next(), b.next()];
    const [courseA, courseB] = [await opened(), await opened()];
    assert.notEqual(courseA.open.json.call, courseB.open.json.call);
    courseB.results([0, 20]);
    courseA.results([0, 10]);
    assert.deepEqual(y((await first).value!), [0, true, 10]);
    assert.deepEqual(y((await second).value!), [0, true, 20]);
    await Promise.all([a.return!(), b.return!()]);
    const { calls } = (await rust.next("cancel")).json;
    assert.deepEqual(calls, [courseA.open.json.call, courseB.open.json.call]);
});

test("all that one request gives comes one by one", async () => {
    const loop = (async () => {
        const parts = [];
        for await (const part of model.outputs({ x: 1 })) parts.push(part.get("y").data[0]);
        return parts;
    })();
    const course = await opened();
    const push = await course.push();
    assert.deepEqual(push.items, [[1]]);
    push.call.resolve();
    (await rust.next("stream", "end")).resolve();
    course.results([0, 1, false], [0, 2, false]);
    course.json({ results: [{ item: 0, last: true, outputs: [] }] });
    course.end();
    assert.deepEqual(await loop, [1, 2]);
});

test("an error of the one request is thrown behind what came before it", async () => {
    const parts = model.outputs({ x: 1 });
    const first = parts.next();
    const course = await opened();
    course.results([0, 1, false]);
    course.json({
        results: [{ item: 0, last: true, error: { code: "deadline_exceeded", message: "late" } }],
    });
    assert.deepEqual((await first).value!.get("y").data, Float32Array.of(1));
    assert.equal((await rejection(parts.next())).code, "deadline_exceeded");
    assert.equal((await parts.next()).done, true);
});

test("breaking out of the parts cancels", async () => {
    const loop = (async () => {
        for await (const part of model.outputs({ x: 1 })) return part.model;
        return undefined;
    })();
    const course = await opened();
    course.results([0, 1, false]);
    assert.equal(await loop, "m");
    assert.deepEqual((await rust.next("cancel")).json.calls, [course.open.json.call]);
});
