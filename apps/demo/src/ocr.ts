// A picture, the lines that are read in it, and a box around each.

import type { Model } from "tauri-plugin-unruffled-api";

import { button, colour, fileButton, h, onColours, onceAFrame, sharp } from "./dom.ts";
import { many, ms } from "./figures.ts";
import { elements, progress } from "./outputs.ts";
import { Panel } from "./panel.ts";
import { ofFile, ofSample, type Source } from "./source.ts";

type Corner = [number, number];

export function ocrPanel(): Panel {
  const canvas = h("canvas", { id: "ocr-picture", "data-testid": "ocr-picture", class: "stack", role: "img", "aria-label": "The picture" });
  const lines = h("ol", { class: "lines", id: "ocr-lines", "data-testid": "ocr-lines", tabindex: "0", role: "listbox", "aria-label": "The lines that were read" });
  const page = h("div", { class: "page" }, canvas, lines);
  page.hidden = true;
  const panel = new Panel({
    id: "ocr",
    title: "Read pictures",
    model: "ocr",
    empty: "Drop a picture with text in it. The lines appear as they are read, each with its place.",
    take: (sources) => void take(sources),
  });

  let bitmap: ImageBitmap | undefined;
  let scaled: HTMLCanvasElement | undefined;
  let boxes: Corner[][] = [];
  let lit = -1;
  let scale = 1;

  async function take([source]: Source[]) {
    if (source) await panel.run("Looking at the picture", (signal, model) => work(signal, model, source));
  }

  async function work(signal: AbortSignal, model: Model, source: Source): Promise<string> {
    const image = await source.whole();
    // What the window cannot show, the model may read all the same.
    const shown = await createImageBitmap(new Blob([image])).catch(() => undefined);
    if (signal.aborted) {
      shown?.close();
      signal.throwIfAborted();
    }
    bitmap?.close();
    [bitmap, scaled, boxes, lit] = [shown, undefined, [], -1];
    lines.replaceChildren();
    panel.empty(false);
    page.hidden = false;
    fit();
    const begin = performance.now();
    let texts = 0;
    for await (const part of model.outputs({ image }, { signal })) {
      const scores = elements(part, "score", "FP32");
      const read = elements(part, "text", "BYTES")?.strings() ?? [];
      read.forEach((text, at) => addLine(texts + at, text, scores?.[at]));
      texts += read.length;
      const corners = elements(part, "boxes", "FP32");
      if (corners) {
        boxes.push(...Array.from({ length: corners.length / 8 }, (_, box) =>
          Array.from({ length: 4 }, (_, corner): Corner => [corners[box * 8 + corner * 2]!, corners[box * 8 + corner * 2 + 1]!])));
        panel.element.dataset.boxes = String(boxes.length);
        draw();
      }
      const far = progress(part);
      if (far) {
        panel.progress(far.all ? far.done / far.all : "unknown");
        panel.say(far.all ? `Read ${far.done} of ${many(far.all, "line")}` : `Read ${many(far.done, "line")}`);
      }
    }
    return texts === 0 ? `No text was found in ${ms(performance.now() - begin)}` : `${many(texts, "line")} in ${ms(performance.now() - begin)}`;
  }

  function addLine(at: number, text: string, score: number | undefined) {
    const line = h("li", { role: "option", id: `ocr-line-${at}`, "data-testid": "ocr-line", "aria-selected": "false" },
      h("span", {}, text || "(nothing)"), h("small", {}, score === undefined ? "" : `${Math.round(score * 100)} %`));
    line.addEventListener("pointerenter", () => light(at));
    lines.append(line);
  }

  /** Lights a line and its box; none with -1. */
  function light(at: number) {
    if (at === lit) return;
    lines.children[lit]?.setAttribute("aria-selected", "false");
    lit = at;
    const line = lines.children[at];
    line?.setAttribute("aria-selected", "true");
    line?.scrollIntoView({ block: "nearest" });
    if (line) lines.setAttribute("aria-activedescendant", line.id);
    else lines.removeAttribute("aria-activedescendant");
    panel.element.dataset.lit = String(at);
    draw();
  }

  /** The picture as large as there is room. */
  function fit() {
    canvas.hidden = !bitmap;
    if (!bitmap || page.hidden) return;
    const room = page.getBoundingClientRect();
    const narrow = getComputedStyle(page).flexDirection === "column";
    const wide = narrow ? room.width : room.width * 0.6;
    const high = narrow ? Math.max(220, window.innerHeight * 0.35) : room.height;
    scale = Math.min(wide / bitmap.width, high / bitmap.height, 1.5);
    const [width, height] = [Math.max(bitmap.width * scale, 1), Math.max(bitmap.height * scale, 1)];
    canvas.style.width = `${width}px`;
    canvas.style.height = `${height}px`;
    // Scaled once: boxes are drawn over it often.
    scaled = document.createElement("canvas");
    const context = sharp(scaled, width, height);
    context.imageSmoothingQuality = "high";
    context.drawImage(bitmap, 0, 0, width, height);
    draw();
  }

  const draw = onceAFrame(() => {
    if (!bitmap || !scaled) return;
    const [width, height] = [bitmap.width * scale, bitmap.height * scale];
    const context = sharp(canvas, width, height);
    context.drawImage(scaled, 0, 0, width, height);
    const [plain, bright, line] = [colour("box"), colour("lit"), colour("sun-line")];
    context.strokeStyle = line;
    boxes.forEach((corners, at) => {
      context.beginPath();
      for (const [x, y] of corners) context.lineTo(x * scale, y * scale);
      context.closePath();
      context.fillStyle = at === lit ? bright : plain;
      context.lineWidth = at === lit ? 2.5 : 1.25;
      context.fill();
      context.stroke();
    });
    canvas.setAttribute("aria-label", boxes.length > 0 ? `The picture, with ${many(boxes.length, "box", "boxes")} drawn in it` : "The picture");
  });

  /** The box under a point of the canvas. */
  function boxAt(x: number, y: number): number {
    return boxes.findIndex((corners) => {
      let inside = false;
      corners.forEach(([ax, ay], at) => {
        const [bx, by] = corners[(at + 1) % corners.length]!;
        if (ay > y !== by > y && x < ((bx - ax) * (y - ay)) / (by - ay) + ax) inside = !inside;
      });
      return inside;
    });
  }

  canvas.addEventListener("pointermove", ({ offsetX, offsetY }) => light(boxAt(offsetX / scale, offsetY / scale)));
  canvas.addEventListener("pointerleave", () => light(-1));
  lines.addEventListener("pointerleave", () => light(-1));
  lines.addEventListener("blur", () => light(-1));
  lines.addEventListener("keydown", (event) => {
    const last = lines.children.length - 1;
    const to = { ArrowDown: Math.min(lit + 1, last), ArrowUp: Math.max(lit - 1, 0), Home: 0, End: last }[event.key];
    if (to === undefined) return;
    event.preventDefault();
    light(to);
  });
  window.addEventListener("resize", fit);
  onColours(draw);
  const choose = fileButton("ocr-input", "Open…", "image/*", (files) => void take(files.map(ofFile)));
  const example = button("ocr-sample", "Sample", () => void take([ofSample("page.png")]));
  panel.tools.append(choose, example);
  panel.body.append(page);
  return panel;
}
