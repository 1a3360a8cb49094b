import assert from "node:assert/strict";
import { test } from "node:test";

import { Mailbox } from "../src/mailbox.js";
import { rejection } from "./rust.js";

function mailbox() {
    const told: string[] = [];
    const box = new Mailbox<number>({
        start: () => told.push("start"),
        taken: () => told.push("taken"),
        stop: () => told.push("stop"),
    });
    return { box, told };
}

const done = { done: true, value: undefined };
const value = (value: number) => ({ done: false, value });

test("values come in order, then the end", async () => {
    const { box, told } = mailbox();
    const first = box.next();
    assert.deepEqual(told, ["start"]);
    box.put(1);
    box.put(2);
    box.end();
    box.put(3);
    assert.deepEqual(
        [await first, await box.next(), await box.next(), await box.next()],
        [value(1), value(2), done, done],
    );
    // After the end nobody counts any more.
    assert.deepEqual(told, ["start", "taken"]);
});

test("nothing begins before somebody takes", async () => {
    const { box, told } = mailbox();
    box.put(1);
    box.end();
    box.fail(new Error("no"));
    assert.deepEqual(await box.return(), done);
    assert.deepEqual(await box.next(), done);
    assert.deepEqual(told, []);
});

test("several may wait; all of them hear the end, the first of an error", async () => {
    const { box } = mailbox();
    const waiting = [box.next(), box.next(), box.next()];
    box.put(1);
    box.fail("no");
    const settled = await Promise.allSettled(waiting);
    assert.deepEqual(
        settled.map((one) => (one.status === "fulfilled" ? one.value : one.reason)),
        [value(1), "no", done],
    );
});

test("an error comes behind what waits, an abort at once", async () => {
    const failing = mailbox().box;
    const aborted = mailbox().box;
    for (const box of [failing, aborted]) {
        const first = box.next();
        box.put(1);
        box.put(2);
        await first;
    }
    failing.fail("late");
    aborted.abort("now");
    assert.deepEqual(await failing.next(), value(2));
    assert.equal(await rejection(failing.next()), "late");
    assert.equal(await rejection(aborted.next()), "now");
    for (const box of [failing, aborted]) assert.deepEqual(await box.next(), done);
});

test("a newer value may take the place of older ones", async () => {
    const { box, told } = mailbox();
    const first = box.next();
    for (const number of [1, 2, 3]) box.replace(number);
    assert.deepEqual([await first, await box.next()], [value(1), value(3)]);
    assert.deepEqual(told, ["start", "taken", "taken"]);
});

test("returning does not wait behind what does not come", async () => {
    const { box, told } = mailbox();
    const waiting = box.next();
    assert.deepEqual(await box.return(), done);
    assert.deepEqual(await waiting, done);
    await box.return();
    assert.deepEqual(told, ["start", "stop"]);
    assert.equal(await rejection(box.throw("mine")), "mine");
});
