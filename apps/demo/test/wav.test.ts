import assert from "node:assert/strict";
import { test } from "node:test";

import { extremes, readWav } from "../src/wav.ts";

/** A WAV file of these bytes, with a chunk of odd length before them. */
function wav(kind: number, bits: number, channels: number, data: number[] | Uint8Array, told = data.length): Uint8Array {
  const file = new Uint8Array(12 + 8 + 4 + 8 + 16 + 8 + data.length);
  const view = new DataView(file.buffer);
  const name = (at: number, text: string) => file.set(new TextEncoder().encode(text), at);
  name(0, "RIFF"), name(8, "WAVE"), name(12, "note"), view.setUint32(16, 3, true);
  name(24, "fmt "), view.setUint32(28, 16, true);
  view.setUint16(32, kind, true), view.setUint16(34, channels, true), view.setUint32(36, 16000, true), view.setUint16(46, bits, true);
  name(48, "data"), view.setUint32(52, told, true), file.set(data, 56);
  return file;
}

function check(file: Uint8Array, expected: [number, number], frames: number) {
  const read = readWav(file);
  assert.equal(read.frames, frames);
  assert.equal(read.rate, 16000);
  const [low, high] = extremes(file, read, 0, read.frames);
  assert.ok(Math.abs(low - expected[0]) < 1e-6 && Math.abs(high - expected[1]) < 1e-6, `${low}, ${high}`);
}

test("samples of every width", () => {
  check(wav(1, 8, 1, [128, 0, 192]), [-1, 0.5], 3);
  check(wav(1, 16, 1, [0, 0x80, 0, 0x40]), [-1, 0.5], 2);
  check(wav(1, 24, 1, [0, 0, 0x80, 0, 0, 0x40]), [-1, 0.5], 2);
  check(wav(1, 32, 1, [0, 0, 0, 0x80, 0, 0, 0, 0x40]), [-1, 0.5], 2);
  check(wav(3, 32, 1, new Uint8Array(Float32Array.of(-1, 0.5).buffer)), [-1, 0.5], 2);
  check(wav(3, 64, 1, new Uint8Array(Float64Array.of(-1, 0.5).buffer)), [-1, 0.5], 2);
});

test("channels are seen together, and pieces of it", () => {
  const file = wav(1, 8, 2, [128, 0, 192, 128, 128, 255]);
  check(file, [-1, 127 / 128], 3);
  assert.deepEqual(extremes(file, readWav(file), 1, 2), [0, 0.5]);
  assert.deepEqual(extremes(file, readWav(file), 3, 9), [0, 0]);
});

test("a size that was never filled in means all that is there", () => {
  check(wav(1, 8, 1, [128, 0], 0xffffffff), [-1, 0], 2);
  check(wav(1, 8, 1, [128, 0], 0), [-1, 0], 2);
});

test("what cannot be drawn is said", () => {
  assert.throws(() => readWav(new Uint8Array(100)), /not a WAV file/);
  assert.throws(() => readWav(wav(2, 4, 1, [1])), /kind 2 with 4 bits/);
  assert.throws(() => readWav(wav(1, 16, 1, [1, 2]).subarray(0, 40)), /no samples|not say/);
});
