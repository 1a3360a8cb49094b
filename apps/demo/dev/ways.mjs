// Measures three ways to run a model beside a window: a Python process, a worker in the page, and the plugin. The model is MiniLM, with 64
// tokens; the figures are in docs/design/desktop-ways.md. Needs WebKitWebDriver, its MiniBrowser, Xvfb, the models, and a Python with onnxruntime:
//
//     npm install --no-save onnxruntime-web && node dev/ways.mjs PROGRAM PYTHON

import { spawn } from "node:child_process";
import { createReadStream, readdirSync, statSync } from "node:fs";
import { createServer } from "node:http";
import { extname, join } from "node:path";
import { createInterface } from "node:readline";

const [PROGRAM, PYTHON] = process.argv.slice(2);
const here = new URL(".", import.meta.url).pathname;
const MODEL = join(here, "../../../models/minilm/1/model.onnx");
const ORT = join(here, "../node_modules/onnxruntime-web/dist");
const BROWSER = "/usr/lib/x86_64-linux-gnu/webkit2gtk-4.1/MiniBrowser";
const [PORT, PAGE, DISPLAY] = [9521, 9522, ":97"];
const ASKS = 100;
const SECONDS = 15;

const pause = (ms) => new Promise((done) => setTimeout(done, ms));
const sorted = (times) => [...times].sort((a, b) => a - b);
const part = (times, at) => sorted(times)[Math.min(times.length - 1, Math.floor(at * times.length))];
const figures = (times) => `p50 ${part(times, 0.5).toFixed(0)}, p99 ${part(times, 0.99).toFixed(0)}, max ${part(times, 1).toFixed(0)}`;

async function time(ask) {
  const begin = performance.now();
  await ask();
  return performance.now() - begin;
}

/** The Python process, and what it is asked. */
function sidecar() {
  const process = spawn(PYTHON, [join(here, "ways/sidecar.py"), MODEL], { stdio: ["pipe", "pipe", "inherit"] });
  const waiting = [];
  createInterface({ input: process.stdout }).on("line", (line) => waiting.shift()(JSON.parse(line)));
  const told = () => new Promise((done) => waiting.push(done));
  const ask = (message) => (process.stdin.write(`${JSON.stringify(message)}\n`), told());
  return { ready: told(), ask, kill: () => process.kill("SIGKILL") };
}

/** A page in the WebView: the demo, or the worker's. */
async function open(binary, args, url) {
  const call = async (method, path, body) => {
    const response = await fetch(`http://127.0.0.1:${PORT}/session${path}`, { method, body: body && JSON.stringify(body) });
    const { value } = await response.json();
    if (!response.ok) throw new Error(`${method} ${path}: ${value.message}`);
    return value;
  };
  const { sessionId } = await call("POST", "", { capabilities: { alwaysMatch: { "webkitgtk:browserOptions": { binary, args }, timeouts: { script: 120_000 } } } });
  if (url) await call("POST", `/${sessionId}/url`, { url });
  const script = "const done = arguments[arguments.length - 1]; (async () => { BODY })().then((value) => done({ value }), (error) => done({ error: String(error) }));";
  return {
    async run(body) {
      const { value, error } = await call("POST", `/${sessionId}/execute/async`, { script: script.replace("BODY", () => body), args: [] });
      if (error) throw new Error(error);
      return value;
    },
    close: () => call("DELETE", `/${sessionId}`),
  };
}

/** In the page: how long single requests take, and bytes, and the gaps between frames while two are always under way. */
const ALONE = `const times = []; await way.ask(); for (let i = 0; i < ${ASKS}; i++) { const begin = performance.now(); await way.ask(); times.push(performance.now() - begin); } return times;`;
const BYTES = "const times = []; for (let i = 0; i < 20; i++) { const begin = performance.now(); await way.bytes(); times.push(performance.now() - begin); } return times;";
const FRAMES = `const gaps = []; let last = performance.now(); let goes = true;
  requestAnimationFrame(function frame() { const now = performance.now(); gaps.push(now - last); last = now; if (goes) requestAnimationFrame(frame); });
  let answers = 0; const loop = async () => { while (goes) { await BUSY; answers++; } };
  const loops = [loop(), loop()]; await new Promise((done) => setTimeout(done, ${SECONDS} * 1000)); goes = false; await Promise.all(loops); return { gaps: gaps.slice(2), answers };`;
const frames = (seen) => `frames ${figures(seen.gaps)}; ${(seen.answers / SECONDS).toFixed(1)} answers a second`;

const server = createServer((request, response) => {
  const name = request.url.split("?")[0];
  const path = name === "/model.onnx" ? MODEL : name.startsWith("/ort/") ? join(ORT, name.slice(5)) : join(here, "ways", name.slice(1));
  const type = { ".html": "text/html", ".js": "text/javascript", ".mjs": "text/javascript", ".wasm": "application/wasm" }[extname(path)] ?? "application/octet-stream";
  const isolated = { "Cross-Origin-Opener-Policy": "same-origin", "Cross-Origin-Embedder-Policy": "require-corp" };
  createReadStream(path).on("error", () => response.writeHead(404).end()).once("open", () => response.writeHead(200, { "Content-Type": type, ...isolated })).pipe(response);
}).listen(PAGE, "127.0.0.1");
const children = [
  spawn("Xvfb", [DISPLAY, "-screen", "0", "1280x900x24", "-nolisten", "tcp"], { stdio: "ignore" }),
  spawn("WebKitWebDriver", [`--port=${PORT}`, "--host=127.0.0.1"], {
    stdio: "ignore",
    env: { ...process.env, DISPLAY, TAURI_WEBVIEW_AUTOMATION: "true", GDK_BACKEND: "x11", NO_AT_BRIDGE: "1", WEBKIT_DISABLE_SANDBOX_THIS_IS_DANGEROUS: "1" },
  }),
];

try {
  await pause(1500);
  let begin = performance.now();
  const demo = await open(PROGRAM, []);
  await demo.run("while (!window.__demo?.api) await new Promise((done) => setTimeout(done, 10));");
  console.log("plugin: page there after", (performance.now() - begin).toFixed(0), "ms");
  await demo.run(`const model = await window.__demo.api.load("minilm");
    const int64 = (rows, value) => ({ datatype: "INT64", shape: [rows, 64], data: new BigInt64Array(rows * 64).fill(value) });
    const inputs = (rows) => ({ input_ids: int64(rows, 2023n), attention_mask: int64(rows, 1n), token_type_ids: int64(rows, 0n) });
    const echo = await window.__demo.api.load("demo-echo");
    window.way = {
      ask: (rows = 1, options) => model.infer(inputs(rows), options),
      bulk: () => model.infer(inputs(1), { priority: "bulk" }),
      bytes: () => echo.infer({ x: { datatype: "FP32", shape: [1 << 20], data: new Float32Array(1 << 20) } }),
    };
    await way.ask();`);
  console.log("plugin: first answer after", (performance.now() - begin).toFixed(0), "ms");
  console.log("plugin: idle,", frames(await demo.run(FRAMES.replace("BUSY", "new Promise((done) => setTimeout(done, 100))"))));
  console.log("plugin: one answer,", figures(await demo.run(ALONE)), "ms");
  console.log("plugin: 4 MB there and back,", figures(await demo.run(BYTES)), "ms");
  console.log("plugin: busy,", frames(await demo.run(FRAMES.replace("BUSY", "way.bulk()"))));
  const givenUp = await demo.run(`const abort = new AbortController(); const asked = way.ask(32, { signal: abort.signal }).catch(() => {});
    await new Promise((done) => setTimeout(done, 50)); const begin = performance.now(); abort.abort(); await asked; const told = performance.now() - begin; await way.ask(); return [told, performance.now() - begin];`);
  console.log("plugin: given up, told after", givenUp[0].toFixed(0), "ms, the next answered after", givenUp[1].toFixed(0));

  begin = performance.now();
  let python = sidecar();
  await python.ready;
  await python.ask({ rows: 1 });
  console.log("sidecar: first answer after", (performance.now() - begin).toFixed(0), "ms");
  const one = [];
  for (let i = 0; i < ASKS; i++) one.push(await time(() => python.ask({ rows: 1 })));
  console.log("sidecar: one answer,", figures(one), "ms, without the way to the page");
  const x = Array.from({ length: 1 << 20 }, (_, i) => i / 7);
  const bytes = [];
  for (let i = 0; i < 5; i++) bytes.push(await time(() => python.ask({ x })));
  console.log("sidecar: 4 MB there and back as JSON,", figures(bytes), "ms, without the way to the page");
  let goes = true;
  let answers = 0;
  const loop = async () => {
    while (goes) {
      await python.ask({ rows: 1 });
      answers += 1;
    }
  };
  const loops = [loop(), loop()];
  const seen = await demo.run(FRAMES.replace("BUSY", "new Promise((done) => setTimeout(done, 100))"));
  goes = false;
  await Promise.all(loops);
  console.log("sidecar: busy,", frames({ ...seen, answers }));
  void python.ask({ rows: 32 });
  await pause(50);
  console.log("sidecar: given up by waiting, the next answered after", (await time(() => python.ask({ rows: 1 }))).toFixed(0), "ms");
  void python.ask({ rows: 32 });
  await pause(50);
  const restarted = await time(async () => {
    python.kill();
    python = sidecar();
    await python.ready;
    await python.ask({ rows: 1 });
  });
  console.log("sidecar: given up by killing it, the next answered after", restarted.toFixed(0), "ms");
  python.kill();
  await demo.close();

  begin = performance.now();
  const page = await open(BROWSER, ["--automation"], `http://127.0.0.1:${PAGE}/page.html`);
  console.log("worker: page there after", (performance.now() - begin).toFixed(0), "ms");
  const threads = await page.run("const threads = await way.ready(); await way.ask(); return threads;");
  console.log("worker: first answer after", (performance.now() - begin).toFixed(0), "ms, with", threads, "threads");
  console.log("worker: idle,", frames(await page.run(FRAMES.replace("BUSY", "new Promise((done) => setTimeout(done, 100))"))));
  console.log("worker: one answer,", figures(await page.run(ALONE)), "ms");
  console.log("worker: 4 MB there and back,", figures(await page.run(BYTES)), "ms");
  console.log("worker: busy,", frames(await page.run(FRAMES.replace("BUSY", "way.ask()"))));
  console.log("worker: given up by ending it, the next answered after", (await page.run("return way.cancelled()")).toFixed(0), "ms");
  await page.close();
  for (const file of readdirSync(ORT).filter((name) => /^ort(\.wasm\.min|-wasm-simd-threaded)\.(m?js|wasm)$/.test(name))) console.log("worker: ships", file, statSync(join(ORT, file)).size);
} finally {
  children.forEach((child) => child.kill());
  server.close();
}
