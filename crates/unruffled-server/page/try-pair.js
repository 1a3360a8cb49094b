// Two texts that become vectors, and how near their meanings are. Asked while they are typed: a newer request takes the place of the
// one before.

import { Answer, numbers } from "./answer.js";
import { h, say } from "./dom.js";
import { infer } from "./infer.js";

const FIRST = "The sea was quite still that morning.";
const SECOND = "Not a wave was to be seen at dawn.";

const product = (a, b) => a.reduce((sum, value, at) => sum + value * b[at], 0);

/** The cosine of the angle between two vectors: 1 if they have one direction. */
const cosine = (a, b) => product(a, b) / Math.sqrt(product(a, a) * product(b, b) || 1);

export class PairPanel {
  constructor(model) {
    this.model = model;
    this.input = model.inputs.find(({ optional }) => !optional);
    const box = (id, text) => h("textarea", { rows: "2", id, spellcheck: "true", input: () => this.ask() }, text);
    this.texts = [box("try-first", FIRST), box("try-second", SECOND)];
    this.near = h("output", { class: "near", for: "try-first try-second" }, "?");
    this.meter = h("meter", { min: "0", max: "1", "aria-label": "How near they are" });
    this.answer = new Answer();
    this.element = h("form", { submit: (event) => this.send(event) },
      h("label", { for: "try-first" }, "One text"), this.texts[0],
      h("label", { for: "try-second" }, "Another"), this.texts[1],
      h("div", { class: "buttons" }, h("button", { type: "submit" }, "Compare"), h("span", { class: "note" }, "or go on typing")),
      h("p", { class: "nearness" }, this.near, this.meter, h("span", { class: "note" }, "1 means the same")),
      this.answer.element);
  }

  request() {
    const data = this.texts.map(({ value }) => value);
    return { inputs: [{ name: this.input.name, shape: [2], datatype: "BYTES", data }] };
  }

  send(event) {
    event.preventDefault();
    return this.ask();
  }

  ask() {
    return this.answer.of(() => infer(this.model.name, this.request(), { supersede: "pair" }), (outputs) => {
      const { shape: [, size], ...vectors } = outputs.find(({ datatype, shape }) => /^FP/.test(datatype) && shape.length === 2 && shape[0] === 2);
      const flat = numbers(vectors);
      const near = cosine(flat.slice(0, size), flat.slice(size));
      say(this.near, near.toFixed(2));
      this.meter.value = Math.max(near, 0);
    });
  }
}
