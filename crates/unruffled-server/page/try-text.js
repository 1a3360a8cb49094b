// A box for text.

import { Answer } from "./answer.js";
import { h } from "./dom.js";
import { infer } from "./infer.js";

const FIRST = "The sea was quite still that morning.";

export class TextPanel {
  constructor(model) {
    this.model = model.name;
    this.input = model.inputs.find(({ optional }) => !optional);
    this.text = h("textarea", { rows: "3", id: "try-text", spellcheck: "true", keydown: (event) => this.key(event) }, FIRST);
    this.answer = new Answer();
    this.element = h("form", { submit: (event) => this.send(event) },
      h("label", { for: "try-text" }, "Text"), this.text,
      h("div", { class: "buttons" }, h("button", { type: "submit" }, "Ask"), h("span", { class: "note" }, "or Ctrl and Enter")),
      this.answer.element);
  }

  key(event) {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) this.send(event);
  }

  request() {
    const shape = this.input.shape.map((size) => (size < 0 ? 1 : size));
    return { inputs: [{ name: this.input.name, shape, datatype: "BYTES", data: [this.text.value] }] };
  }

  send(event) {
    event.preventDefault();
    return this.answer.of(() => infer(this.model, this.request(), { supersede: "text" }));
  }
}
