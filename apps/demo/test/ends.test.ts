import assert from "node:assert/strict";
import { test } from "node:test";

import { MAGIKA, numbersOf, splitEnds } from "../src/ends.ts";

const bytes = (text: string) => new TextEncoder().encode(text);

/** As `crates/unruffled/src/input/file.rs` tests it: the same cases, the same answers. */
function check(file: Uint8Array, trim: boolean, expected: number[]) {
  const rule = { begin: 3, end: 3, block: 6, trim, padding: -1 };
  const length = Math.min(file.length, rule.block);
  const [head, tail] = [file.subarray(0, length), file.subarray(file.length - length)];
  assert.deepEqual([...numbersOf(head, tail, rule)], expected);
}

test("both ends are taken and filled up", () => {
  check(Uint8Array.of(1, 2, 3, 4, 5, 6, 7, 8), false, [1, 2, 3, 6, 7, 8]);
  check(Uint8Array.of(1, 2), false, [1, 2, -1, -1, 1, 2]);
  check(Uint8Array.of(), false, [-1, -1, -1, -1, -1, -1]);
});

test("white space outside is dropped within the block", () => {
  check(bytes(" \x0b\x0c\ta.b\r\n"), true, [97, 46, -1, 97, 46, 98]);
  check(bytes("        a"), true, [-1, -1, -1, 32, 32, 97]);
  check(bytes(" \n "), true, [-1, -1, -1, -1, -1, -1]);
});

test("the file whole at both ends gives the same as its blocks", () => {
  const file = bytes(`${" ".repeat(4100)}${"a".repeat(9000)}\n\n`);
  const blocks = numbersOf(file.subarray(0, 4096), file.subarray(file.length - 4096), MAGIKA);
  assert.deepEqual(numbersOf(file, file, MAGIKA), blocks);
  assert.equal(blocks[0], 256);
  assert.equal(blocks[2047], 97);
});

test("the ends of a path come behind the length of the first", () => {
  const { head, tail } = splitEnds(Uint8Array.of(2, 0, 0, 0, 7, 8, 9));
  assert.deepEqual([[...head], [...tail]], [[7, 8], [9]]);
  assert.throws(() => splitEnds(Uint8Array.of(9, 0, 0, 0, 7)), /cut short/);
  assert.throws(() => splitEnds(Uint8Array.of(9)), /cut short/);
});
