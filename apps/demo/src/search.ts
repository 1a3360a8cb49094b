// A text is indexed in bulk; questions to it are answered while one types, also before the index is complete.

import { UnruffledError, type Model } from "tauri-plugin-unruffled-api";

import { sample } from "./app.ts";
import { button, fileButton, h, say } from "./dom.ts";
import { many, ms } from "./figures.ts";
import { Panel, tell } from "./panel.ts";
import { ofFile, type Source } from "./source.ts";
import { nearest, paragraphsOf } from "./text.ts";

/** Paragraphs in a request of the index. */
const SLICE = 16;

/** More than this is refused: it would be more than a window should hold. */
const MOST = 20_000;

const BEST = 5;

export function searchPanel(): Panel {
  const text = h("textarea", {
    id: "search-text", "data-testid": "search-text", "aria-label": "Text to search in", spellcheck: "false",
    placeholder: "Paste a text, or drop a text file. Ask it in your own words: what is meant counts, not which words are used.",
  });
  const query = h("input", {
    id: "search-query", "data-testid": "search-query", type: "search", "aria-label": "What you are looking for", placeholder: "Ask in your own words", autocomplete: "off", spellcheck: "false",
  });
  const took = h("output", { class: "took", id: "search-took", "data-testid": "search-took", for: "search-query" });
  const results = h("ol", { class: "results", id: "search-results", "data-testid": "search-results", tabindex: "0", "aria-label": "The best five paragraphs" });
  const panel = new Panel({ id: "search", title: "Search by meaning", model: "sentence-embedding", empty: "", take: (sources) => void take(sources) });

  let model: Model | undefined;
  let paragraphs: string[] = [];
  let vectors = new Float32Array();
  let asked: Float32Array | undefined;
  let newest = 0;

  const view = (name: "text" | "ask") => {
    panel.element.dataset.view = name;
    choose.hidden = example.hidden = name !== "text";
    edit.hidden = name === "text";
  };

  async function take([source]: Source[]) {
    try {
      if (source) begin(new TextDecoder().decode(await source.whole()));
    } catch (error) {
      panel.say(tell(error), "bad");
    }
  }

  function begin(from: string) {
    text.value = from;
    const found = paragraphsOf(from);
    if (found.length === 0) {
      view("text");
      text.focus();
      return panel.say("There is no text to search in", "bad");
    }
    if (found.length > MOST) return panel.say(`The text has ${many(found.length, "paragraph")}; ${MOST.toLocaleString("en")} are the most`, "bad");
    view("ask");
    void panel.run("Indexing", (signal, model) => work(signal, model, found));
  }

  async function work(signal: AbortSignal, ready: Model, found: string[]): Promise<string> {
    model = ready;
    paragraphs = found;
    vectors = new Float32Array();
    asked = undefined;
    results.replaceChildren();
    const start = performance.now();
    let [done, failed] = [0, 0];
    let why: unknown;
    if (query.value) void ask();
    for (let from = 0; from < found.length; from += SLICE) {
      const items = found.slice(from, from + SLICE).map((text) => ({ text }));
      const settled = await model.inferBatch(items, { signal, priority: "bulk" });
      settled.forEach((one, at) => {
        if (one.status === "rejected") {
          failed += 1;
          why = one.reason;
          return;
        }
        const vector = one.value.get("embedding", "FP32").data;
        if (vectors.length === 0) vectors = new Float32Array(found.length * vector.length);
        vectors.set(vector, (from + at) * vector.length);
        done += 1;
      });
      panel.progress((from + items.length) / found.length);
      panel.say(`Indexing: ${done} of ${many(found.length, "paragraph")}`);
      panel.element.dataset.indexed = String(done);
      show();
    }
    if (done === 0) throw why;
    const bad = failed > 0 ? `; ${failed} could not be: ${tell(why)}` : "";
    return `${many(done, "paragraph")} indexed in ${ms(performance.now() - start)}${bad}`;
  }

  /** Each keystroke asks; the one before it, if it is still on its way, is cancelled by that. */
  async function ask() {
    const words = query.value.trim();
    const mine = (newest += 1);
    if (words === "") {
      asked = undefined;
      say(took, "");
      return show();
    }
    if (!model) return;
    const start = performance.now();
    try {
      const out = await model.infer({ text: words }, { priority: "interactive", supersede: "search" });
      if (mine !== newest) return;
      asked = out.get("embedding", "FP32").data.slice();
      show();
      const all = performance.now() - start;
      say(took, ms(all));
      took.dataset.ms = all.toFixed(1);
      took.title = out.timings ? `Waited ${ms(out.timings.queue_ms)}, ran ${ms(out.timings.run_ms)}` : "";
      took.classList.remove("bad");
    } catch (error) {
      if (mine !== newest || (error instanceof UnruffledError && error.code === "cancelled")) return;
      say(took, tell(error));
      took.classList.add("bad");
    }
  }

  function show() {
    const found = asked ? nearest(asked, vectors, BEST) : [];
    results.dataset.query = asked ? query.value.trim() : "";
    while (results.children.length > found.length) results.lastElementChild?.remove();
    found.forEach(({ at, score }, place) => {
      const row = results.children[place] ?? results.appendChild(h("li", { "data-testid": "result" }, h("span", { class: "near" }, h("i")), h("span", { class: "score" }), h("p")));
      (row.children[0]!.firstElementChild as HTMLElement).style.width = `${Math.max(score, 0) * 100}%`;
      say(row.children[1]!, score.toFixed(2));
      say(row.children[2]!, paragraphs[at] ?? "");
      (row as HTMLElement).title = paragraphs[at] ?? "";
    });
  }

  const index = button("search-index", "Index", () => begin(text.value), "");
  const edit = button("search-edit", "New text", () => {
    view("text");
    text.focus();
  });
  const choose = fileButton("search-input", "Open…", "text/*,.txt,.md", (files) => void take(files.map(ofFile)));
  const example = button("search-sample", "Sample", () => {
    sample("sentences.txt").then((bytes) => begin(new TextDecoder().decode(bytes))).catch((error: unknown) => panel.say(tell(error), "bad"));
  });
  panel.tools.append(edit, choose, example);
  panel.body.append(h("div", { class: "write" }, text, index), h("div", { class: "ask" }, query, took), results);
  query.addEventListener("input", () => void ask());
  text.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) begin(text.value);
  });
  panel.empty(false);
  view("text");
  return panel;
}
