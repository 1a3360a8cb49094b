// What the window is made to bear: every core at work through the plugin; and for contrast, the usual ways.

import { UnruffledError, load } from "tauri-plugin-unruffled-api";

import { blockPool, blockUsual } from "./app.ts";
import { button, byId, say } from "./dom.ts";
import { ms } from "./figures.ts";
import { everyFrame } from "./frames.ts";
import { tell } from "./panel.ts";

const MODEL = "sentence-embedding";

/** So many requests to `inferBatch` at a time, with so many texts each: something always waits. */
const [LOOPS, TEXTS] = [3, 16];

/** What a contrast has shown stands for so long. */
const HELD_MS = 6000;

/** Long enough to cost something, and never the same, so that no answer is remembered. */
const text = (seed: number) =>
  `${seed}. The harbour lay still before sunrise, and the boats turned slowly at their moorings while the tide went out. `.repeat(3);

/** What runs here, for the sentence about how calm the window is. */
export const burden = { saturated: false };

export function burdenControls(): HTMLElement[] {
  const told = byId("burden-said");
  let working: AbortController | undefined;
  let seed = 0;
  let rate = 0;
  let heldUntil = 0;

  async function loop(signal: AbortSignal) {
    const model = await load(MODEL, { signal });
    while (!signal.aborted) {
      const items = Array.from({ length: TEXTS }, () => ({ text: text((seed += 1)) }));
      const settled = await model.inferBatch(items, { signal, priority: "bulk" });
      rate += settled.filter(({ status }) => status === "fulfilled").length;
      const refused = settled.find((one) => one.status === "rejected")?.reason as unknown;
      if (refused instanceof UnruffledError && refused.code === "overloaded") {
        await new Promise((done) => setTimeout(done, refused.retryAfterMs ?? 200));
      } else if (refused !== undefined) throw refused;
    }
  }

  async function saturate() {
    if (working) return working.abort();
    const { signal } = (working = new AbortController());
    const begin = performance.now();
    rate = 0;
    burden.saturated = true;
    busy.setAttribute("aria-pressed", "true");
    say(told, "Every core is at work");
    const timer = setInterval(() => {
      if (performance.now() > heldUntil) say(told, `${((rate * 1000) / (performance.now() - begin)).toFixed(0)} texts a second, on every core`);
    }, 1000);
    try {
      await Promise.all(Array.from({ length: LOOPS }, () => loop(signal)));
    } catch (error) {
      if (!signal.aborted) {
        working.abort(); // the others of its kind
        hold(tell(error));
      }
    } finally {
      if (signal.aborted && performance.now() > heldUntil) say(told, "");
      clearInterval(timer);
      working = undefined;
      burden.saturated = false;
      busy.setAttribute("aria-pressed", "false");
    }
  }

  /** Calls a command that computes for half a second in one of the usual ways, and says what it did to the window. */
  async function contrast(button: HTMLButtonElement, name: string, block: (ms: number) => Promise<unknown>) {
    button.disabled = true;
    worst = 0;
    try {
      await block(500);
      // The frame that was late is drawn after the answer has come.
      await new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)));
      hold(`${name}: ${worst > 100 ? "the window stood still for" : "the longest gap between frames was"} ${ms(worst)}`);
    } catch (error) {
      hold(`${name}: ${tell(error)}`);
    } finally {
      button.disabled = false;
    }
  }

  /** Says something that is not to be talked over at once. */
  function hold(text: string) {
    heldUntil = performance.now() + HELD_MS;
    say(told, text);
  }

  let worst = 0;
  everyFrame((_, gap) => (worst = Math.max(worst, gap)));

  const busy = button("saturate", "Saturate every core", () => void saturate(), "");
  busy.setAttribute("aria-pressed", "false");
  const usual = button("block-usual", "The usual way", () => void contrast(usual, "A synchronous command", blockUsual));
  usual.title = "A synchronous command that computes for half a second where the window is drawn";
  const pool = button("block-pool", "spawn_blocking", () => void contrast(pool, "spawn_blocking", blockPool), "quiet small");
  pool.title = "The same work in spawn_blocking";
  return [busy, usual, pool];
}
