// Asks a model as any client would: the Open Inference Protocol V2.

let asked = 0;
const page = Math.random().toString(36).slice(2, 8);

const url = (model) => `v2/models/${encodeURIComponent(model)}/infer`;

/** Headers and body of a request; raw bytes travel behind the JSON, not in it. */
function message(inputs, id) {
  const parts = [];
  const described = inputs.map(({ raw, ...input }) => {
    if (!raw) return input;
    const length = new DataView(new ArrayBuffer(4));
    length.setUint32(0, raw.byteLength, true);
    parts.push(length.buffer, raw);
    return { ...input, parameters: { binary_data_size: 4 + raw.byteLength } };
  });
  const json = JSON.stringify({ id, inputs: described });
  if (parts.length === 0) return { headers: { "Content-Type": "application/json" }, body: json };
  const head = new TextEncoder().encode(json);
  return {
    headers: {
      "Content-Type": "application/octet-stream",
      "Inference-Header-Content-Length": head.byteLength.toString(),
    },
    body: new Blob([head, ...parts]),
  };
}

/**
 * Asks `model`. Gives `{ id, took_ms, outputs }`, or `null` if a newer request took its place; throws what the server says
 * is wrong.
 *
 * A request with a `supersede` key takes the place of an older one with the same key, queued or running.
 */
export async function infer(model, inputs, { supersede } = {}) {
  asked += 1;
  const id = `page-${page}-${asked}`;
  const { headers, body } = message(inputs, id);
  if (supersede) headers["X-Unruffled-Supersede"] = `page-${page}-${supersede}`;
  return answer(await timed(model, headers, body), id);
}

/** Sends a body as it was typed. */
export async function inferText(model, body) {
  return answer(await timed(model, { "Content-Type": "application/json" }, body));
}

async function timed(model, headers, body) {
  const begin = performance.now();
  const response = await fetch(url(model), { method: "POST", headers, body });
  const text = await response.text();
  return { response, text, took_ms: performance.now() - begin };
}

function answer({ response, text, took_ms }, id) {
  if (response.status === 499) return null;
  // The protocol's bare words for what JSON has no number for.
  const json = JSON.parse(text.replace(/(?<=[[,:]\s*)(-?Infinity|NaN)\b/g, "null"));
  if (!response.ok) throw new Error(json.error ?? `the server answered ${response.status}`);
  return { id: json.id ?? id, took_ms, outputs: json.outputs, text, timing: timing(response) };
}

/** `{ queue, run }` in milliseconds, as the server says it. */
function timing(response) {
  const told = response.headers.get("Server-Timing") ?? "";
  const part = (name) => Number(told.match(new RegExp(`${name};dur=([\\d.]+)`))?.[1] ?? NaN);
  return { queue: part("queue"), run: part("run") };
}
