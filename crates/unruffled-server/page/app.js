// The page: told once a second what there is, it shows that.

import { $, h, say } from "./dom.js";
import { Feed } from "./feed.js";
import { Water } from "./plots.js";
import { bytes, count, many, time } from "./tell.js";
import { ModelView, showModels } from "./models.js";

const water = new Water($("water"));
const view = new ModelView();
const vitals = new Map();

/** The model that the address names, or the first. */
function chosen(models) {
  const name = location.hash.startsWith("#model/") ? decodeURIComponent(location.hash.slice(7)) : null;
  return models.find((model) => model.name === name) ?? models.find(({ state }) => state === "ready") ?? models[0];
}

function vital(name, text, of) {
  if (!vitals.has(name)) {
    const [value, limit] = [h("b"), h("span")];
    vitals.set(name, { value, limit });
    $("vitals").append(h("div", {}, h("dt", {}, name), h("dd", {}, value, limit)));
  }
  const { value, limit } = vitals.get(name);
  say(value, text);
  say(limit, of ? ` of ${of}` : "");
}

function showServer({ now, server }) {
  const { event_loop: loop, connections, requests, body_bytes: bodies, memory, models } = now;
  say($("loop-late"), time(loop.late_ms.recent_max));
  say($("timer-late"), time(loop.timer_late_ms.recent_max));
  say($("loop-max"), time(loop.late_ms.max));
  say($("loop-stalls"), count(loop.stalls));
  water.show(server.of("at", "late", "timer"));
  const queued = models.reduce((all, { queue }) => all + queue.requests, 0);
  const running = models.reduce((all, { instances }) => all + instances.running, 0);
  vital("Waiting", many(queued, "request"));
  vital("Running", many(running, "run"));
  vital("In flight", count(requests.now), count(requests.limit));
  vital("Bodies", bytes(bodies.now), bytes(bodies.limit));
  vital("Connections", count(connections.now), count(connections.limit));
  vital("Refused", count(requests.refused + bodies.refused));
  if (memory) vital("Models in memory", bytes(memory.used), bytes(memory.budget));
  say($("version"), `Unruffled ${now.version}`);
}

/** One sentence: how things are. */
function mood({ event_loop: loop, models }) {
  const waits = models.filter(({ state }) => state !== "ready" && state !== "on demand");
  if (waits.length) return ["busy", `${waits.map(({ name, state }) => `${name} is ${state}`).join(", ")}`];
  if (loop.late_ms.recent_max >= 50) return ["ruffled", `Ruffled: the event loop was ${time(loop.late_ms.recent_max)} late`];
  const queued = models.reduce((all, { queue }) => all + queue.requests, 0);
  if (queued > 0) return ["busy", `Busy and unruffled: ${many(queued, "request")} in queues`];
  return ["calm", models.length === 1 ? "Calm: the model is ready" : `Calm: all ${models.length} models are ready`];
}

function setMood(kind, text) {
  // Read out when it turns, not with every number.
  if ($("mood").dataset.kind !== kind) say($("mood-change"), text);
  $("mood").dataset.kind = kind;
  say($("mood"), text);
}

function changed(feed) {
  const { models } = feed.now;
  setMood(...mood(feed.now));
  showServer(feed);
  const model = chosen(models);
  showModels(feed, model?.name);
  $("no-models").hidden = models.length > 0;
  $("model").hidden = !model;
  if (model) view.show(model, feed.models.get(model.name));
}

const feed = new Feed({
  changed,
  lost: () => setMood("lost", "No connection to the server; trying again"),
});

window.addEventListener("hashchange", () => {
  if (!feed.now) return;
  changed(feed);
  // On a narrow screen the model is below what was clicked.
  if ($("model").getBoundingClientRect().top > window.innerHeight * 0.7) $("model").scrollIntoView({ behavior: "smooth" });
});
window.addEventListener("colours", () => {
  water.draw();
  view.draw();
});
new ResizeObserver(() => {
  water.resize();
  view.resize();
}).observe(document.body);
water.draw();
