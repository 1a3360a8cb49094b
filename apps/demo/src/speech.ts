// A recording as a wave, which is coloured as far as it was heard; where somebody speaks is marked as it is found.

import type { Model } from "tauri-plugin-unruffled-api";

import { button, colour, fileButton, h, nextFrame, onColours, onceAFrame, sharp } from "./dom.ts";
import { many, ms } from "./figures.ts";
import { elements, progress } from "./outputs.ts";
import { Panel, tell } from "./panel.ts";
import { ofFile, ofSample, type Source } from "./source.ts";
import { extremes, readWav } from "./wav.ts";

/** The wave is kept in so many pieces. */
const PIECES = 1200;

/** A bar of the wave and the gap beside it, in pixels. */
const STEP = 3;

/** Of each frame, so much may go into looking at samples. */
const SLICE_MS = 4;

const seconds = (value: number) => `${value.toFixed(1)} s`;

export function speechPanel(): Panel {
  const canvas = h("canvas", { role: "img", id: "speech-wave", "data-testid": "speech-wave" });
  const axis = h("p", { class: "axis", "aria-hidden": "true" });
  const chips = h("ol", { class: "chips", id: "speech-segments", "data-testid": "speech-segments", tabindex: "0", "aria-label": "Where somebody speaks", "aria-live": "polite" });
  const sound = h("div", { class: "sound" }, h("div", { class: "wave" }, canvas), axis, chips);
  sound.hidden = true;
  const panel = new Panel({
    id: "speech",
    title: "Find speech",
    model: "speech",
    empty: "Drop a WAV recording. Where somebody speaks is marked while it is still being listened to.",
    take: (sources) => void take(sources),
  });

  let wave = new Float32Array();
  let segments: [number, number][] = [];
  let loudest = 0.05;
  let duration = 0;
  let heard = 0;

  async function take([source]: Source[]) {
    if (source) await panel.run("Opening the recording", (signal, model) => work(signal, model, source));
  }

  async function work(signal: AbortSignal, model: Model, source: Source): Promise<string> {
    const audio = await source.whole();
    signal.throwIfAborted();
    [wave, segments, duration, heard] = [new Float32Array(), [], 0, 0];
    chips.replaceChildren();
    axis.replaceChildren();
    panel.empty(false);
    sound.hidden = false;
    draw();
    // What the window cannot draw, the model may hear all the same.
    let undrawn = "";
    const drawn = look(audio, signal).catch((error: unknown) => {
      if (!signal.aborted) undrawn = `; ${tell(error)}, so there is no wave`;
    });
    panel.say("Listening");
    const begin = performance.now();
    for await (const part of model.outputs({ audio }, { signal })) {
      const found = elements(part, "segments", "FP64");
      for (let at = 0; found && at + 1 < found.length; at += 2) addSegment(found[at]!, found[at + 1]!);
      const far = progress(part);
      if (far) {
        heard = far.all ? far.done / far.all : 0;
        panel.progress(far.all ? heard : "unknown");
      }
      advance();
    }
    heard = 1;
    await drawn;
    draw();
    const spoken = segments.reduce((sum, [from, to]) => sum + to - from, 0);
    const length = duration > 0 ? ` of ${seconds(duration)}` : "";
    return `${many(segments.length, "stretch", "stretches")} of speech, ${seconds(spoken)}${length}, heard in ${ms(performance.now() - begin)}${undrawn}`;
  }

  /** Looks at the samples a few at a time, so that no frame is late. */
  async function look(audio: Uint8Array, signal: AbortSignal) {
    const wav = readWav(audio);
    duration = wav.frames / wav.rate;
    axis.replaceChildren(...[0, 0.25, 0.5, 0.75, 1].map((part) => h("span", {}, seconds(part * duration))));
    wave = new Float32Array(2 * PIECES);
    loudest = 0.05;
    let until = performance.now() + SLICE_MS;
    for (let piece = 0; piece < PIECES; piece += 1) {
      const [from, to] = [Math.floor((piece / PIECES) * wav.frames), Math.ceil(((piece + 1) / PIECES) * wav.frames)];
      const [low, high] = extremes(audio, wav, from, to);
      wave.set([low, high], 2 * piece);
      loudest = Math.max(loudest, -low, high);
      if (performance.now() < until) continue;
      draw();
      await nextFrame();
      signal.throwIfAborted();
      until = performance.now() + SLICE_MS;
    }
    draw();
  }

  function addSegment(from: number, to: number) {
    segments.push([from, to]);
    const chip = h("li", { "data-testid": "segment" }, `${from.toFixed(1)} – ${seconds(to)}`);
    chip.dataset.from = from.toFixed(3);
    chip.dataset.to = to.toFixed(3);
    chips.append(chip);
  }

  /** What the canvas shows: its size, the stretches, and as far as it was heard. */
  let shown = { width: 0, height: 0, segments: 0, edge: 0 };

  /** Everything, after a change of the whole. */
  const draw = onceAFrame(() => paint(true));
  /** What has changed since, once a frame: mostly a few pixels. */
  const advance = onceAFrame(() => paint(false));

  function paint(all: boolean) {
    if (sound.hidden) return;
    const { clientWidth: width, clientHeight: height } = canvas.parentElement!;
    if (width === 0) return;
    const edge = Math.round((heard * width) / STEP) * STEP;
    all ||= width !== shown.width || height !== shown.height || segments.length !== shown.segments;
    const from = all ? 0 : Math.max(shown.edge - STEP, 0);
    const to = all ? width : edge + STEP;
    shown = { width, height, segments: segments.length, edge };
    const length = Math.max(duration, ...segments.slice(-1).map(([, to]) => to), 0.1);
    const context = all ? sharp(canvas, width, height) : canvas.getContext("2d")!;
    context.save();
    context.beginPath();
    context.rect(from, 0, to - from, height);
    context.clip();
    context.clearRect(from, 0, to - from, height);
    for (const [name, top] of [["sun-wash", 0], ["sun", height - 3]] as const) {
      context.fillStyle = colour(name);
      for (const [first, last] of segments) context.fillRect((first / length) * width, top, ((last - first) / length) * width, height - top);
    }
    bars(context, width, height, from, Math.min(edge, to), "water");
    bars(context, width, height, Math.max(edge, from), to, "faint");
    if (heard > 0 && heard < 1) {
      context.fillStyle = colour("water");
      context.fillRect(edge, 0, 1.5, height);
    }
    context.restore();
    if (all) canvas.setAttribute("aria-label", `The recording, ${seconds(length)}, with ${many(segments.length, "stretch", "stretches")} of speech marked`);
  }

  function bars(context: CanvasRenderingContext2D, width: number, height: number, from: number, to: number, name: string) {
    const middle = height / 2;
    const reach = (middle - 8) / loudest;
    context.fillStyle = colour(name);
    for (let left = Math.ceil(from / STEP) * STEP; left < to; left += STEP) {
      const [first, last] = [Math.floor((left / width) * PIECES), Math.max(Math.ceil(((left + STEP) / width) * PIECES), 1)];
      let low = 0;
      let high = 0;
      for (let piece = first; piece < last; piece += 1) {
        low = Math.min(low, wave[2 * piece] ?? 0);
        high = Math.max(high, wave[2 * piece + 1] ?? 0);
      }
      context.fillRect(left, middle - high * reach - 0.75, STEP - 1, (high - low) * reach + 1.5);
    }
  }

  window.addEventListener("resize", draw);
  onColours(draw);
  const choose = fileButton("speech-input", "Open…", ".wav,audio/wav,audio/x-wav", (files) => void take(files.map(ofFile)));
  const example = button("speech-sample", "Sample", () => void take([ofSample("speech.wav")]));
  panel.tools.append(choose, example);
  panel.body.append(sound);
  return panel;
}
