// A recording as a wave, with the stretches that were found in it marked as they are found.

import { Answer, numbers } from "./answer.js";
import { Drop } from "./drop.js";
import { colour, h, say, sharp } from "./dom.js";
import { inferEach } from "./infer.js";
import { many } from "./tell.js";

const [WIDEST, HEIGHT] = [720, 96];

const seconds = (value) => `${value.toFixed(1)} s`;

export class SoundPanel {
  constructor(model) {
    this.model = model;
    this.input = model.inputs.find(({ optional }) => !optional);
    this.drop = new Drop("a recording", "audio/*", (file) => this.take(file));
    this.canvas = h("canvas", { class: "shown", role: "img" });
    this.length = h("figcaption", { class: "note" });
    this.shown = h("figure", { hidden: true }, this.canvas, this.length);
    this.heard = h("progress", { max: "1", value: "0", "aria-label": "How much of it was listened to", hidden: true });
    this.found = h("ol", { class: "stretches", "aria-live": "polite" });
    this.answer = new Answer();
    this.element = h("div", { class: "files" }, this.drop.element, this.shown, this.heard, this.found, this.answer.element);
  }

  request() {
    return this.asked ?? null;
  }

  async take(file) {
    this.asking?.abort();
    const { signal } = (this.asking = new AbortController());
    const raw = await file.arrayBuffer();
    // What the browser cannot play, the model may hear all the same.
    this.audio = await new OfflineAudioContext(1, 1, 16000).decodeAudioData(raw.slice(0)).catch(() => null);
    if (signal.aborted) return;
    this.show([]);
    const shape = this.input.shape.map((size) => (size < 0 ? 1 : size));
    this.asked = { inputs: [{ name: this.input.name, shape, datatype: "BYTES", raw }] };
    await this.answer.of(() => inferEach(this.model, this.asked, { signal, each: (outputs) => this.show(outputs) }),
      (outputs) => this.show(outputs));
    this.heard.hidden = true;
  }

  show(outputs) {
    const segments = outputs.find(({ datatype, shape }) => /^FP/.test(datatype) && shape.length === 2 && shape[1] === 2);
    const flat = segments ? numbers(segments) : [];
    this.stretches = Array.from({ length: flat.length / 2 }, (_, at) => flat.slice(2 * at, 2 * at + 2));
    const [done, all] = outputs.find(({ name, shape }) => name === "progress" && shape.join() === "2")?.data ?? [];
    this.heard.hidden = !(all > 0);
    if (all > 0) this.heard.value = done / all;
    this.stretches.slice(this.found.children.length).forEach(([begin, end]) =>
      this.found.append(h("li", {}, `${seconds(begin)} to ${seconds(end)}`)));
    while (this.found.children.length > this.stretches.length) this.found.lastChild.remove();
    this.draw();
  }

  draw() {
    this.shown.hidden = !this.audio;
    if (!this.audio) return;
    const { duration } = this.audio;
    const samples = this.audio.getChannelData(0);
    const width = Math.min(this.element.clientWidth || 320, WIDEST);
    this.canvas.style.width = `${width}px`;
    this.canvas.style.height = `${HEIGHT}px`;
    this.canvas.setAttribute("aria-label", `The recording, ${seconds(duration)}, with ${many(this.stretches.length, "stretch", "stretches")} marked`);
    say(this.length, `${seconds(duration)}, ${many(this.stretches.length, "stretch", "stretches")} of speech`);
    const context = sharp(this.canvas, width, HEIGHT);
    const at = (second) => (second / duration) * width;
    for (const [begin, end] of this.stretches) {
      context.fillStyle = colour("sun-wash");
      context.fillRect(at(begin), 0, at(end) - at(begin), HEIGHT);
      context.fillStyle = colour("sun");
      context.fillRect(at(begin), HEIGHT - 2, at(end) - at(begin), 2);
    }
    context.fillStyle = colour("water");
    const step = samples.length / width;
    for (let x = 0; x < width; x += 1) {
      let most = 0;
      for (let one = Math.floor(x * step); one < (x + 1) * step; one += 1) most = Math.max(most, Math.abs(samples[one] ?? 0));
      context.fillRect(x, HEIGHT / 2 - (most * HEIGHT) / 2, 1, Math.max(most * HEIGHT, 1));
    }
  }

  close() {
    this.asking?.abort();
  }
}
