// The last requests of a model, out of the flight recorder, and the story of each.

import { facts, show } from "./dialog.js";
import { $, h, rows, say } from "./dom.js";
import { askJson } from "./key.js";
import { clock, many, time } from "./tell.js";

let shown = null;

const plain = (code) => code.replaceAll("_", " ");

function makeRow() {
  return h("tr", {},
    h("th", { scope: "row" }, h("button", { type: "button", class: "link" })),
    h("td", { class: "wide", "data-cell": "came" }),
    h("td", { class: "number", "data-cell": "waited" }), h("td", { class: "number", "data-cell": "ran" }),
    h("td", { class: "lane" }, h("canvas", { class: "scale", "aria-hidden": "true" })),
    h("td", { class: "number wide", "data-cell": "shared" }), h("td", { "data-cell": "ended" }));
}

/** The table of the last requests. */
export function showRequests(model) {
  // Rows that move cannot be hit: they stay while somebody points at one of this model, or has it in focus.
  const held = shown === model.name && $("requests").matches(":hover, :focus-within");
  $("held").hidden = !held;
  if (held) return;
  shown = model.name;
  $("no-requests").hidden = model.recent.length > 0;
  const longest = Math.max(...model.recent.map(({ total_ms }) => total_ms), 1e-3);
  rows($("requests"), model.recent, ({ id, arrived_ms }) => `${id} ${Math.round(arrived_ms / 100)}`, makeRow, (row, request) => {
    const tell = (name, text) => say(row.querySelector(`[data-cell=${name}]`), text);
    const button = row.querySelector("button");
    say(button, request.id);
    button.onclick = () => explain(model.name, request.id);
    tell("came", clock(request.arrived_ms));
    tell("waited", time(request.waited_ms));
    tell("ran", time(request.ran_ms));
    tell("shared", request.rows == null ? "–" : request.shared_with ? many(request.shared_with, "other") : "alone");
    tell("ended", request.outcome === "answered" ? "answered" : plain(request.outcome));
    row.dataset.outcome = request.outcome === "answered" ? "good" : request.outcome === "cancelled" ? "gone" : "bad";
    lane(row.querySelector("canvas"), request, longest);
  });
}

function lane(canvas, { waited_ms, ran_ms }, longest) {
  const [width, height] = [96, 10];
  const scale = window.devicePixelRatio || 1;
  canvas.width = width * scale;
  canvas.height = height * scale;
  const context = canvas.getContext("2d");
  context.scale(scale, scale);
  const style = getComputedStyle(document.documentElement);
  const part = (ms) => (ms / longest) * width;
  context.fillStyle = style.getPropertyValue("--sun");
  context.fillRect(0, 3, part(waited_ms), 4);
  context.fillStyle = style.getPropertyValue("--water");
  context.fillRect(part(waited_ms), 1, Math.max(part(ran_ms), ran_ms > 0 ? 1 : 0), 8);
}

const end = { completed: "gave its answers", failed: "failed", crashed: "broke down", preempted: "made way", split: "was split", stopped: "was stopped" };

/** Opens the story of a request. */
const explain = (model, id) => show(`Request ${id}`, async () =>
  told(await askJson(`v1/explain/${encodeURIComponent(model)}/${encodeURIComponent(id)}`)));

function told(story) {
  const { predicted, ahead } = story;
  const known = facts(
    ["Ended", plain(story.outcome)], ["Class", story.priority],
    ["Took", time(story.total_ms)], ["Waited", time(story.waited_ms)], ["Ran", time(story.ran_ms)],
    ["Had", story.allowed_ms == null ? "all the time" : time(story.allowed_ms)],
    ["Ahead of it", `${ahead.requests} waiting, ${ahead.running} running`],
    ["Predicted", predicted.run_ms == null ? "nothing yet" : `wait ${time(predicted.wait_ms ?? 0)}, run ${time(predicted.run_ms)}`]);
  const runs = story.runs.map((run) => h("li", {},
    `On instance ${run.instance} with ${many(run.requests, "request")} (${many(run.rows, "row")}): `,
    `${time(run.began_ms)} to ${time(run.ended_ms)}, ${end[run.end] ?? run.end}`,
    run.neighbours.length ? `. With ${run.neighbours.join(", ")}` : ""));
  return [
    story.error ? h("p", { class: "bad" }, story.error) : null, known,
    runs.length > 1 || story.runs.some(({ requests }) => requests > 1) ? h("ol", {}, runs) : null,
    h("pre", { tabindex: "0", "aria-label": "The story, line by line" }, story.story.trim()),
  ].filter(Boolean);
}
