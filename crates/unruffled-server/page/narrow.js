// What a key sees that may not read metrics: the models that it may ask, without figures.

import { askJson } from "./key.js";

const READY = { READY: "ready", LOADING: "loading", UNLOADING: "not ready", UNAVAILABLE: "not ready" };

/** The models, each as an overview has it, but for what is counted and measured. */
export async function survey() {
  const index = await askJson("v2/repository/index", { method: "POST", body: "{}" });
  const models = new Map();
  for (const { name, version, state } of index) {
    const known = models.get(name) ?? { name, state: "not ready", versions: [], inputs: [], outputs: [] };
    models.set(name, known);
    if (state !== "READY" && known.state === "ready") continue;
    known.state = READY[state] ?? "on demand";
    known.versions = [{ version }];
  }
  await Promise.all([...models.values()].map(describe));
  return [...models.values()];
}

async function describe(model) {
  if (model.state !== "ready") return;
  try {
    const { platform, inputs, outputs } = await askJson(`v2/models/${encodeURIComponent(model.name)}`);
    Object.assign(model, { platform, inputs, outputs });
  } catch {
    // Gone since it was listed; it is shown without what it takes.
  }
}
