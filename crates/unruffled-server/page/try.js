// Ways to try a model, chosen by what it takes and gives.

import { h, say } from "./dom.js";
import { submit } from "./infer.js";
import { DigitPad } from "./try-digit.js";
import { FilePanel } from "./try-file.js";
import { JsonPanel } from "./try-json.js";
import { TextPanel } from "./try-text.js";
import { PairPanel } from "./try-pair.js";
import { PicturePanel } from "./try-picture.js";
import { SoundPanel } from "./try-sound.js";

/** What an input of bytes is likely to take, where nothing but its name says so. */
const NAMED = [
  ["picture", /image|picture|photo|page|pixels/i],
  ["sound", /audio|sound|wav|speech|recording/i],
  ["text", /text|sentence|query|prompt|document|word/i],
];

const isFloat = ({ datatype }) => /^FP/.test(datatype);
const gives = (model, shape) => model.outputs.some((output) => isFloat(output) && output.shape.join() === shape);

/** The way that the signature names, the best first. */
function kinds(model) {
  const [input, more] = model.inputs.filter(({ optional }) => !optional);
  if (!input || more) return [];
  const fits = input.shape.slice(-2).join() === "8,8" && isFloat(input);
  if (fits && model.outputs.some(({ shape }) => shape.at(-1) === 10)) return ["digit"];
  if (input.file) return ["file"];
  if (input.datatype !== "BYTES") return [];
  // Corners of boxes are found in pictures; pairs of as many rows as there are, in one recording.
  if (gives(model, "-1,4,2")) return ["picture"];
  if (input.shape.join() === "1" && gives(model, "-1,2")) return ["sound"];
  const vectors = model.outputs.some((output) => isFloat(output) && output.shape.length === 2 && output.shape[1] >= 32);
  if (input.shape.join() === "-1" && vectors) return ["pair", "text"];
  switch (NAMED.find(([, pattern]) => pattern.test(input.name))?.[0]) {
    case "picture": return ["picture"];
    case "sound": return ["sound"];
    case "text": return ["text", "file"];
    default: return ["file", "text"];
  }
}

const PANELS = {
  digit: ["Draw", DigitPad],
  picture: ["Picture", PicturePanel],
  sound: ["Recording", SoundPanel],
  pair: ["Two texts", PairPanel],
  text: ["Text", TextPanel],
  file: ["File", FilePanel],
  json: ["JSON", JsonPanel],
};

/** The panels of one model. Each has an `element`, gives its `request()`, or `null` as long as there is none, and may `draw()`. */
export class Trial {
  constructor(place, choice, submitted) {
    this.place = place;
    this.choice = choice;
    this.submitted = submitted;
    this.panels = new Map();
    this.told = h("span", { class: "note", role: "status" });
    this.job = h("div", { class: "as-job" },
      h("button", { type: "button", class: "quiet", id: "as-job", click: () => this.submit() }, "Run as a job"), this.told);
  }

  open(model) {
    this.signature = JSON.stringify([model.inputs, model.outputs]);
    this.model = model;
    this.close();
    const all = [...kinds(model), "json"].map((kind) => PANELS[kind]);
    const radios = all.map(([name, Panel], at) => {
      const radio = h("input", { type: "radio", name: "way", value: name, checked: at === 0, change: () => this.use(name, Panel) });
      return h("label", {}, radio, h("span", {}, name));
    });
    this.choice.replaceChildren(...radios);
    this.choice.hidden = all.length === 1;
    this.use(...all[0]);
  }

  /** What was typed or drawn one way stays while another is looked at. */
  use(name, Panel) {
    if (!this.panels.has(name)) this.panels.set(name, new Panel(this.model));
    this.panel = this.panels.get(name);
    this.place.replaceChildren(this.panel.element, this.job);
    say(this.told, "");
    this.draw();
  }

  async submit() {
    const request = this.panel.request();
    if (!request) {
      say(this.told, "There is nothing to ask yet.");
      return;
    }
    say(this.told, "Asking");
    try {
      const job = await submit(this.model.name, request);
      say(this.told, "It is among the jobs, below.");
      this.submitted(job);
    } catch (error) {
      say(this.told, error.message);
    }
  }

  draw() {
    this.panel?.draw?.();
  }

  /** Lets go of the panels, and of what they have asked. */
  close() {
    this.panels.forEach((panel) => panel.close?.());
    this.panels.clear();
    this.panel = null;
    this.place.replaceChildren();
    this.choice.replaceChildren();
  }
}
