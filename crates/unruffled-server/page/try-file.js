// Any file: its bytes, or for a model that looks at both its ends, those.

import { Answer } from "./answer.js";
import { Drop } from "./drop.js";
import { h } from "./dom.js";
import { infer } from "./infer.js";

/** What C and Python call white space. */
const BLANK = new Set([0x20, 0x09, 0x0a, 0x0d, 0x0b, 0x0c]);

/** The numbers that stand for a file: `begin` of its beginning, then `end` of its end, filled up in between. */
export function endsOf(file, { begin, end, block, trim, padding }) {
  let [first, last] = [file.subarray(0, block), file.subarray(Math.max(file.length - block, 0))];
  if (trim) {
    const from = first.findIndex((byte) => !BLANK.has(byte));
    first = from < 0 ? first.subarray(first.length) : first.subarray(from);
    last = last.subarray(0, last.findLastIndex((byte) => !BLANK.has(byte)) + 1);
  }
  first = first.subarray(0, begin);
  last = last.subarray(Math.max(last.length - end, 0));
  const numbers = new Array(begin + end).fill(padding);
  first.forEach((byte, at) => (numbers[at] = byte));
  last.forEach((byte, at) => (numbers[begin + end - last.length + at] = byte));
  return numbers;
}

export class FilePanel {
  constructor(model) {
    this.model = model;
    this.input = model.inputs.find(({ optional }) => !optional);
    this.drop = new Drop("a file", null, (file) => this.take(file));
    this.answer = new Answer();
    this.element = h("div", { class: "files" }, this.drop.element, this.answer.element);
  }

  request() {
    return this.asked ?? null;
  }

  async take(file) {
    const bytes = new Uint8Array(await file.arrayBuffer());
    const shape = this.input.shape.map((size) => (size < 0 ? 1 : size));
    const { name, datatype } = this.input;
    const value = this.input.file ? { data: endsOf(bytes, this.input.file) } : { raw: bytes };
    // Of classes that have names, the best few, by name.
    const outputs = this.model.outputs.some(({ labelled }) => labelled)
      ? this.model.outputs.map(({ name, labelled }) => (labelled ? { name, parameters: { classification: 5 } } : { name })) : undefined;
    this.asked = { inputs: [{ name, shape, datatype, ...value }], outputs };
    await this.answer.of(() => infer(this.model.name, this.asked, { supersede: "file" }));
  }
}
