// What a model sees of a file: its two ends, without the blanks around them.

/** How a file becomes numbers: `from` of an input in the status of a model. */
export interface FileRule {
  begin: number;
  end: number;
  block: number;
  trim: boolean;
  padding: number;
}

/** What magika says of itself; used until, or unless, the status of a model says otherwise. */
export const MAGIKA: FileRule = { begin: 1024, end: 1024, block: 4096, trim: true, padding: 256 };

/** What C and Python call white space. */
const isBlank = (byte: number | undefined) => byte === 0x20 || (byte !== undefined && byte >= 0x09 && byte <= 0x0d);

/**
 * The numbers that stand for a file: `begin` of its beginning, then `end` of its end, filled up in between. `head` and `tail` are
 * its first and last `block` bytes, or all of it where it is shorter.
 */
export function numbersOf(head: Uint8Array, tail: Uint8Array, rule: FileRule): Int32Array<ArrayBuffer> {
  const { begin, end, block, trim, padding } = rule;
  let from = 0;
  let to = tail.length;
  const headEnd = Math.min(head.length, block);
  const tailBegin = Math.max(0, tail.length - block);
  if (trim) {
    while (from < headEnd && isBlank(head[from])) from += 1;
    while (to > tailBegin && isBlank(tail[to - 1])) to -= 1;
  }
  const first = head.subarray(from, Math.min(from + begin, headEnd));
  const last = tail.subarray(Math.max(tailBegin, to - end), to);
  const numbers = new Int32Array(begin + end).fill(padding);
  numbers.set(first, 0);
  numbers.set(last, begin + end - last.length);
  return numbers;
}

/** The two ends in what the command `read_ends` gives: a length, so many bytes, and the rest. */
export function splitEnds(raw: Uint8Array): { head: Uint8Array; tail: Uint8Array } {
  if (raw.length < 4) throw new Error(`the ends of a file were cut short: ${raw.length} bytes came`);
  const length = new DataView(raw.buffer, raw.byteOffset, 4).getUint32(0, true);
  if (4 + length > raw.length) throw new Error(`the ends of a file were cut short: ${raw.length} bytes came, the first end is ${length}`);
  return { head: raw.subarray(4, 4 + length), tail: raw.subarray(4 + length) };
}
