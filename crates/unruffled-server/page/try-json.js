// A request as JSON, to be changed and sent: what every model can be asked.

import { Answer } from "./answer.js";
import { h } from "./dom.js";
import { infer } from "./infer.js";

/** The most numbers that a sample spells out. */
const MOST = 4096;

/** How many of the classes that have names a sample asks for. */
const BEST = 5;

/** A request of zeros that the model is likely to take. */
export function sample(model) {
  const inputs = model.inputs.filter(({ optional }) => !optional).map(({ name, datatype, shape }) => {
    // Where any size fits, one; but pictures of a pixel are nothing to look at.
    const sizes = shape.map((size, at) => (size >= 0 ? size : shape.length === 4 && at > 1 ? 32 : 1));
    const count = sizes.reduce((all, size) => all * size, 1);
    const zero = { BYTES: "text", BOOL: false }[datatype] ?? 0;
    return { name, datatype, shape: sizes, data: count <= MOST ? new Array(count).fill(zero) : [] };
  });
  // Of classes that have names, the best few, by name.
  const outputs = model.outputs.map(({ name, labelled }) => (labelled ? { name, parameters: { classification: BEST } } : { name }));
  const request = model.outputs.some(({ labelled }) => labelled) ? { inputs, outputs } : { inputs };
  const text = JSON.stringify(request, null, 2);
  // Numbers on one line, as a person would write them.
  return text.replace(/\[\s+([^[\]{}]*?)\s+\]/g, (_, items) => `[${items.replace(/\s*\n\s*/g, " ")}]`);
}

export class JsonPanel {
  constructor(model) {
    this.model = model.name;
    this.text = h("textarea", { rows: "10", id: "try-json", spellcheck: "false", class: "code", keydown: (event) => this.key(event) });
    this.text.value = sample(model);
    this.answer = new Answer();
    this.element = h("form", { submit: (event) => this.send(event) },
      h("label", { for: "try-json" }, "Request"), this.text,
      h("div", { class: "buttons" },
        h("button", { type: "submit" }, "Ask"),
        h("button", { type: "button", class: "quiet", click: () => (this.text.value = sample(model)) }, "Sample"),
        h("span", { class: "note" }, "or Ctrl and Enter")),
      this.answer.element);
  }

  key(event) {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) this.send(event);
  }

  request() {
    return { text: this.text.value };
  }

  send(event) {
    event.preventDefault();
    return this.answer.of(() => infer(this.model, this.request()));
  }
}
