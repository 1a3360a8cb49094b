// A pad to draw a digit on. The answer follows the pen: each move asks again, and the older request gives way.

import { colour, h, say, sharp } from "./dom.js";
import { infer } from "./infer.js";
import { percent, time } from "./tell.js";

const SIZE = 240;
const GRID = 8;
/** The model learned from digits of 32 x 32 dots, each square of 4 x 4 counted. */
const DOTS = 32;
const INK = 16;
/** As thick as makes the model read most hands right. */
const PEN = 6;

/** Strokes of sample digits, in the unit square, for whoever has no pen at hand. */
const SAMPLES = [
  [3, [[.3, .2], [.5, .12], [.68, .25], [.6, .42], [.45, .48], [.65, .55], [.7, .75], [.5, .88], [.28, .8]]],
  [0, [[.5, .12], [.3, .3], [.28, .65], [.5, .88], [.7, .65], [.7, .3], [.5, .12]]],
  [7, [[.28, .15], [.72, .15], [.58, .5], [.45, .88]]],
  [4, [[.55, .12], [.25, .6], [.75, .6]], [[.58, .4], [.56, .9]]],
  [6, [[.62, .12], [.38, .4], [.3, .7], [.48, .88], [.68, .72], [.55, .54], [.34, .64]]],
];

export class DigitPad {
  strokes = [];
  sample = 0;

  constructor(model) {
    this.model = model.name;
    this.input = model.inputs.find(({ optional }) => !optional);
    this.pad = h("canvas", {
      class: "pad", tabindex: "0", role: "img", "aria-label": "Draw a digit here, or choose a sample",
      pointerdown: (event) => this.down(event), pointermove: (event) => this.move(event),
      pointerup: () => this.up(), pointercancel: () => this.up(),
      keydown: (event) => (event.key === "Escape" || event.key === "Delete" ? this.clear() : null),
    });
    this.seen = h("canvas", { class: "seen", role: "img", "aria-label": "What the model sees: 8 by 8 squares" });
    this.best = h("output", { class: "best", "aria-live": "off" }, "");
    this.spoken = h("p", { class: "hidden", "aria-live": "polite" });
    this.note = h("p", { class: "note" }, "Draw a digit, large, with the mouse, a finger or a pen.");
    this.bars = Array.from({ length: 10 }, (_, digit) => {
      const bar = h("meter", { min: "0", max: "1", "aria-label": `Probability of ${digit}` });
      const text = h("span", { class: "number" });
      return { bar, text, row: h("li", {}, h("span", { class: "digit" }, String(digit)), bar, text) };
    });
    this.element = h("div", { class: "digits" },
      h("div", { class: "paper" }, this.pad,
        h("div", { class: "buttons" },
          h("button", { type: "button", click: () => this.show() }, "Sample"),
          h("button", { type: "button", class: "quiet", click: () => this.clear() }, "Clear"))),
      h("div", { class: "reading" },
        h("div", { class: "glance" }, this.best, h("figure", {}, this.seen, h("figcaption", {}, "as it is seen"))),
        h("ol", { class: "bars" }, this.bars.map(({ row }) => row)), this.note, this.spoken));
  }

  at({ clientX, clientY }) {
    const { left, top, width, height } = this.pad.getBoundingClientRect();
    return [(clientX - left) / width, (clientY - top) / height];
  }

  down(event) {
    if (event.button > 0) return;
    this.pad.setPointerCapture(event.pointerId);
    this.strokes.push([this.at(event)]);
    this.changed();
  }

  move(event) {
    if (!this.pad.hasPointerCapture(event.pointerId)) return;
    for (const one of event.getCoalescedEvents?.() ?? [event]) this.strokes.at(-1).push(this.at(one));
    this.changed();
  }

  up() {
    this.speak();
  }

  show() {
    const [, ...strokes] = SAMPLES[this.sample % SAMPLES.length];
    this.sample += 1;
    this.strokes = strokes.map((stroke) => stroke.map((point) => [...point]));
    this.changed().then(() => this.speak());
  }

  clear() {
    this.strokes = [];
    this.answer = null;
    this.draw();
    say(this.note, "Draw a digit, large, with the mouse, a finger or a pen.");
    say(this.spoken, "Cleared");
  }

  /** Draws, and asks what it is; at most once a frame. */
  changed() {
    this.draw();
    this.frame ??= new Promise((done) => requestAnimationFrame(() => {
      this.frame = null;
      done(this.ask());
    }));
    return this.frame;
  }

  async ask() {
    const strokes = this.strokes;
    if (!strokes.length) return;
    try {
      const answer = await infer(this.model, this.request(), { supersede: "pad" });
      // A newer stroke has asked again; or all was wiped meanwhile.
      if (!answer || strokes !== this.strokes) return;
      this.answer = answer.outputs.find(({ shape }) => shape.at(-1) === 10).data;
      say(this.note, `${answer.id}: answered in ${time(answer.took_ms)}, of which it waited ${time(answer.timing.queue)} and ran ${time(answer.timing.run)}`);
      this.draw();
    } catch (error) {
      say(this.note, error.message);
    }
  }

  request() {
    if (!this.strokes.length) return null;
    const { name, shape, datatype } = this.input;
    return { inputs: [{ name, shape: shape.map((size) => (size < 0 ? 1 : size)), datatype, data: this.squares() }] };
  }

  speak() {
    if (!this.answer) return;
    const best = this.answer.indexOf(Math.max(...this.answer));
    say(this.spoken, `It reads ${best}, ${percent(this.answer[best])}`);
  }

  /** The drawing as the model learned to see digits: as large as the paper, in the middle, dots counted by squares. */
  squares() {
    const points = this.strokes.flat();
    const [xs, ys] = [0, 1].map((axis) => points.map((point) => point[axis]));
    const [left, top] = [Math.min(...xs), Math.min(...ys)];
    const [width, height] = [Math.max(...xs) - left, Math.max(...ys) - top];
    const room = DOTS - PEN;
    const scale = Math.min(room / Math.max(height, 0.05), room / Math.max(width, 0.05));
    const canvas = new OffscreenCanvas(DOTS, DOTS);
    const context = canvas.getContext("2d", { willReadFrequently: true });
    context.translate((DOTS - width * scale) / 2, (DOTS - height * scale) / 2);
    context.lineWidth = PEN;
    context.strokeStyle = "#000";
    this.trace(context, (x, y) => [(x - left) * scale, (y - top) * scale]);
    const { data } = context.getImageData(0, 0, DOTS, DOTS);
    const squares = new Array(GRID * GRID).fill(0);
    const side = DOTS / GRID;
    for (let dot = 0; dot < DOTS * DOTS; dot += 1) {
      const [x, y] = [dot % DOTS, Math.floor(dot / DOTS)];
      if (data[4 * dot + 3] > 127) squares[Math.floor(y / side) * GRID + Math.floor(x / side)] += 1;
    }
    return squares;
  }

  trace(context, place) {
    context.lineCap = context.lineJoin = "round";
    for (const stroke of this.strokes) {
      context.beginPath();
      const points = stroke.map((point) => place(...point));
      context.moveTo(...points[0]);
      // Round from the middle of one piece to the middle of the next, as a hand would.
      for (let at = 1; at < points.length - 1; at += 1) {
        const [[x, y], [nextX, nextY]] = [points[at], points[at + 1]];
        context.quadraticCurveTo(x, y, (x + nextX) / 2, (y + nextY) / 2);
      }
      context.lineTo(...points.at(-1));
      context.stroke();
    }
  }

  draw() {
    const context = sharp(this.pad, SIZE, SIZE);
    context.strokeStyle = colour("ink");
    context.lineWidth = 15;
    this.trace(context, (x, y) => [x * SIZE, y * SIZE]);
    const small = sharp(this.seen, 64, 64);
    if (this.strokes.length) {
      small.fillStyle = colour("water");
      this.squares().forEach((ink, at) => {
        small.globalAlpha = Math.min(ink / INK, 1);
        small.fillRect((at % GRID) * 8, Math.floor(at / GRID) * 8, 7.5, 7.5);
      });
      small.globalAlpha = 1;
    }
    const best = this.answer ? this.answer.indexOf(Math.max(...this.answer)) : -1;
    say(this.best, best < 0 ? "?" : String(best));
    this.element.dataset.answered = best >= 0;
    this.bars.forEach(({ bar, text, row }, digit) => {
      const part = this.answer?.[digit] ?? 0;
      bar.value = part;
      say(text, part >= 0.0005 ? percent(part) : "");
      row.classList.toggle("best-row", digit === best);
    });
  }
}
