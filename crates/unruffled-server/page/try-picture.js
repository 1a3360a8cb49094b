// A picture, with what was found in it drawn over it as it is found.

import { Answer, numbers } from "./answer.js";
import { Drop } from "./drop.js";
import { colour, h, sharp } from "./dom.js";
import { inferEach } from "./infer.js";
import { many } from "./tell.js";

const WIDEST = 720;

export class PicturePanel {
  constructor(model) {
    this.model = model;
    this.input = model.inputs.find(({ optional }) => !optional);
    this.drop = new Drop("a picture", "image/*", (file) => this.take(file));
    this.canvas = h("canvas", { class: "shown", role: "img", hidden: true });
    this.answer = new Answer();
    this.element = h("div", { class: "files" }, this.drop.element, this.canvas, this.answer.element);
  }

  request() {
    return this.asked ?? null;
  }

  async take(file) {
    this.asking?.abort();
    const { signal } = (this.asking = new AbortController());
    this.outputs = [];
    // What the browser cannot show, the model may read all the same.
    this.picture = await createImageBitmap(file).catch(() => null);
    const raw = await file.arrayBuffer();
    if (signal.aborted) return;
    this.draw();
    const shape = this.input.shape.map((size) => (size < 0 ? 1 : size));
    this.asked = { inputs: [{ name: this.input.name, shape, datatype: "BYTES", raw }] };
    await this.answer.of(() => inferEach(this.model, this.asked, {
      signal,
      each: (outputs) => {
        this.outputs = outputs;
        this.answer.show(outputs);
        this.draw();
      },
    }), (outputs) => {
      this.outputs = outputs;
      this.draw();
    });
  }

  /** Boxes, each with the text that was read in it, if there are as many. */
  found() {
    const boxes = this.outputs.find(({ shape }) => shape.slice(1).join() === "4,2");
    if (!boxes) return [];
    const corners = numbers(boxes);
    const texts = this.outputs.find(({ datatype, shape }) => datatype === "BYTES" && shape[0] === boxes.shape[0] && shape.length === 1);
    return Array.from({ length: boxes.shape[0] }, (_, box) => ({
      corners: Array.from({ length: 4 }, (_, corner) => corners.slice(box * 8 + corner * 2, box * 8 + corner * 2 + 2)),
      text: texts?.data[box] ?? "",
    }));
  }

  draw() {
    this.canvas.hidden = !this.picture;
    if (!this.picture) return;
    const found = this.found();
    const width = Math.min(this.element.clientWidth || 320, this.picture.width, WIDEST);
    const scale = width / this.picture.width;
    const height = this.picture.height * scale;
    this.canvas.style.width = `${width}px`;
    this.canvas.style.height = `${height}px`;
    const texts = found.map(({ text }) => text).filter(Boolean).join("; ");
    this.canvas.setAttribute("aria-label", found.length ? `The picture, with ${many(found.length, "box", "boxes")} drawn in it${texts && `: ${texts}`}` : "The picture");
    const context = sharp(this.canvas, width, height);
    context.drawImage(this.picture, 0, 0, width, height);
    for (const { corners, text } of found) {
      box(context, corners.map(([x, y]) => [x * scale, y * scale]), text, height);
    }
  }

  close() {
    this.asking?.abort();
  }
}

/** The size of texts, and the height of what is behind them, in pixels. */
const [SIZE, ROOM] = [11, 15];

/** A box, and at its lower edge its text, as it lies; at the upper one where that would be outside. */
function box(context, corners, text, bottom) {
  context.lineWidth = 1.5;
  context.strokeStyle = colour("sun");
  context.fillStyle = colour("sun-wash");
  context.beginPath();
  for (const corner of corners) context.lineTo(...corner);
  context.closePath();
  context.fill();
  context.stroke();
  if (!text) return;
  const [first, second, , last] = corners;
  const fits = Math.max(last[1], corners[2][1]) + ROOM <= bottom;
  context.save();
  context.translate(...(fits ? last : first));
  context.rotate(Math.atan2(second[1] - first[1], second[0] - first[0]));
  if (!fits) context.translate(0, -ROOM);
  context.font = `600 ${SIZE}px ${getComputedStyle(document.body).fontFamily}`;
  context.textBaseline = "top";
  context.fillStyle = colour("sun");
  context.fillRect(-0.75, 0, context.measureText(text).width + 6, ROOM);
  context.fillStyle = colour("paper");
  context.fillText(text, 2, 2.5);
  context.restore();
}
