// The page: told once a second what there is, it shows that.

import { show } from "./dialog.js";
import { $, h, say } from "./dom.js";
import { Door } from "./door.js";
import { Feed } from "./feed.js";
import { Jobs } from "./jobs.js";
import { ask, hasKey, refusal } from "./key.js";
import { ModelView, showModels } from "./models.js";
import { survey } from "./narrow.js";
import { Water } from "./plots.js";
import { bytes, count, many, time } from "./tell.js";

const water = new Water($("water"));
const jobs = new Jobs();
const view = new ModelView((job) => jobs.add(job));
const vitals = new Map();

/** The model that the address names, or the first. */
function chosen(models) {
  return models.find(({ name }) => location.hash === `#model/${encodeURIComponent(name)}`) ?? models.find(({ state }) => state === "ready") ?? models[0];
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

/** Shows these models, and one of them in full. */
function showAll(models, histories) {
  const model = chosen(models);
  showModels(models, histories, model?.name);
  $("no-models").hidden = models.length > 0;
  $("model").hidden = !model;
  if (model) view.show(model, histories.get(model.name));
}

function changed(feed) {
  setMood(...mood(feed.now));
  showServer(feed);
  showAll(feed.now.models, feed.models);
}

/** What there are no figures of is not shown. */
function showFigures(are) {
  document.body.classList.toggle("narrow", !are);
  for (const id of ["water-figure", "server", "plots", "last"]) $(id).hidden = !are;
}

/** The models that a key may ask that sees no figures; told when the page is opened, and when somebody comes back to it. */
let barred = null;

async function lookAround() {
  try {
    barred.models = await survey();
    const up = barred.models.filter(({ state }) => state === "ready").length;
    setMood("calm", `${up} of ${many(barred.models.length, "model")} ready`);
    showAll(barred.models, new Map());
  } catch (error) {
    if (error.status !== 401) setMood("lost", error.message);
  }
}

const feed = new Feed({
  changed,
  lost: (why) => setMood("lost", `${why ?? "No connection to the server"}; trying again`),
  barred: (why) => {
    barred = { models: [] };
    showFigures(false);
    say($("barred"), `${why}: there are no figures here.`);
    $("barred").hidden = false;
    lookAround();
  },
});

const door = new Door({
  enter: () => {
    barred = null;
    $("barred").hidden = true;
    showFigures(true);
    setMood("lost", "Connecting");
    feed.start();
    jobs.start();
    water.draw();
  },
  leave: () => {
    feed.end();
    jobs.end();
    view.close();
    showModels([], new Map());
    setMood("locked", "Locked: a key opens it");
  },
});
door.open();

// Left and come back to, it is no longer what it was: its key was to be forgotten.
window.addEventListener("pageshow", ({ persisted }) => persisted && location.reload());
document.addEventListener("visibilitychange", () => barred && !document.hidden && lookAround());
window.addEventListener("hashchange", () => {
  if (barred) showAll(barred.models, new Map());
  else if (feed.now) changed(feed);
  else return;
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

// A link brings no key along: with one, what it leads to is fetched and shown here.
for (const link of document.querySelectorAll("a.raw")) {
  link.addEventListener("click", (event) => {
    if (!hasKey()) return;
    event.preventDefault();
    show(link.textContent, async () => {
      const response = await ask(link.getAttribute("href"));
      if (!response.ok) throw await refusal(response);
      return [h("pre", { tabindex: "0", "aria-label": link.textContent }, await response.text())];
    });
  });
}
