// The gaps between frames of the last ten seconds, one bar each: a window that stands still leaves a broad one.

import { colour, onColours, sharp } from "./dom.ts";
import { WINDOW_MS, everyFrame, frames } from "./frames.ts";

/** Heights are logarithmic, between these. */
const [LOW_MS, HIGH_MS] = [8, 1000];

/** From here on a gap is seen. */
export const SEEN_MS = 100;

/** The room of what the lines are called. */
const LABEL = 46;

const level = (gap: number) => Math.min(Math.max(Math.log(gap / LOW_MS) / Math.log(HIGH_MS / LOW_MS), 0.02), 1);

export function plot(canvas: HTMLCanvasElement) {
  let odd = false;
  let colours = { calm: "", late: "", rule: "", label: "" };
  const recolour = () => {
    colours = { calm: colour("foam", canvas), late: colour("sun-disc", canvas), rule: colour("rule", canvas), label: colour("foam-soft", canvas) };
  };
  recolour();
  onColours(recolour);

  everyFrame((now) => {
    odd = !odd;
    if (odd) return; // it moves by half a pixel a frame
    const [width, height] = [canvas.clientWidth, canvas.clientHeight];
    if (width === 0) return;
    const context = sharp(canvas, width, height);
    context.font = "10.5px system-ui, sans-serif";
    context.textAlign = "right";
    context.textBaseline = "middle";
    for (const gap of [17, SEEN_MS]) {
      const y = Math.round(height - level(gap) * height);
      context.fillStyle = colours.rule;
      context.fillRect(0, y, width - LABEL, 1);
      context.fillStyle = colours.label;
      context.fillText(`${gap} ms`, width, y + 0.5);
    }
    for (const late of [false, true]) {
      context.beginPath();
      frames.each(now - WINDOW_MS, (gap, time) => {
        if (gap > 50 !== late) return;
        const right = (1 - (now - time) / WINDOW_MS) * (width - LABEL);
        const wide = Math.max((gap / WINDOW_MS) * (width - LABEL), 0.6);
        const high = level(gap) * height;
        if (late) context.rect(right - wide, height - high, wide, high);
        else context.rect(right - wide, height - high, wide, 1.75);
      });
      context.fillStyle = late ? colours.late : colours.calm;
      context.fill();
    }
  });
}
