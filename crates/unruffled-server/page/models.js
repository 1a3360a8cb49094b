// The table of models, and one of them in full.

import { $, h, rows, say } from "./dom.js";
import { Plot, spark } from "./plots.js";
import { showRequests } from "./requests.js";
import { count, mean, rate, time } from "./tell.js";
import { Trial } from "./try.js";

const sum = (kinds) => Object.values(kinds).reduce((all, one) => all + one, 0);
const last = (history, name) => history.of(name)[0].at(-1);
const dims = (shape) => (shape.length ? shape.map((size) => (size < 0 ? "n" : size)).join(" × ") : "scalar");

const cell = (name, where = "") => h("td", { class: `number ${where}`, "data-cell": name });

function makeRow(model) {
  const link = h("a", { href: `#model/${encodeURIComponent(model.name)}` }, model.name);
  return h("tr", {},
    h("th", { scope: "row" }, h("span", { class: "state" }), link, h("span", { class: "platform wide" })),
    cell("rate"), h("td", { class: "far" }, h("canvas", { class: "spark", "aria-hidden": "true" })),
    cell("queue"), cell("rows", "far"), cell("median", "wide"), cell("p99"), cell("instances", "wide"), cell("bad", "wide"));
}

function updateRow(row, model, history, chosen) {
  const tell = (name, text) => say(row.querySelector(`[data-cell=${name}]`), text);
  const state = row.querySelector(".state");
  state.dataset.state = model.state;
  state.title = model.state;
  say(state, model.state);
  const version = model.versions.map(({ version }) => version).filter(Boolean).join(", ");
  say(row.querySelector(".platform"), [model.platform, version && `version ${version}`].filter(Boolean).join(", "));
  const link = row.querySelector("a");
  if (chosen) link.setAttribute("aria-current", "true");
  else link.removeAttribute("aria-current");
  row.classList.toggle("chosen", chosen);
  if (!history) return;
  const { instances, lately, totals } = model;
  tell("rate", rate(last(history, "rate")));
  tell("queue", count(model.queue.requests));
  tell("rows", totals.runs ? mean(last(history, "rows") ?? totals.batched_rows / totals.runs) : "–");
  tell("median", time(lately.total_ms?.p50));
  tell("p99", time(lately.total_ms?.p99));
  tell("instances", instances.up === instances.wanted ? count(instances.up) : `${instances.up} of ${instances.wanted}`);
  const bad = sum(totals.failed) - totals.superseded + sum(totals.refused);
  tell("bad", count(Math.max(bad, 0)));
  row.querySelector("[data-cell=bad]").classList.toggle("bad", bad > 0);
  spark(row.querySelector("canvas"), history.of("rate")[0]);
}

/** The table of models. */
export function showModels(models, histories, chosen) {
  rows($("models"), models, ({ name }) => name, makeRow,
    (row, model) => updateRow(row, model, histories.get(model.name), model.name === chosen));
}

/** The model that was chosen: what it takes, its plots, a way to try it, and its last requests. */
export class ModelView {
  name = null;

  /** Calls `submitted` with each job that is submitted here. */
  constructor(submitted) {
    this.submitted = submitted;
  }

  /** Shows a model; without a history, as somebody sees it who sees no figures. */
  show(model, history) {
    if (this.name !== model.name) this.open(model);
    if (this.trial.signature !== JSON.stringify([model.inputs, model.outputs])) this.trial.open(model);
    if (!history) return;
    const [at, queue, running, rows, requests, median, p99, waited, ran, rate] =
      history.of("at", "queue", "running", "rows", "requests", "median", "p99", "waited", "ran", "rate");
    const columns = [[at, rate], [at, queue, running], [at, rows, requests], [at, p99, median], [at, waited, ran]];
    this.plots.forEach((plot, index) => plot.show(columns[index]));
    showRequests(model);
  }

  open(model) {
    this.name = model.name;
    say($("model-title"), model.name);
    const side = (tensors) => tensors.map(({ name, datatype, shape, optional }) =>
      h("span", { class: `tensor${optional ? " optional" : ""}` }, h("b", {}, name), ` ${datatype} `, h("span", {}, dims(shape))));
    const inputs = model.inputs.length ? side(model.inputs) : [h("span", { class: "tensor" }, "anything")];
    const outputs = model.outputs.length ? side(model.outputs) : [h("span", { class: "tensor" }, "what it gives")];
    $("signature").replaceChildren(...inputs, h("span", { class: "arrow", role: "img", "aria-label": "gives" }, "→"), ...outputs);
    this.plots = [
      new Plot("Requests ended", [{ label: "now", colour: "water", fill: true }], { tell: rate, least: 1 }),
      new Plot("Load", [
        { label: "waiting", colour: "sun", fill: true }, { label: "running", colour: "water" },
      ], { tell: count, least: 2 }),
      new Plot("Batches", [{ label: "rows a run", colour: "water", fill: true }, { label: "requests", colour: "muted" }], { tell: mean, least: 2 }),
      new Plot("Latency", [{ label: "p99", colour: "sun" }, { label: "median", colour: "water", fill: true }], { tell: time, least: 0.2 }),
      new Plot("Where the time goes", [{ label: "waiting", colour: "sun" }, { label: "running", colour: "water", fill: true }], { tell: time, least: 0.2 }),
    ];
    $("plots").replaceChildren(...this.plots.map(({ element }) => element));
    this.draw();
    this.trial?.close();
    this.trial = new Trial($("try"), $("ways"), this.submitted);
  }

  /** Lets go of the model. */
  close() {
    this.name = null;
    this.trial?.close();
    this.trial = null;
    $("model").hidden = true;
    $("plots").replaceChildren();
    $("requests").replaceChildren();
    this.plots = null;
  }

  draw() {
    this.plots?.forEach((plot) => plot.draw());
    this.trial?.draw();
  }

  resize() {
    this.plots?.forEach((plot) => plot.resize());
  }
}
