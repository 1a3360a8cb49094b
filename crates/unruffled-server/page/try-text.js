// A box for text. Two texts that were turned into vectors are compared.

import { Answer, numbers } from "./answer.js";
import { h, say } from "./dom.js";
import { infer } from "./infer.js";

const FIRST = "The sea was quite still that morning.";

const product = (a, b) => a.reduce((sum, value, at) => sum + value * b[at], 0);

export class TextPanel {
  constructor(model) {
    this.model = model.name;
    this.input = model.inputs.find(({ optional }) => !optional);
    this.text = h("textarea", { rows: "3", id: "try-text", spellcheck: "true", keydown: (event) => this.key(event) }, FIRST);
    this.answer = new Answer();
    this.compared = h("p", { class: "compared", "aria-live": "polite" });
    this.element = h("form", { submit: (event) => this.send(event) },
      h("label", { for: "try-text" }, "Text"), this.text,
      h("div", { class: "buttons" }, h("button", { type: "submit" }, "Ask"), h("span", { class: "note" }, "or Ctrl and Enter")),
      this.compared, this.answer.element);
  }

  key(event) {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) this.send(event);
  }

  async send(event) {
    event.preventDefault();
    const text = this.text.value;
    const shape = this.input.shape.map((size) => (size < 0 ? 1 : size));
    const answer = await this.answer.of(() =>
      infer(this.model, [{ name: this.input.name, shape, datatype: "BYTES", data: [text] }], { supersede: "text" }));
    if (answer) this.compare(text, answer);
  }

  /** Says how near the meanings of this text and of the one before are, where the answer is a vector. */
  compare(text, { outputs }) {
    const vector = outputs.map(numbers).find((values) => values && values.length >= 32);
    if (vector && this.before?.vector.length === vector.length && this.before.text !== text) {
      const near = product(vector, this.before.vector) / Math.sqrt(product(vector, vector) * product(this.before.vector, this.before.vector));
      say(this.compared, `As near to “${this.before.text}” as ${near.toFixed(2)}, where 1 means the same.`);
    }
    if (vector) this.before = { text, vector };
  }
}
