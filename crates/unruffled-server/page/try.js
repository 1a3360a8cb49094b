// Ways to try a model, chosen by what it takes.

import { h } from "./dom.js";
import { DigitPad } from "./try-digit.js";
import { FilePanel, fileOf } from "./try-file.js";
import { JsonPanel } from "./try-json.js";
import { TextPanel } from "./try-text.js";

const required = (model) => model.inputs.filter(({ optional }) => !optional);

function takesDigit(model) {
  const [input, more] = required(model);
  const pixels = input?.shape.slice(-2).join() === "8,8" && /^FP/.test(input.datatype);
  return pixels && !more && model.outputs.some(({ shape }) => shape.at(-1) === 10);
}

/** `[name, panel]` for each way in which this model can be asked, the best first. */
function ways(model) {
  const found = [];
  const [input, more] = required(model);
  if (takesDigit(model)) found.push(["Draw", DigitPad]);
  if (input?.datatype === "BYTES" && !more) {
    const kind = fileOf(input.name);
    if (kind !== "text") found.push(["File", FilePanel]);
    if (kind === "text" || kind === "any") found.push(["Text", TextPanel]);
    if (kind === "text") found.push(["File", FilePanel]);
  }
  found.push(["JSON", JsonPanel]);
  return found;
}

/** The panel of one model. */
export class Trial {
  constructor(place, choice) {
    this.place = place;
    this.choice = choice;
    this.panels = new Map();
  }

  open(model) {
    this.signature = JSON.stringify([model.inputs, model.outputs]);
    this.panels.clear();
    const all = ways(model);
    const radios = all.map(([name, Panel], at) => {
      const radio = h("input", { type: "radio", name: "way", value: name, checked: at === 0, change: () => this.use(name, Panel, model) });
      return h("label", {}, radio, h("span", {}, name));
    });
    this.choice.replaceChildren(...radios);
    this.choice.hidden = all.length === 1;
    this.use(...all[0], model);
  }

  /** What was typed or drawn one way stays while another is looked at. */
  use(name, Panel, model) {
    if (!this.panels.has(name)) this.panels.set(name, new Panel(model));
    this.panel = this.panels.get(name);
    this.place.replaceChildren(this.panel.element);
    this.panel.draw?.();
  }

  draw() {
    this.panel?.draw?.();
  }

  close() {
    this.place.replaceChildren();
    this.choice.replaceChildren();
  }
}
