// Makes `../api-iife.js`, which Tauri includes in pages without a bundler as `window.__TAURI__.unruffled`. It
// is kept in the repository, beside the crate that includes it, because a Cargo build must not need npm. With
// `--check` it writes nothing, and fails if what is there is not what it would write.

import assert from "node:assert/strict";
import { readFileSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { runInNewContext } from "node:vm";

import { build } from "vite";

const root = fileURLToPath(new URL("..", import.meta.url));
const script = new URL("../../api-iife.js", import.meta.url);

const [made] = await build({
    root,
    // The configuration of the package would be added to this one.
    configFile: false,
    logLevel: "warn",
    build: {
        write: false,
        // The oldest WebKit that has AbortSignal.reason. The web views of other systems renew themselves.
        target: "safari15.4",
        lib: { entry: "src/index.ts", formats: ["iife"], name: "__TAURI_PLUGIN_UNRUFFLED__" },
        rolldownOptions: {
            output: {
                banner: "if ('__TAURI__' in window) {",
                footer: "Object.defineProperty(window.__TAURI__, 'unruffled', { value: __TAURI_PLUGIN_UNRUFFLED__ }) }",
            },
        },
    },
});
const { code } = made.output[0];

const window = { __TAURI__: {} };
runInNewContext(code, { window, crypto });
assert.deepEqual(Object.keys(window.__TAURI__.unruffled).sort(), [
    "UnruffledError",
    "jobs",
    "load",
    "metrics",
    "models",
]);
runInNewContext(code, { window: {} });

if (process.argv.includes("--check")) {
    if (readFileSync(script, "utf8") !== code) {
        console.error("api-iife.js is not what the sources give: run `npm run build`, and commit it");
        process.exitCode = 1;
    }
} else {
    writeFileSync(script, code);
    console.log(`api-iife.js  ${(code.length / 1000).toFixed(1)} kB`);
}
