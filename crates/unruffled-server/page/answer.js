// What a model answered: texts as texts, probabilities as bars, vectors as a strip, all else as numbers.

import { colour, h, say, sharp } from "./dom.js";
import { count, percent, time } from "./tell.js";

const BARS = 12;
const PREVIEWED = 24;
const TEXTS = 200;
const STRIPS = 4;
/** A class as the protocol writes it: `value:index`, or `value:index:label`. */
const CLASS = /^(-?[\d.]+(?:e[-+]?\d+)?):(\d+)(?::(.*))?$/s;

/** The elements of an output that has numbers. */
export const numbers = ({ datatype, data }) => (datatype === "BYTES" || datatype === "BOOL" ? null : data.flat(Infinity));

export class Answer {
  constructor() {
    this.status = h("p", { class: "note", role: "status" });
    this.outputs = h("dl", { class: "outputs", "aria-live": "polite" });
    this.element = h("div", { class: "answer" }, this.status, this.outputs);
  }

  /** Shows what comes of asking, and gives its outputs to `then` first. */
  async of(ask, then = () => {}) {
    this.element.dataset.state = "asking";
    this.element.setAttribute("aria-busy", "true");
    say(this.status, "Asking");
    try {
      const answer = await ask();
      // A newer request has taken its place, and will say more.
      if (!answer) return null;
      const { took_ms, timing, id, outputs } = answer;
      const where = Number.isNaN(timing.run) ? "" : `: waited ${time(timing.queue)}, ran ${time(timing.run)}`;
      say(this.status, `${id ? `${id} answered` : "Answered"} in ${time(took_ms)}${where}`);
      then(outputs);
      this.show(outputs);
      this.element.dataset.state = "good";
      return answer;
    } catch (error) {
      this.element.dataset.state = "bad";
      say(this.status, error.message);
      this.outputs.replaceChildren();
      return null;
    } finally {
      this.element.removeAttribute("aria-busy");
    }
  }

  /** Shows these outputs, which need not be all. */
  show(outputs) {
    if (this.element.dataset.state === "asking") this.element.dataset.state = "hearing";
    this.outputs.replaceChildren(...shown(outputs));
  }
}

/** Outputs, each as suits it. */
export const shown = (outputs) => outputs.map(output);

function output({ name, datatype, shape, data }) {
  const values = data.flat(Infinity);
  return h("div", {},
    h("dt", {}, name, h("span", { class: "note" }, ` ${datatype} ${shape.length ? shape.join(" × ") : "scalar"}`)),
    h("dd", {}, body(datatype, shape, values)));
}

function body(datatype, shape, values) {
  if (values.length === 0) return h("p", { class: "note" }, "empty");
  if (datatype === "BYTES" && values.every((text) => CLASS.test(text))) return classes(values);
  if (datatype === "BYTES") {
    const more = values.length - TEXTS;
    return [h("ul", { class: "texts" }, values.slice(0, TEXTS).map((text) => h("li", {}, text))), more > 0 ? h("p", { class: "note" }, `and ${count(more)} more`) : null];
  }
  const row = shape.at(-1) ?? 1;
  const first = values.slice(0, row);
  const sum = first.reduce((all, value) => all + value, 0);
  if (row > 1 && first.every((value) => value >= 0 && value <= 1) && Math.abs(sum - 1) < 0.01) return bars(first);
  if (row >= 64 && values.length <= STRIPS * row) {
    return Array.from({ length: values.length / row }, (_, at) => strip(values.slice(at * row, (at + 1) * row)));
  }
  // Pairs, boxes and their like a row a line; what is longer runs on.
  const shown = values.slice(0, PREVIEWED).map((value) => (value == null ? "NaN" : Number.isInteger(value) ? value : value.toPrecision(5)));
  const width = shape.length > 1 ? shape.slice(1).reduce((all, size) => all * size, 1) : PREVIEWED;
  const step = width <= 8 ? width : PREVIEWED;
  const lines = Array.from({ length: Math.ceil(shown.length / step) }, (_, at) => shown.slice(at * step, (at + 1) * step).join("  "));
  const more = values.length - shown.length;
  return h("p", { class: "numbers" }, lines.join("\n"), more > 0 ? `  and ${count(more)} more` : "");
}

/** The greatest of probabilities. */
function bars(values) {
  const best = values.map((value, at) => [value, String(at)]).sort(([a], [b]) => b - a);
  return list(best.slice(0, BARS));
}

/** The best classes, by their names. */
function classes(texts) {
  return list(texts.map((text) => {
    const [, value, index, label] = text.match(CLASS);
    return [Number(value), label ?? index];
  }), "named");
}

function list(scores, kind = "") {
  return h("ol", { class: `bars ${kind}` }, scores.map(([value, name]) => h("li", {},
    h("span", { class: "digit" }, name),
    h("meter", { min: "0", max: "1", value: String(value), "aria-label": `Probability of ${name}` }),
    h("span", { class: "number" }, value >= 0 && value <= 1 ? percent(value) : value.toPrecision(4)))));
}

/** A vector as a strip of colours, of which there may be a few. */
function strip(values) {
  const canvas = h("canvas", { class: "strip", role: "img", "aria-label": `A vector of ${values.length} numbers` });
  const [width, height] = [values.length, 28];
  const context = sharp(canvas, width, height);
  const most = Math.max(...values.map(Math.abs), 1e-9);
  values.forEach((value, at) => {
    context.globalAlpha = Math.abs(value) / most;
    context.fillStyle = colour(value < 0 ? "sun" : "water");
    context.fillRect(at, 0, 1, height);
  });
  return canvas;
}
