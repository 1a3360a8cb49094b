// A place to drop a file: a picture with the boxes that were found in it, a sound with its stretches of speech, or anything.

import { Answer, numbers } from "./answer.js";
import { colour, h, say, sharp } from "./dom.js";
import { infer } from "./infer.js";
import { bytes, many } from "./tell.js";

const KINDS = [
  ["picture", /image|picture|photo|page|pixels/i, "image/*"],
  ["sound", /audio|sound|wav|speech|recording/i, "audio/*"],
  ["text", /text|sentence|query|prompt|document|word/i, "text/*"],
];

/** What an input of bytes of this name is likely to take: `picture`, `sound`, `text` or `any`. */
export const fileOf = (name) => KINDS.find(([, pattern]) => pattern.test(name))?.[0] ?? "any";

export class FilePanel {
  constructor(model) {
    this.model = model.name;
    this.input = model.inputs.find(({ optional }) => !optional);
    this.kind = fileOf(this.input.name);
    const accept = KINDS.find(([kind]) => kind === this.kind)?.[2];
    this.file = h("input", { type: "file", id: "try-file", accept, change: () => this.take(this.file.files[0]) });
    this.said = h("span", {}, this.kind === "any" ? "Drop a file here, or choose one" : `Drop a ${this.kind === "text" ? "text file" : this.kind} here, or choose one`);
    this.zone = h("label", {
      class: "drop", for: "try-file",
      dragover: (event) => this.over(event, true), dragleave: (event) => this.over(event, false),
      drop: (event) => {
        this.over(event, false);
        this.take(event.dataTransfer.files[0]);
      },
    }, this.file, this.said);
    this.canvas = h("canvas", { class: "shown", role: "img", hidden: true });
    this.answer = new Answer();
    this.element = h("div", { class: "files" }, this.zone, this.canvas, this.answer.element);
  }

  over(event, is) {
    event.preventDefault();
    this.zone.classList.toggle("over", is);
  }

  async take(file) {
    if (!file) return;
    say(this.said, `${file.name}, ${bytes(file.size)}`);
    this.zone.classList.add("taken");
    this.canvas.hidden = true;
    const raw = await file.arrayBuffer();
    const shape = this.input.shape.map((size) => (size < 0 ? 1 : size));
    const answer = await this.answer.of(() =>
      infer(this.model, [{ name: this.input.name, shape, datatype: "BYTES", raw }], { supersede: "file" }));
    if (!answer) return;
    this.shown = { file, raw, outputs: answer.outputs };
    await this.draw();
  }

  async draw() {
    if (!this.shown) return;
    const { file, raw, outputs } = this.shown;
    const pairs = (width) => outputs.find(({ shape }) => shape.slice(1).join() === width);
    const [boxes, segments] = [pairs("4,2"), pairs("2")];
    try {
      if (boxes && this.kind !== "sound") await this.picture(file, numbers(boxes));
      else if (segments && this.kind === "sound") await this.sound(raw, numbers(segments));
    } catch {
      // The browser cannot show what the model could read; the answer is there in words.
      this.canvas.hidden = true;
    }
  }

  async picture(file, corners) {
    const picture = await createImageBitmap(file);
    const width = Math.min(this.element.clientWidth || 320, picture.width, 720);
    const scale = width / picture.width;
    this.place(width, picture.height * scale, `The picture, with ${many(corners.length / 8, "box")} drawn in it`);
    const context = sharp(this.canvas, width, picture.height * scale);
    context.drawImage(picture, 0, 0, width, picture.height * scale);
    context.lineWidth = 2;
    context.strokeStyle = colour("sun");
    context.fillStyle = colour("sun-wash");
    for (let at = 0; at < corners.length; at += 8) {
      context.beginPath();
      for (let corner = 0; corner < 8; corner += 2) context.lineTo(corners[at + corner] * scale, corners[at + corner + 1] * scale);
      context.closePath();
      context.fill();
      context.stroke();
    }
  }

  async sound(raw, segments) {
    const audio = await new OfflineAudioContext(1, 1, 16000).decodeAudioData(raw.slice(0));
    const samples = audio.getChannelData(0);
    const [width, height] = [Math.min(this.element.clientWidth || 320, 720), 96];
    this.place(width, height, `The sound, with ${many(segments.length / 2, "stretch")} of speech marked`);
    const context = sharp(this.canvas, width, height);
    context.fillStyle = colour("sun-wash");
    for (let at = 0; at < segments.length; at += 2) {
      const [begin, end] = [segments[at], segments[at + 1]].map((seconds) => (seconds / audio.duration) * width);
      context.fillRect(begin, 0, end - begin, height);
    }
    context.fillStyle = colour("water");
    const step = samples.length / width;
    for (let x = 0; x < width; x += 1) {
      let most = 0;
      for (let at = Math.floor(x * step); at < (x + 1) * step; at += 1) most = Math.max(most, Math.abs(samples[at] ?? 0));
      context.fillRect(x, height / 2 - (most * height) / 2, 1, Math.max(most * height, 1));
    }
  }

  place(width, height, label) {
    this.canvas.style.width = `${width}px`;
    this.canvas.style.height = `${height}px`;
    this.canvas.setAttribute("aria-label", label);
    this.canvas.hidden = false;
  }
}
