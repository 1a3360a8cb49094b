// What the four panels share: a model that comes alive, one piece of work at a time, progress, a way to stop, words for what happened.

import { UnruffledError, load, type Model } from "tauri-plugin-unruffled-api";

import { button, h, lineDrawing, say } from "./dom.ts";
import type { Source } from "./source.ts";

/** An error in words, with its code where there is one. */
export function tell(error: unknown): string {
  if (error instanceof UnruffledError) return `${error.message} (${error.code})`;
  if (error instanceof Error) return error.message;
  return typeof error === "string" ? error : JSON.stringify(error);
}

/** Rejects when the signal is raised. */
const aborted = (signal: AbortSignal) => new Promise<never>((_, fail) =>
  signal.addEventListener("abort", () => fail(signal.reason as Error), { once: true }));

export interface PanelText {
  id: string;
  title: string;
  model: string;
  /** Above an empty panel. */
  empty: string;
  /** What is dropped on it. */
  take: (sources: Source[]) => void;
}

export class Panel {
  readonly element: HTMLElement;
  readonly body = h("div", { class: "body" });
  readonly tools = h("div", { class: "tools" });
  // Not an element `progress`: WebKitGTK takes several times as long to draw one.
  private readonly done = h("i");
  private readonly bar = h("div", { class: "bar", role: "progressbar", "aria-valuemin": "0", "aria-valuemax": "100" }, this.done);
  private readonly said: HTMLElement;
  private readonly stop: HTMLButtonElement;
  private readonly again: HTMLButtonElement;
  private readonly hint: HTMLElement;
  private working?: AbortController;
  private waking?: Promise<Model>;

  constructor(readonly text: PanelText) {
    const { id, title, model, empty } = text;
    this.said = h("p", { role: "status", id: `${id}-said`, "data-testid": `${id}-said` });
    this.stop = button(`${id}-stop`, "Stop", () => this.working?.abort(), "quiet small");
    this.again = button(`${id}-again`, "Try again", () => void this.wake(), "quiet small");
    this.stop.hidden = this.again.hidden = true;
    this.bar.setAttribute("aria-label", `${title}: progress`);
    this.bar.id = `${id}-progress`;
    this.bar.dataset.testid = `${id}-progress`;
    this.progress(null);
    this.hint = h("div", { class: "hint" }, h("p", {}, empty));
    const wide = button(`${id}-wide`, "", () => this.widen(!this.element.classList.contains("wide")), "quiet icon");
    wide.setAttribute("aria-label", `Enlarge: ${title}`);
    wide.title = "Enlarge";
    wide.append(lineDrawing({ out: "M9.5 2.5h4v4M13 3 9.5 6.5M6.5 13.5h-4v-4M3 13l3.5-3.5", back: "M9.5 2.5v4h4M10 6l3.5-3.5M6.5 13.5v-4h-4M6 10l-3.5 3.5" }));
    wide.setAttribute("aria-pressed", "false");
    this.element = h("section", { class: "panel", id, "data-testid": id, "data-state": "loading", "data-work": "none", "aria-labelledby": `${id}-title` },
      h("header", {}, h("h2", { id: `${id}-title` }, title), h("span", { class: "by" }, model), this.tools, wide),
      this.bar, this.body, h("footer", {}, this.said, this.again, this.stop));
    this.body.append(this.hint);
    this.empty(true);
    this.element.addEventListener("keydown", (event) => {
      if (event.key === "Escape" && this.element.classList.contains("wide")) this.widen(false);
    });
  }

  /** Fills the window with this panel, or gives the others their places back. */
  private widen(wide: boolean) {
    this.element.classList.toggle("wide", wide);
    this.element.parentElement?.classList.toggle("one", wide);
    this.element.querySelector(".icon")?.setAttribute("aria-pressed", String(wide));
    window.dispatchEvent(new Event("resize"));
  }

  /** Whether the hint of an empty panel is shown. */
  empty(empty: boolean) {
    this.hint.hidden = !empty;
    this.element.classList.toggle("empty", empty);
  }

  progress(part: number | "unknown" | null) {
    this.bar.dataset.state = part === null ? "off" : part === "unknown" ? "unknown" : "on";
    if (typeof part !== "number") {
      this.bar.removeAttribute("aria-valuenow");
      return;
    }
    this.bar.setAttribute("aria-valuenow", String(Math.round(part * 100)));
    this.done.style.transform = `scaleX(${Math.min(Math.max(part, 0), 1).toFixed(3)})`;
  }

  say(text: string, kind: "" | "bad" = "") {
    say(this.said, text);
    this.said.className = kind;
  }

  /** Loads the model, and shows how far that is. */
  wake(): Promise<Model> {
    this.again.hidden = true;
    this.element.dataset.state = "loading";
    this.progress("unknown");
    this.say("The model is being loaded");
    this.waking = this.load();
    this.waking.catch(() => {}); // it is told in the panel; whoever waits for the model hears it, too
    return this.waking;
  }

  private async load(): Promise<Model> {
    const name = this.text.model;
    try {
      const model = await load(name, {
        onProgress: ({ fraction, state }) => {
          if (this.element.dataset.state !== "loading") return;
          this.progress(fraction ?? "unknown");
          const part = fraction === undefined ? "" : `, ${Math.round(fraction * 100)} %`;
          this.say(state === "waiting" ? "The model waits for its turn to be loaded" : `The model is being loaded${part}`);
        },
      });
      this.element.dataset.state = "ready";
      if (!this.working) this.progress(null);
      if (!this.working) this.say("Ready");
      return model;
    } catch (error) {
      this.element.dataset.state = "failed";
      this.progress(null);
      this.say(`The model could not be loaded: ${tell(error)}`, "bad");
      this.again.hidden = false;
      throw error;
    }
  }

  ready(): Promise<Model> {
    return this.element.dataset.state === "failed" ? this.wake() : (this.waking ?? this.wake());
  }

  /** Runs a piece of work in the place of the one before; it says at the end what it has done. */
  async run(begin: string, work: (signal: AbortSignal, model: Model) => Promise<string>): Promise<void> {
    this.working?.abort();
    const mine = (this.working = new AbortController());
    this.element.dataset.work = "running";
    this.stop.hidden = false;
    try {
      const model = await Promise.race([this.ready(), aborted(mine.signal)]);
      this.say(begin);
      this.progress("unknown");
      const said = await work(mine.signal, model);
      if (this.working !== mine) return;
      this.end("done");
      this.say(said);
    } catch (error) {
      if (this.working !== mine) return;
      const stopped = mine.signal.aborted;
      this.end(stopped ? "stopped" : "failed");
      if (stopped) this.say("Stopped");
      else if (this.element.dataset.state !== "failed") this.say(tell(error), "bad");
    }
  }

  private end(how: string) {
    this.working = undefined;
    this.element.dataset.work = how;
    this.stop.hidden = true;
    this.progress(null);
  }

  /** Whether something runs here. */
  get busy(): boolean {
    return this.working !== undefined;
  }
}
