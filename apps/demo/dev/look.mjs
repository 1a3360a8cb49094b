// Takes pictures of the window in headless Chromium, with the stand-in behind it: node dev/look.mjs [FOLDER]. Needs chromedriver.

import { spawn } from "node:child_process";
import { mkdirSync, writeFileSync } from "node:fs";
import { createServer } from "vite";

const folder = process.argv[2] ?? "pictures";
const PORT = 9517;
mkdirSync(folder, { recursive: true });

const server = await createServer({ root: new URL("..", import.meta.url).pathname, server: { port: 1430, strictPort: true }, logLevel: "warn" });
await server.listen();
const driver = spawn("chromedriver", [`--port=${PORT}`], { stdio: "ignore" });
const pause = (ms) => new Promise((done) => setTimeout(done, ms));

async function ask(method, path, body) {
  const response = await fetch(`http://127.0.0.1:${PORT}/session${path}`, { method, body: body && JSON.stringify(body) });
  const { value } = await response.json();
  if (!response.ok) throw new Error(`${method} ${path}: ${value.message}`);
  return value;
}

async function shots(name, width, height, scheme, act, query = "") {
  const { sessionId } = await ask("POST", "", { capabilities: { alwaysMatch: {
    "goog:chromeOptions": { args: ["--headless=new", "--no-sandbox", "--disable-gpu", `--window-size=${width},${height}`, "--hide-scrollbars"] },
    "goog:loggingPrefs": { browser: "ALL" },
  } } });
  const session = `/${sessionId}`;
  const cdp = (cmd, params) => ask("POST", `${session}/goog/cdp/execute`, { cmd, params });
  const run = (script) => ask("POST", `${session}/execute/sync`, { script, args: [] });
  const shot = async (part) => {
    writeFileSync(`${folder}/${name}-${part}.png`, Buffer.from(await ask("GET", `${session}/screenshot`), "base64"));
    console.log(`${name}-${part}`, JSON.stringify(await run("return window.__demo.frames()")));
  };
  try {
    await cdp("Emulation.setDeviceMetricsOverride", { width, height, deviceScaleFactor: 1, mobile: false });
    await cdp("Emulation.setEmulatedMedia", { features: [{ name: "prefers-color-scheme", value: scheme }] });
    await ask("POST", `${session}/url`, { url: `http://localhost:1430/${query}` });
    await act({ run, shot, pause, cdp, session });
    for (const { level, message } of await ask("POST", `${session}/se/log`, { type: "browser" })) {
      if (level !== "DEBUG" && level !== "INFO") console.log("  log:", level, message);
    }
  } finally {
    await ask("DELETE", session);
  }
}

const type = (words) => `const q = document.getElementById("search-query"); q.value = ${JSON.stringify(words)}; q.dispatchEvent(new Event("input"));`;
const click = (id) => `document.getElementById(${JSON.stringify(id)}).click();`;

try {
  await pause(500);
  const wanted = process.argv.slice(3);
  const is = (name) => wanted.length === 0 || wanted.includes(name);
  for (const scheme of ["light", "dark"]) {
    if (is(`wide-${scheme}`)) await shots(`wide-${scheme}`, 1100, 760, scheme, async ({ run, shot, pause }) => {
      await pause(900);
      await shot("1-loading");
      await pause(1600);
      await shot("2-empty");
      await run(click("try-all"));
      await run(type("how do I bake bread"));
      await pause(1100);
      await shot("3-working");
      await pause(2600);
      await run(`document.querySelector("#ocr-lines li:nth-child(5)").dispatchEvent(new Event("pointerenter"))`);
      await shot("4-done");
      await run(click("saturate"));
      await pause(1500);
      await run(click("block-usual"));
      await pause(1200);
      await shot("5-ruffled");
    });
    if (is(`narrow-${scheme}`)) await shots(`narrow-${scheme}`, 700, 900, scheme, async ({ run, shot, pause }) => {
      await pause(2400);
      await shot("1-empty");
      await run(click("try-all"));
      await run(type("why is my window frozen"));
      await pause(3600);
      await shot("2-done");
      await run(`document.getElementById("panels").scrollTo(0, 9999)`);
      await pause(200);
      await shot("3-below");
    });
  }
  if (is("large")) await shots("large", 1600, 1000, "light", async ({ run, shot, pause }) => {
    await pause(2400);
    await run(click("try-all"));
    await run(type("how do I bake bread"));
    await pause(3200);
    await shot("done");
  });
  if (is("small")) await shots("small", 700, 560, "dark", async ({ run, shot, pause }) => {
    await pause(2400);
    await run(click("try-all"));
    await pause(2600);
    await run(click("ocr-wide"));
    await pause(900);
    await shot("enlarged");
  });
  if (is("odd")) await shots("odd", 1100, 760, "light", async ({ run, shot, pause }) => {
    await pause(1200);
    await run(click("speech-sample"));
    await run(click("search-index"));
    await run(`
      const data = new DataTransfer();
      data.items.add(new File(["no wave"], "song.wav"));
      data.items.add(new File([new Uint8Array(40)], "a very long name of a file that goes on and on.jpg"));
      const { x, y } = document.getElementById("files").getBoundingClientRect();
      for (const type of ["dragover", "drop"]) window.dispatchEvent(new DragEvent(type, { dataTransfer: data, clientX: x + 50, clientY: y + 50, bubbles: true, cancelable: true }));`);
    await pause(600);
    await shot("1-errors");
    await run(click("speech-stop"));
    await run(click("search-sample"));
    await run(type("sea"));
    await pause(900);
    await run(click("search-wide"));
    await pause(300);
    await shot("2-enlarged");
  }, "?fail=ocr");
} finally {
  driver.kill();
  await server.close();
}
