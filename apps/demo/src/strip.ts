// The strip at the bottom: how smoothly the window is drawn, what the engine does, and what can be put on it.

import { metrics, type Metrics } from "tauri-plugin-unruffled-api";

import { burden, burdenControls } from "./burden.ts";
import { byId, say } from "./dom.ts";
import { ms } from "./figures.ts";
import { WINDOW_MS, frames } from "./frames.ts";
import { tell } from "./panel.ts";
import { SEEN_MS, plot } from "./plot.ts";
import { water } from "./water.ts";

const POLL_MS = 500;

/** A stall is spoken of for so long. */
const SPOKEN_MS = 5000;

export function strip() {
  water(byId<HTMLCanvasElement>("water"));
  plot(byId<HTMLCanvasElement>("frame-plot"));
  byId("controls").append(...burdenControls());

  let asking = false;
  setInterval(() => {
    drawn();
    if (asking || document.hidden) return;
    asking = true;
    metrics().then(engine, (error: unknown) => say(byId("engine-said"), `No figures: ${tell(error)}`)).finally(() => (asking = false));
  }, POLL_MS);
}

/** What the window says of itself. */
function drawn() {
  const now = performance.now();
  const { p99, max, count } = frames.summary(now - WINDOW_MS);
  if (count === 0) return;
  say(byId("frames-p99"), ms(p99));
  say(byId("frames-max"), ms(max));
  const worst = frames.summary(now - SPOKEN_MS).max;
  const mood = worst >= SEEN_MS ? "ruffled" : burden.saturated ? "busy" : "calm";
  byId("mood").dataset.kind = mood;
  say(byId("mood"), {
    ruffled: `Ruffled: the window stood still for ${ms(worst)}`,
    busy: "Every core is at work, and the window is calm",
    calm: "Calm: the window never waits for a model",
  }[mood]);
}

/** The latest of the last few seconds, where it is known. */
function late(element: HTMLElement, lateness: Metrics["main_thread"]) {
  say(element, ms(lateness?.recent_max_ms ?? lateness?.p99_ms));
  element.title = lateness ? `p99 ${ms(lateness.p99_ms)}, longest ${ms(lateness.max_ms)} since the window opened` : "";
}

/** What the engine says. */
function engine({ models, main_thread, runtime }: Metrics) {
  const sum = (of: (model: Metrics["models"][number]) => number) => models.reduce((all, model) => all + (of(model) || 0), 0);
  late(byId("main-late"), main_thread);
  late(byId("runtime-late"), runtime);
  say(byId("queued"), String(sum(({ queued }) => queued)));
  say(byId("running"), String(sum(({ running }) => running)));
  const batches = models.map(({ batch_rows }) => batch_rows?.max ?? 0);
  say(byId("batch"), batches.length ? Math.max(...batches).toLocaleString("en") : "–");
  say(byId("engine-said"), "");
}
