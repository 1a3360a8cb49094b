// Files turn over, one by one, as it becomes known what they really are.

import type { Model } from "tauri-plugin-unruffled-api";

import { MAGIKA, numbersOf, type FileRule } from "./ends.ts";
import { samples } from "./app.ts";
import { button, fileButton, h, say } from "./dom.ts";
import { many, ms } from "./figures.ts";
import { animate } from "./frames.ts";
import { inWords, ending, isMisnamed } from "./kinds.ts";
import { elements } from "./outputs.ts";
import { Panel, tell } from "./panel.ts";
import { ofFile, ofSample, type Source } from "./source.ts";

/** So many tiles are kept; the oldest leave. */
const MOST = 600;

/** Files that are at work at the same time. */
const IN_FLIGHT = 16;

/** What a tile takes to turn over. */
const TURN_MS = 300;

const still = matchMedia("(prefers-reduced-motion: reduce)");

export function filesPanel(): Panel {
  const list = h("ol", { class: "tiles", id: "files-list", "data-testid": "files-list", tabindex: "0", "aria-label": "Files and what they are" });
  const panel = new Panel({
    id: "files",
    title: "Recognise files",
    model: "magika",
    empty: "Drop files of any kind. Each is named by what is in it, not by what it is called.",
    take: (sources) => take(sources),
  });
  const waiting: Tile[] = [];
  let going = false;

  function take(sources: Source[]) {
    panel.empty(false);
    for (const source of sources) {
      const tile = new Tile(source);
      waiting.push(tile);
      list.append(tile.element);
    }
    while (list.children.length > MOST) list.firstElementChild?.remove();
    const first = list.children[list.children.length - sources.length];
    if (first instanceof HTMLElement) panel.body.scrollTo({ top: first.offsetTop });
    if (!going) void go();
  }

  /** Until nothing waits: what comes while a stream is open goes into it, what comes while it is closed into the next. */
  async function go() {
    going = true;
    while (waiting.length > 0) {
      await panel.run("Reading the ends of the files", work);
      if (panel.element.dataset.work === "done") continue;
      for (const tile of waiting.splice(0)) tile.stop();
    }
    going = false;
  }

  async function work(signal: AbortSignal, model: Model): Promise<string> {
    const rule: FileRule = model.status.from?.["bytes"] ?? MAGIKA;
    const labels = model.status.labels?.["target_label"] ?? [];
    const begin = performance.now();
    const pushed: Tile[] = [];
    let [known, failed, misnamed] = [0, 0, 0];

    async function* inputs() {
      for (let tile = waiting.shift(); tile; tile = waiting.shift()) {
        try {
          const { head, tail } = await tile.source.ends(rule.block);
          const data = numbersOf(head, tail, rule);
          pushed.push(tile);
          yield { bytes: { datatype: "INT32" as const, shape: [1, data.length], data } };
        } catch (error) {
          failed += 1;
          tile.fail(tell(error));
        }
      }
    }

    try {
      for await (const result of model.stream(inputs(), { signal, inFlight: IN_FLIGHT })) {
        const tile = pushed[result.item];
        const scores = elements(result.outputs, "target_label", "FP32");
        if (tile && scores) {
          known += 1;
          misnamed += Number(tile.turn(labels, scores));
        } else if (tile && result.error) {
          failed += 1;
          tile.fail(tell(result.error));
        }
        panel.progress((known + failed) / Math.max(pushed.length + waiting.length, known + failed));
      }
    } finally {
      for (const tile of pushed) tile.stop(); // those that were answered have turned over
    }
    const odd = misnamed > 0 ? `; ${misnamed} ${misnamed === 1 ? "is" : "are"} not what the name says` : "";
    const bad = failed > 0 ? `; ${failed} could not be read` : "";
    return `${many(known, "file")} in ${ms(performance.now() - begin)}${odd}${bad}`;
  }

  const choose = fileButton("files-input", "Open…", "", (files) => take(files.map(ofFile)), true);
  const sample = button("files-sample", "Samples", () => {
    samples().then((names) => take(names.map(ofSample))).catch((error: unknown) => panel.say(tell(error), "bad"));
  });
  panel.tools.append(choose, sample);
  panel.body.append(list);
  return panel;
}

/** A file: what its name says, and on the other side what it is. */
class Tile {
  readonly element: HTMLElement;
  private readonly what: HTMLElement;
  private readonly sure = h("small");

  constructor(readonly source: Source) {
    const end = ending(source.name);
    this.what = h("b", {}, end ? `.${end}` : "?");
    this.element = h("li", { class: "tile", "data-testid": "file", "data-state": "waiting", "data-name": source.name, title: source.name },
      this.what, h("span", {}, h("i", {}, source.name), this.sure));
  }

  /** Shows the likeliest label; gives whether the name promises another. */
  turn(labels: readonly string[], scores: Float32Array): boolean {
    let best = 0;
    for (let at = 1; at < scores.length; at += 1) if (scores[at]! > scores[best]!) best = at;
    const label = labels[best] ?? `class ${best}`;
    const odd = isMisnamed(this.source.name, label);
    const score = scores[best] ?? 0;
    const told = `${Math.floor(score * 100)} %`;
    Object.assign(this.element.dataset, { label, score: score.toFixed(4), odd: String(odd) });
    this.element.title = `${this.source.name}: ${inWords(label)}, ${told}`;
    this.flip("known", () => {
      say(this.what, inWords(label));
      say(this.sure, odd ? "misnamed" : score < 0.9 ? told : "");
    });
    return odd;
  }

  fail(why: string) {
    this.element.title = `${this.source.name}: ${why}`;
    this.flip("failed", () => say(this.what, why));
  }

  stop() {
    if (this.element.dataset.state !== "waiting") return;
    this.element.dataset.state = "stopped";
    say(this.sure, "stopped");
  }

  private flip(state: string, swap: () => void) {
    this.element.dataset.state = state;
    const face = () => {
      this.element.dataset.face = state;
      swap();
    };
    if (still.matches) return face();
    // Not an animation of the style sheet: those get a layer each, which costs more than the few tiles that turn at a time.
    let turned = false;
    animate((elapsed) => {
      const part = Math.min(elapsed / TURN_MS, 1);
      if (part > 0.4 && !turned) {
        turned = true;
        face();
      }
      const flat = part < 0.4 ? Math.cos((part / 0.4) * (Math.PI / 2)) : Math.sin(((part - 0.4) / 0.6) * (Math.PI / 2));
      this.element.style.transform = part < 1 ? `scaleY(${Math.max(flat, 0.02).toFixed(3)})` : "";
      return part < 1 ? "on" : "done";
    });
  }
}
