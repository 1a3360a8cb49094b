// Jobs: those of the server, or where the key may not see them, those that this tab has submitted.

import { shown } from "./answer.js";
import { facts, show } from "./dialog.js";
import { $, h, rows, say } from "./dom.js";
import { result } from "./infer.js";
import { Refused, askJson, remember, remembered } from "./key.js";
import { age, bytes, clock, percent } from "./tell.js";

/** How many are shown, and how many of this tab's own are remembered. */
const SHOWN = 20;

/** How long after one look the next one is, in milliseconds: while something is going on, and else. */
const [SOON, LATER] = [1000, 4000];

const OWN = "unruffled-jobs";

const path = (id) => `v1/jobs/${id}`;
const goesOn = ({ state }) => state === "queued" || state === "running";

/** The word for how it is, if it is to be told more closely. */
const stateOf = (job) => (job.cancel_asked && job.state === "running" ? "stopping" : job.state);

export class Jobs {
  own = [];
  list = [];
  ended = new Map();
  barred = null;

  constructor() {
    document.addEventListener("visibilitychange", () => this.look());
  }

  start() {
    this.own = JSON.parse(remembered(OWN) ?? "[]");
    this.isOn = true;
    this.look();
  }

  /** Stops, and forgets what it was told. */
  end() {
    this.isOn = false;
    clearTimeout(this.timer);
    remember(OWN, null);
    Object.assign(this, { own: [], list: [], barred: null });
    this.ended.clear();
    this.draw();
  }

  /** One that was submitted here. */
  add(job) {
    this.own = [job.id, ...this.own.filter((id) => id !== job.id)].slice(0, SHOWN);
    remember(OWN, JSON.stringify(this.own));
    this.list = [job, ...this.list.filter(({ id }) => id !== job.id)];
    this.draw({ anyway: true });
    this.look();
  }

  /** Asks how they are doing, now and again; not while nobody sees it. */
  async look() {
    clearTimeout(this.timer);
    if (!this.isOn || document.hidden) return;
    if (this.looking) {
      this.again = true;
      return;
    }
    this.looking = true;
    this.again = false;
    let wait = null;
    try {
      this.list = this.barred ? await this.mine() : await this.all();
      say($("jobs-told"), this.barred ? `${this.barred}: only what was submitted in this tab is listed.` : "");
    } catch (error) {
      if (error.status === 401) return;
      wait = (error.again ?? 5) * 1000;
      if (error instanceof Refused) say($("jobs-told"), error.message);
    } finally {
      this.looking = false;
    }
    if (!this.isOn) return;
    this.draw();
    const next = this.again ? 0 : wait ?? (this.list.some(goesOn) ? SOON : this.barred ? null : LATER);
    clearTimeout(this.timer);
    if (next != null) this.timer = setTimeout(() => this.look(), next);
  }

  async all() {
    try {
      return (await askJson(`v1/jobs?newest=true&max=${SHOWN}`)).jobs;
    } catch (error) {
      if (error.status !== 403) throw error;
      this.barred = error.message;
      return this.mine();
    }
  }

  /** This tab's own; those that have ended are asked for once. */
  async mine() {
    const found = await Promise.all(this.own.map(async (id) => {
      if (this.ended.has(id)) return this.ended.get(id);
      try {
        const job = await askJson(path(id));
        if (!goesOn(job)) this.ended.set(id, job);
        return job;
      } catch (error) {
        if (error.status !== 404) throw error;
        // Not kept any more.
        this.own = this.own.filter((one) => one !== id);
        remember(OWN, JSON.stringify(this.own));
        return null;
      }
    }));
    return found.filter(Boolean);
  }

  draw({ anyway = false } = {}) {
    const body = $("jobs");
    let list = this.list.slice(0, SHOWN);
    // Rows that move cannot be hit: while somebody points at one, none come or go.
    const held = !anyway && list.length > 0 && (body.matches(":hover") || body.querySelector(":focus-visible") != null);
    $("jobs-held").hidden = !held;
    if (held) {
      const known = new Map(list.map((job) => [job.id, job]));
      list = [...body.children].map(({ dataset, job }) => known.get(dataset.key) ?? job);
    }
    $("jobs-table").hidden = list.length === 0;
    $("no-jobs").hidden = list.length > 0;
    rows(body, list, ({ id }) => id, () => this.row(), (row, job) => this.update(row, job));
  }

  row() {
    const row = h("tr", {},
      h("th", { scope: "row" }, h("button", { type: "button", class: "link", click: () => open(row.job) })),
      h("td", { "data-cell": "model" }), h("td", { "data-cell": "state" }), h("td", { class: "number", "data-cell": "age" }),
      h("td", { class: "number wide", "data-cell": "attempts" }),
      h("td", { class: "wide" }, h("progress", { max: "1", value: "0" }), h("span", { class: "note", "data-cell": "progress" })),
      h("td", { class: "act" }, h("button", { type: "button", class: "quiet small", click: () => this.cancel(row.job) }, "Cancel")));
    return row;
  }

  update(row, job) {
    row.job = job;
    const tell = (name, text) => say(row.querySelector(`[data-cell=${name}]`), text);
    const link = row.querySelector("button.link");
    // The beginning of a name is its time, which those of a day have in common.
    say(link, `…${job.id.slice(-6)}`);
    link.setAttribute("aria-label", `Job ${job.id}`);
    link.title = job.id;
    row.dataset.state = job.state;
    tell("model", job.model);
    tell("state", stateOf(job));
    tell("age", age(Date.now() - job.submitted_ms));
    tell("attempts", job.attempts_max > 1 ? `${job.attempts} of ${job.attempts_max}` : String(job.attempts));
    const bar = row.querySelector("progress");
    const part = job.progress?.part;
    bar.hidden = part == null || !goesOn(job);
    if (part != null) bar.value = part;
    bar.setAttribute("aria-label", `Progress of job ${job.id}`);
    tell("progress", progressOf(job));
    const stop = row.querySelector("button.small");
    if (!goesOn(job) && document.activeElement === stop) link.focus();
    stop.hidden = !goesOn(job);
    stop.disabled = job.cancel_asked;
    stop.setAttribute("aria-label", `Cancel job ${job.id}`);
  }

  async cancel({ id }) {
    try {
      await askJson(path(id), { method: "DELETE" });
    } catch (error) {
      // That it has ended meanwhile is shown.
      if (error.status !== 409) say($("jobs-told"), error.message);
    }
    await this.look();
  }
}

/** How far a job is, when it begins, or what went wrong with it. */
function progressOf({ state, progress, ready_ms, failure }) {
  const wait = ready_ms - Date.now();
  if (state === "queued" && wait > 1000) return `begins in ${age(wait)}`;
  if (state === "queued" || state === "running") {
    return [progress?.part == null ? "" : percent(progress.part), progress?.text].filter(Boolean).join(", ");
  }
  return failure?.message ?? "";
}

/** What is known of a job, and what it gave. */
const open = (job) => show(`Job ${job.id}`, async () => {
  const now = await askJson(path(job.id));
  const known = facts(
    ["State", stateOf(now)], ["Model", now.model], ["Class", now.priority], ["Attempts", `${now.attempts} of ${now.attempts_max}`],
    ["Submitted", clock(now.submitted_ms)], ["Began", now.started_ms && clock(now.started_ms)], ["Ended", now.finished_ms && clock(now.finished_ms)],
    ["Took in", bytes(now.input.bytes)], ["Gave", now.result && bytes(now.result.bytes)],
    ["Called", now.key?.split("\n").at(-1)]);
  const outputs = now.state === "done" ? await result(now.id) : null;
  return [
    known,
    now.failure ? h("p", { class: "bad" }, now.failure.message) : null,
    outputs ? h("dl", { class: "outputs" }, shown(outputs)) : null,
    goesOn(now) && progressOf(now) ? h("p", { class: "note" }, progressOf(now)) : null,
  ].filter(Boolean);
});
