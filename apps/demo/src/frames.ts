// How smoothly this window is drawn: the gaps between its frames, between movements of the pointer, and the time of a round trip.

import { invoke } from "@tauri-apps/api/core";
import * as api from "tauri-plugin-unruffled-api";

import { ping as roundTrip } from "./app.ts";
import { Recent, summary, type Summary } from "./figures.ts";

/** Ten minutes at 60 frames a second. */
const MOST = 36_000;

/** The last ten seconds, for people; and since `reset`, for tests. */
export const WINDOW_MS = 10_000;

/** The gaps that frames end, with the time at which they do. */
export const frames = new Recent(MOST);
const measured = new Recent(MOST);
const pointers = new Recent(MOST);

type Draw = (now: number, gap: number) => void;
const drawers: Draw[] = [];

/** Draws every frame. */
export const everyFrame = (draw: Draw) => drawers.push(draw);

/** Draws frames until `draw`, which is given how long it is under way, says that it is done. */
export function animate(draw: (elapsed: number) => "on" | "done") {
  let begin: number | undefined;
  const step = (now: number) => {
    begin ??= now;
    if (draw(now - begin) === "on") requestAnimationFrame(step);
  };
  requestAnimationFrame(step);
}

let last: number | undefined;
let lastMove: number | undefined;

/** While the page is being put together, nothing is counted. */
const SETTLED_MS = 400;
let begin: number | undefined;

function frame(now: number) {
  begin ??= now;
  const gap = last === undefined ? 0 : now - last;
  if (last !== undefined) {
    frames.add(now, gap);
    measured.add(now, gap);
  }
  last = now - begin < SETTLED_MS ? undefined : now;
  for (const draw of drawers) draw(now, gap);
  requestAnimationFrame(frame);
}

/** A round trip of an empty command every 10 ms, whether or not those before are back. */
async function ping(seconds: number): Promise<Summary & { failed: number }> {
  const times: number[] = [];
  const under: Promise<void>[] = [];
  let failed = 0;
  const end = performance.now() + seconds * 1000;
  await new Promise<void>((done) => {
    const timer = setInterval(() => {
      const begin = performance.now();
      if (begin >= end) {
        clearInterval(timer);
        done();
        return;
      }
      under.push(roundTrip().then(() => void times.push(performance.now() - begin), () => void (failed += 1)));
    }, 10);
  });
  await Promise.all(under);
  return { ...summary(times), failed };
}

/** What WebDriver asks. */
const demo = {
  /** Gaps between frames since `reset`, in ms. */
  frames: (): Summary => measured.summary(),
  reset() {
    measured.clear();
    pointers.clear();
    lastMove = undefined;
  },
  ping,
  /** Gaps between movements of the pointer since `reset`: it is to be moved all the time. */
  pointer(): Summary {
    return pointers.summary();
  },
  /** The package, as the page uses it. */
  api,
  /** The number of the app's process. */
  pid: () => invoke<number>("pid"),
  /** Closes the window. */
  close: () => invoke("close"),
  /** A command of the app. */
  invoke,
};

declare global {
  interface Window {
    __demo: typeof demo;
  }
}

export function watchFrames() {
  window.__demo = demo;
  requestAnimationFrame(frame);
  // A window that is not shown is not drawn: that is no gap.
  document.addEventListener("visibilitychange", () => {
    last = undefined;
    lastMove = undefined;
  });
  window.addEventListener("pointermove", () => {
    const now = performance.now();
    if (lastMove !== undefined) pointers.add(now, now - lastMove);
    lastMove = now;
  }, { passive: true });
}
