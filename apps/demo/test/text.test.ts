import assert from "node:assert/strict";
import { test } from "node:test";

import { nearest, paragraphsOf } from "../src/text.ts";

test("blank lines divide paragraphs, and lines within are joined", () => {
  assert.deepEqual(paragraphsOf("\uFEFFone\r\ntwo\r\n \r\n\r\nthree\n"), ["one two", "three"]);
  assert.deepEqual(paragraphsOf(" \n\n"), []);
});

test("without blank lines every line is one", () => {
  assert.deepEqual(paragraphsOf("one\ntwo\n\n"), ["one", "two"]);
});

test("what is long is cut at the ends of sentences, and nothing is lost", () => {
  const sentence = `${"word ".repeat(40).trim()}. `;
  const parts = paragraphsOf(sentence.repeat(9).trim());
  assert.ok(parts.length > 1 && parts.every((part) => part.length <= 700 && part.endsWith(".")));
  assert.equal(parts.join(" "), sentence.repeat(9).trim());
  assert.deepEqual(paragraphsOf("x".repeat(1000)), ["x".repeat(1000)]);
});

test("the nearest come first, as many as are wanted", () => {
  const vectors = Float32Array.of(1, 0, /**/ 0, 1, /**/ 0, 0, /**/ 0.6, 0.8, /**/ -1, 0);
  const found = nearest(Float32Array.of(0, 1), vectors, 3);
  assert.deepEqual(found.map(({ at }) => at), [1, 3, 0]);
  assert.ok(Math.abs(found[1]!.score - 0.8) < 1e-6);
  assert.deepEqual(nearest(Float32Array.of(0, 1), new Float32Array(), 3), []);
});

test("equals stay in the order of the text", () => {
  assert.deepEqual(nearest(Float32Array.of(1), Float32Array.of(1, 1, 1), 2).map(({ at }) => at), [0, 1]);
});
