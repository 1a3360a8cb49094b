// The water at the bottom of the window. It is drawn every frame, so a window that stands still is seen to; and what was late ruffles it.

import { colour, onColours } from "./dom.ts";
import { everyFrame } from "./frames.ts";

/** Room above the still surface, in CSS pixels. */
const SKY = 34;

/** A layer: how high, how long and how fast its waves are, and how deep below the surface it lies. */
const LAYERS = [
  { high: 5, long: 410, speed: 0.021, deep: -7, name: "wave-far" },
  { high: 4.5, long: 290, speed: -0.03, deep: -1, name: "wave-mid" },
  { high: 4, long: 350, speed: 0.042, deep: 6, name: "wave-near" },
] as const;

/** A gap between frames is late from here on; a screen's own rhythm is not. */
const LATE_MS = 34;

const still = matchMedia("(prefers-reduced-motion: reduce)");

export function water(canvas: HTMLCanvasElement) {
  const context = canvas.getContext("2d")!; // every webview that Tauri runs in has it
  let [width, height, ratio] = [0, 0, 1];
  let colours: string[] = [];
  let [sun, glint] = ["", ""];
  let phase = 0;
  let ruffled = 0;

  const recolour = () => {
    colours = LAYERS.map(({ name }) => colour(name, canvas));
    [sun, glint] = [colour("sun-disc", canvas), colour("glint", canvas)];
  };
  const fit = () => {
    ratio = Math.min(window.devicePixelRatio || 1, 2);
    [width, height] = [canvas.clientWidth, canvas.clientHeight];
    [canvas.width, canvas.height] = [Math.max(Math.round(width * ratio), 1), Math.max(Math.round(height * ratio), 1)];
  };
  recolour();
  fit();
  new ResizeObserver(fit).observe(canvas);
  onColours(recolour);

  everyFrame((_, gap) => {
    const step = Math.min(gap, 50);
    phase += still.matches ? step / 4 : step;
    if (gap > LATE_MS) ruffled = Math.min(ruffled + Math.log2(gap / LATE_MS) * 0.5, 2.2);
    ruffled *= Math.exp(-step / 1800);
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    context.clearRect(0, 0, width, height);
    const sunX = width * 0.86;
    LAYERS.forEach((layer, at) => {
      if (at === 1) disc(sunX);
      context.fillStyle = colours[at]!;
      context.beginPath();
      context.moveTo(0, height);
      for (let x = 0; x <= width + 8; x += 8) context.lineTo(x, SKY + layer.deep + swell(layer, x));
      context.lineTo(width, height);
      context.fill();
    });
    glints(sunX);
  });

  function swell({ high, long, speed }: (typeof LAYERS)[number], x: number): number {
    const at = x + phase * speed * 1.4;
    const calm = Math.sin((at / long) * 2 * Math.PI) * high * 0.6 + Math.sin((at / (long * 0.43)) * 2 * Math.PI + 1.3) * high * 0.25;
    return ruffled < 0.01 ? calm : calm + Math.sin(at / 7.5 + phase / 210) * Math.sin(at / 61) * 4 * ruffled;
  }

  function disc(x: number) {
    context.fillStyle = sun;
    context.beginPath();
    context.arc(x, SKY - 4, 17, Math.PI, 2 * Math.PI);
    context.arc(x, SKY - 4, 17, 0, Math.PI);
    context.fill();
  }

  /** The light of the sun on the water, in strokes that are never still. */
  function glints(x: number) {
    context.strokeStyle = glint;
    context.lineWidth = 1.6;
    context.lineCap = "round";
    for (let row = 0; row < 4; row += 1) {
      const half = (15 - row * 3) * (0.75 + 0.25 * Math.sin(phase / 640 + row * 1.9));
      const shift = Math.sin(phase / 900 + row * 2.4) * 3;
      context.globalAlpha = 0.75 - row * 0.16;
      context.beginPath();
      context.moveTo(x + shift - half, SKY + 13 + row * 6);
      context.lineTo(x + shift + half, SKY + 13 + row * 6);
      context.stroke();
    }
    context.globalAlpha = 1;
  }
}
