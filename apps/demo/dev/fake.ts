// A stand-in for the Rust side: `npm run dev` in a browser shows the window at work. It speaks the contract's frames, so that the
// package in between is the real one. It is not in what is built.

import { mockIPC, mockWindows } from "@tauri-apps/api/mocks";

import { elements, numbers, read, spec, texts, write, type Tensor } from "./frame.ts";
import { FILES, LINES, SEGMENTS, TEXT, page, recording } from "./things.ts";

const asked = new URLSearchParams(location.search);
const slow = Number(asked.get("slow") ?? 1);
const failing = asked.get("fail") ?? "";

const LABELS = [...new Set(Object.values(FILES).map(({ label }) => label)), "txt", "unknown"];
const NAMES = ["magika", "sentence-embedding", "ocr", "speech"];
const born = performance.now();
const loadTime = (name: string) => 600 + NAMES.indexOf(name) * 450 * slow;

const wait = (ms: number) => new Promise<void>((done) => setTimeout(done, ms * slow));
const spin = (ms: number) => {
  for (const end = performance.now() + ms; performance.now() < end; );
};

const cancelled = new Set<number>();
const names = new Map<number, { name: string }>();
let stats = { queued: 0, running: 0, batch: 1 };

const status = (name: string) => {
  const part = (performance.now() - born) / loadTime(name);
  const input = { magika: ["bytes", "INT32", ["n", 2048]], "sentence-embedding": ["text", "BYTES", ["n"]], ocr: ["image", "BYTES", [1]], speech: ["audio", "BYTES", [1]] }[name]!;
  const state = failing === name ? "failed" : part >= 1 ? "ready" : "loading";
  return {
    name, state, progress: Math.min(part, 1), inputs: [{ name: input[0], datatype: input[1], shape: input[2] }], outputs: [],
    ...(name === "magika" ? { labels: { target_label: LABELS }, from: { bytes: { kind: "file", begin: 1024, end: 1024, block: 4096, trim: true, padding: 256 } } } : {}),
  };
};

/** Words that lie close together, for want of a model. */
const NEAR: Record<string, string[]> = {
  eat: ["loaf", "rye", "pan", "cream", "garlic", "restaurant"], bake: ["loaf", "rye", "sour"], bread: ["loaf", "rye", "sour"], cook: ["pan", "cream", "garlic", "flame", "loaf"],
  ship: ["boats", "harbour", "tide", "moorings"], sea: ["tide", "harbour", "boats"], freeze: ["window", "grey", "waits"], frozen: ["window", "grey", "waits", "glaciers"], money: ["pays", "pay", "returned", "rents"],
};

function embed(text: string): Float32Array {
  const vector = new Float32Array(384);
  const add = (word: string, weight: number) => {
    let seed = 7;
    for (const letter of word) seed = (seed * 31 + letter.charCodeAt(0)) >>> 0;
    for (let step = 0; step < 12; step += 1) {
      seed = (seed * 1664525 + 1013904223) >>> 0;
      vector[seed % 384]! += weight * (seed & 1024 ? 1 : -1);
    }
  };
  for (const word of text.toLowerCase().match(/[a-z]{3,}/g) ?? []) {
    add(word, ["the", "and", "for", "what"].includes(word) ? 0.15 : 1);
    for (const near of NEAR[word] ?? []) add(near, 0.9);
  }
  const length = Math.hypot(...vector) || 1;
  return vector.map((value) => value / length);
}

const answer = (model: string, outputs: Tensor[], run = 8) =>
  ({ outputs: outputs.map(spec), model, version: "1", timings: { queue_ms: 0.2, run_ms: run, batch_requests: 1, batch_rows: 1 } });

const error = (code: string, message: string, model?: string) => ({ code, message, model });

/** The bytes of samples say their names: how the stand-in knows them again. */
const recognise = (numbers: Int32Array) => {
  const text = String.fromCharCode(...[...numbers.slice(0, 200)].filter((value) => value < 256));
  const name = /^sample:(\S+)/.exec(text)?.[1] ?? "";
  return FILES[name] ?? { label: "txt", score: 0.62 };
};

interface Item {
  inputs: { name: string; bytes: number }[];
}

let places: number[] = [];

/** All that a model gives for one item. */
async function* run(model: string, inputs: Map<string, Uint8Array>, call: number): AsyncGenerator<Tensor[]> {
  const on = () => {
    if (cancelled.has(call)) throw error("cancelled", "cancelled by its caller", model);
  };
  stats.running += 1;
  try {
    if (model === "magika") {
      await wait(70);
      const raw = inputs.get("bytes")!;
      const { label, score } = recognise(new Int32Array(raw.buffer, raw.byteOffset, raw.length / 4));
      const scores = new Float32Array(LABELS.length);
      scores[LABELS.indexOf(label)] = score;
      yield [numbers("target_label", "FP32", [1, LABELS.length], scores)];
    } else if (model === "sentence-embedding") {
      await wait(14);
      on();
      const all = elements(inputs.get("text")!).map((text) => embed(new TextDecoder().decode(text)));
      yield [numbers("embedding", "FP32", [all.length, 384], new Float32Array(all.flatMap((one) => [...one])))];
    } else if (model === "ocr") {
      await wait(300);
      for (const [at, [text]] of LINES.entries()) {
        await wait(130);
        on();
        yield [texts("text", [text]), numbers("score", "FP32", [1], Float32Array.of(0.99 - (at % 5) * 0.013)), numbers("progress", "INT64", [2], BigInt64Array.of(BigInt(at + 1), BigInt(LINES.length)))];
      }
      yield [numbers("boxes", "FP32", [LINES.length, 4, 2], Float32Array.from(places))];
    } else {
      let told = 0;
      for (let step = 1; step <= 60; step += 1) {
        await wait(35);
        on();
        const found = SEGMENTS.slice(told).filter(([, to]) => to < (step / 60) * 15.6 - 0.1);
        told += found.length;
        yield [numbers("segments", "FP64", [found.length, 2], Float64Array.from(found.flat())), numbers("progress", "INT64", [2], BigInt64Array.of(BigInt(step * 8), 480n))];
      }
    }
  } finally {
    stats.running -= 1;
  }
}

const send = (channel: any, index: number, message: unknown) =>
  (window as any).__TAURI_INTERNALS__.runCallback(typeof channel === "string" ? Number(channel.replace(/\D/g, "")) : channel.id, { index, message });

/** An open stream: what is pushed, and where results go. */
class Stream {
  private items = 0;
  private results = 0;
  private sent = 0;
  private open = 0;
  private ended = false;
  private credit: number;
  private waiting: (() => void)[] = [];
  constructor(readonly call: number, readonly asked: any) {
    this.credit = asked.credit;
  }

  async push(items: Map<string, Uint8Array>[]) {
    for (const inputs of items) {
      const item = this.items++;
      this.open += 1;
      void this.one(item, inputs);
      while (this.open >= (this.asked.in_flight ?? 8)) await wait(5);
    }
  }

  private async one(item: number, inputs: Map<string, Uint8Array>) {
    try {
      for await (const outputs of run(this.asked.model, inputs, this.call)) await this.give({ item, last: false, ...answer(this.asked.model, outputs) }, outputs);
      await this.give({ item, last: true, ...answer(this.asked.model, []) }, []);
    } catch (thrown) {
      await this.give({ item, last: true, error: thrown }, []);
    }
    this.open -= 1;
    this.finish();
  }

  private async give(result: object, outputs: Tensor[]) {
    if (cancelled.has(this.call)) return;
    while (this.credit <= 0) await new Promise<void>((done) => this.waiting.push(done));
    this.credit -= 1;
    this.results += 1;
    send(this.asked.channel, this.sent++, write({ results: [result] }, outputs));
  }

  taken(count: number) {
    this.credit += count;
    for (const done of this.waiting.splice(0)) done();
  }

  end() {
    this.ended = true;
    this.finish();
  }

  private finish() {
    if (this.ended && this.open === 0) send(this.asked.channel, this.sent++, write({ end: { items: this.items, results: this.results } }, []));
  }
}

const streams = new Map<number, Stream>();

const inputsOf = ({ inputs }: Item, take: (bytes: number) => Uint8Array) => new Map(inputs.map(({ name, bytes }) => [name, take(bytes)]));

async function once(model: string, inputs: Map<string, Uint8Array>, call: number): Promise<Tensor[]> {
  for await (const outputs of run(model, inputs, call)) return outputs;
  return [];
}

let bulk = Promise.resolve();

async function plugin(command: string, payload: any): Promise<unknown> {
  const frame = payload instanceof Uint8Array || payload instanceof ArrayBuffer ? read(new Uint8Array(payload as any)) : undefined;
  const json = frame?.json ?? payload;
  names.set(json.call, { name: json.model });
  switch (command) {
    case "models": return NAMES.map(status);
    case "load": {
      for (let index = 0; status(json.model).state === "loading"; index += 1) {
        send(json.channel, index, { state: "loading", fraction: status(json.model).progress });
        await new Promise((done) => setTimeout(done, 60));
      }
      if (status(json.model).state === "failed") throw error("model_failed", "failed to read model.onnx: the file ends after 12 of 1,048,576 bytes", json.model);
      return status(json.model);
    }
    case "infer": {
      const outputs = await once(json.model, inputsOf(json, frame!.take), json.call);
      return write(answer(json.model, outputs), outputs);
    }
    case "infer_batch": {
      const items = (json.items as Item[]).map((item) => inputsOf(item, frame!.take));
      stats.queued += items.length;
      stats.batch = items.length;
      // One after the other, as if there were as many cores.
      const mine = bulk.then(() => wait(220));
      bulk = mine.catch(() => {});
      await mine;
      stats.queued -= items.length;
      if (cancelled.has(json.call)) throw error("cancelled", "cancelled by its caller", json.model);
      const all = await Promise.all(items.map((inputs) => once(json.model, inputs, json.call)));
      return write({ items: all.map((outputs) => answer(json.model, outputs)) }, all.flat());
    }
    case "stream":
      if (json.do === "open") return void streams.set(json.call, new Stream(json.call, json));
      if (json.do === "push") return streams.get(json.call)?.push((json.items as Item[]).map((item) => inputsOf(item, frame!.take)));
      if (json.do === "taken") return streams.get(json.call)?.taken(json.count);
      return streams.get(json.call)?.end();
    case "cancel": return void (json.calls as number[]).forEach((call) => cancelled.add(call));
    case "metrics": return {
      models: NAMES.map((name, at) => ({ name, queued: at === 1 ? stats.queued : 0, running: at === 1 ? stats.running : 0, requests: 0, errors: {}, queue_ms: { p50: 0.1, p99: 1 }, run_ms: { p50: 8, p99: 20 }, batch_rows: { mean: stats.batch, max: at === 1 ? stats.batch : 1 } })),
      main_thread: { p50_ms: 0.3, p99_ms: 1.4 + Math.random(), max_ms: 4 }, runtime: { p50_ms: 0.2, p99_ms: 0.8 + Math.random() / 2, max_ms: 3 },
    };
  }
  throw error("not_found", `there is no command ${command}`);
}

async function app(command: string, payload: any): Promise<unknown> {
  switch (command) {
    case "samples": return Object.keys(FILES);
    case "sample": {
      if (payload.name === "sentences.txt") return new TextEncoder().encode(TEXT).buffer;
      if (payload.name === "page.png") {
        const { png, boxes } = await page();
        places = boxes;
        return png.buffer;
      }
      if (payload.name === "speech.wav") return recording().buffer;
      return new TextEncoder().encode(`sample:${payload.name} `).buffer;
    }
    case "read_ends": throw "failed to read /home/someone/secret.bin: permission denied";
    case "ping": return null;
    case "block_usual": return spin(payload.ms);
    case "block_pool": return wait(payload.ms);
  }
  throw `command ${command} not found`;
}

mockWindows("main");
mockIPC(async (command: string, payload: any) => {
  if (command.startsWith("plugin:unruffled|")) return plugin(command.slice(17), payload);
  if (command.startsWith("plugin:")) return 0;
  return app(command, payload);
});
