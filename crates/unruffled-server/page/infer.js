// Asks a model as any client would: the Open Inference Protocol V2.

import { Refused, ask, askJson, protocols } from "./key.js";

let asked = 0;
const page = Math.random().toString(36).slice(2, 8);

const path = (model) => `v2/models/${encodeURIComponent(model)}`;

/** A name for the next request of this page. */
function nextId() {
  asked += 1;
  return `page-${page}-${asked}`;
}

/** The text of a request and the bytes behind it: raw data travel behind the JSON, not in it. */
function parts({ inputs, outputs }, id, parameters) {
  const raw = [];
  const described = inputs.map(({ raw: bytes, ...input }) => {
    if (!bytes) return input;
    const length = new DataView(new ArrayBuffer(4));
    length.setUint32(0, bytes.byteLength, true);
    raw.push(length.buffer, bytes);
    return { ...input, parameters: { binary_data_size: 4 + bytes.byteLength } };
  });
  const json = new TextEncoder().encode(JSON.stringify({ id, parameters, inputs: described, outputs }));
  return { json, raw };
}

/** Headers and body of a request: `inputs` and wanted `outputs`, or the `text` that somebody typed. */
function message(request, id) {
  if (request.text != null) return { headers: { "Content-Type": "application/json" }, body: request.text };
  const { json, raw } = parts(request, id);
  if (raw.length === 0) return { headers: { "Content-Type": "application/json" }, body: json };
  return {
    headers: {
      "Content-Type": "application/octet-stream",
      "Inference-Header-Content-Length": json.byteLength.toString(),
    },
    body: new Blob([json, ...raw]),
  };
}

/** Reads an answer; JSON has no number for the protocol's bare words. */
function read(text) {
  try {
    return JSON.parse(text);
  } catch {
    return JSON.parse(text.replace(/(?<=[[,:]\s*)(-?Infinity|NaN)\b/g, "null"));
  }
}

/**
 * Asks `model`. Gives `{ id, took_ms, outputs, timing }`, or `null` if a newer request took its place; throws what the server
 * says is wrong.
 *
 * A request with a `supersede` key takes the place of an older one with the same key, queued or running.
 */
export async function infer(model, request, { supersede } = {}) {
  const id = request.inputs ? nextId() : undefined;
  const { headers, body } = message(request, id);
  if (supersede) headers["X-Unruffled-Supersede"] = `page-${page}-${supersede}`;
  const begin = performance.now();
  const response = await ask(`${path(model)}/infer`, { method: "POST", headers, body });
  const text = await response.text();
  const took_ms = performance.now() - begin;
  if (response.status === 499) return null;
  const json = read(text);
  if (!response.ok) throw new Refused(json.error ?? `the server answered ${response.status}`, response.status);
  return { id: json.id ?? id, took_ms, outputs: json.outputs, timing: timing(response) };
}

/** `{ queue, run }` in milliseconds, as the server says it. */
function timing(response) {
  const told = response.headers.get("Server-Timing") ?? "";
  const part = (name) => Number(told.match(new RegExp(`${name};dur=([\\d.]+)`))?.[1] ?? NaN);
  return { queue: part("queue"), run: part("run") };
}

/** Has a request run as a job; gives how that is doing. */
export const submit = (model, request) =>
  askJson(`v1/jobs?model=${encodeURIComponent(model)}`, { method: "POST", ...message(request) });

/** The outputs that a job gave. */
export async function result(job) {
  const response = await ask(`v1/jobs/${job}/result`);
  const json = read(await response.text());
  if (!response.ok) throw new Refused(json.error, response.status);
  return json.outputs ?? null;
}

/**
 * Asks `model` for all that it gives, as it comes: `each` gets the outputs of every answer. Gives as `infer` does, with the outputs of
 * all answers joined, or `null` if `signal` was raised, which cancels it.
 *
 * It goes over a WebSocket, which takes bytes as they are and ends what runs when it is closed.
 */
export async function inferEach({ name: model, outputs }, request, { each, signal }) {
  const url = new URL(`${path(model)}/stream`, location.href);
  url.protocol = url.protocol.replace("http", "ws");
  const socket = new WebSocket(url, protocols());
  const id = nextId();
  const begin = performance.now();
  const joined = new Joined(outputs);
  const ended = await new Promise((done, fail) => {
    signal.addEventListener("abort", () => done("aborted"));
    socket.addEventListener("open", () => {
      const { json, raw } = parts(request, id, { unruffled_last: true });
      const length = new DataView(new ArrayBuffer(4));
      length.setUint32(0, json.byteLength, true);
      socket.send(new Blob([length.buffer, json, ...raw]));
    });
    socket.addEventListener("message", ({ data }) => {
      const answer = read(data);
      if (answer.error != null) {
        fail(new Refused(answer.error, answer.status));
        return;
      }
      if (answer.outputs.length) each(joined.add(answer.outputs));
      if (answer.parameters?.unruffled_last) done("answered");
    });
    // A browser does not tell why: who asks in the common way is told.
    socket.addEventListener("close", () => done("closed"));
  }).finally(() => socket.close());
  if (ended === "aborted") return null;
  if (ended === "closed") {
    if (joined.outputs.length) throw new Error("the connection was lost before the last answer");
    return infer(model, request);
  }
  return { id, took_ms: performance.now() - begin, outputs: joined.outputs, timing: { queue: NaN, run: NaN } };
}

/**
 * The outputs of several answers as one: rows of those that grow, by the model's `specs`, follow each other; of the others the newest
 * counts.
 */
class Joined {
  outputs = [];

  constructor(specs) {
    this.growing = new Set(specs.filter(({ shape }) => shape[0] < 0).map(({ name }) => name));
  }

  add(outputs) {
    for (const output of outputs) {
      const at = this.outputs.findIndex(({ name }) => name === output.name);
      if (at < 0) this.outputs.push(output);
      else if (!this.growing.has(output.name)) this.outputs[at] = output;
      else {
        const { shape: [rows], data } = this.outputs[at];
        const [more, ...row] = output.shape;
        this.outputs[at] = { ...output, shape: [rows + more, ...row], data: data.concat(output.data) };
      }
    }
    return this.outputs;
  }
}
