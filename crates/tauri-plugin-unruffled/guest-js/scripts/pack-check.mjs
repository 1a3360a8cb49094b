// Checks what `npm pack` would publish: exactly the files that are meant to be there, that they are whole,
// and that a program which depends on them finds the types and the module. Run `npm run build` before.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import {
    cpSync,
    mkdirSync,
    mkdtempSync,
    readFileSync,
    readdirSync,
    rmSync,
    symlinkSync,
    writeFileSync,
} from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("..", import.meta.url));
const read = (file) => readFileSync(join(root, file), "utf8");
const run = (program, args, cwd) =>
    execFileSync(program, args, { cwd, encoding: "utf8", stdio: ["ignore", "pipe", "pipe"] });

const [packed] = JSON.parse(run("npm", ["pack", "--json", "--dry-run", "--ignore-scripts"], root));
const files = packed.files.map(({ path }) => path).sort();
const sources = readdirSync(join(root, "src")).map((file) => `dist-js/${file.replace(/\.ts$/, ".d.ts")}`);
const meant = [
    "LICENSE-APACHE",
    "LICENSE-MIT",
    "README.md",
    "dist-js/index.js",
    "package.json",
    ...sources,
].sort();
assert.deepEqual(files, meant, "these are the files that are meant to be published");

for (const licence of ["LICENSE-APACHE", "LICENSE-MIT"]) {
    assert.equal(read(licence), read(`../../../${licence}`), `${licence} is that of the repository`);
}
for (const file of files.filter((file) => file.startsWith("dist-js/"))) {
    const text = read(file);
    assert.doesNotMatch(text, /sourceMappingURL/, `${file} names no map`);
    for (const [, name] of text.matchAll(/(?:from |import\()"(\.[^"]+)"/g)) {
        const types = join(dirname(file), name).replace(/\.js$/, ".d.ts");
        assert.ok(files.includes(types), `${file} imports ${name}, which is published`);
    }
}
const module = read("dist-js/index.js");
const imports = [...module.matchAll(/^import .* from "([^"]+)"/gm)].map(([, name]) => name);
assert.deepEqual(imports, ["@tauri-apps/api/core"], "the module imports nothing but Tauri");

// A program of its own, with the published files and with what these depend on.
const program = mkdtempSync(join(root, ".pack-check-"));
try {
    const { name, dependencies } = JSON.parse(read("package.json"));
    for (const file of files) cpSync(join(root, file), join(program, "node_modules", name, file));
    for (const dependency of Object.keys(dependencies)) {
        const link = join(program, "node_modules", dependency);
        mkdirSync(dirname(link), { recursive: true });
        symlinkSync(join(root, "node_modules", dependency), link, "junction");
    }
    writeFileSync(join(program, "package.json"), '{ "type": "module", "private": true }');
    writeFileSync(
        join(program, "program.ts"),
        `import { type Outputs, type StreamResult, UnruffledError, jobs, load, metrics, models } from "${name}";
        export async function ask(signal: AbortSignal): Promise<Float32Array> {
            const model = await load("digits", { signal, onProgress: ({ fraction }) => fraction?.toFixed() });
            const out: Outputs = await model.infer({ image: new Float32Array(64) }, { signal, supersede: "ink" });
            for await (const result of model.stream([{ image: [[0, 1]] }])) {
                const { item, error }: StreamResult = result;
                if (error instanceof UnruffledError) console.log(item, error.code, error.retryable);
            }
            const texts: string[] = out.get("label", "BYTES").data.strings();
            await (await model.session()).end();
            await (await jobs.get(texts[0] ?? "")).cancel();
            console.log((await models()).length, (await metrics()).main_thread?.p99_ms);
            return out.get("probabilities", "FP32").data;
        }
        // @ts-expect-error a date is no input
        load("digits").then((model) => model.infer({ image: new Date() }));
        `,
    );
    const tsc = join(root, "node_modules", "typescript", "bin", "tsc");
    for (const resolution of [{ module: "nodenext" }, { module: "esnext", moduleResolution: "bundler" }]) {
        // The published types are checked as well, with no more than a page has.
        const page = { target: "es2022", lib: ["es2022", "dom"], types: [], skipLibCheck: false };
        const compilerOptions = {
            noEmit: true,
            strict: true,
            exactOptionalPropertyTypes: true,
            ...page,
            ...resolution,
        };
        writeFileSync(
            join(program, "tsconfig.json"),
            JSON.stringify({ compilerOptions, files: ["program.ts"] }),
        );
        run(process.execPath, [tsc, "-p", program], program);
    }
    const names = "Object.keys(await import(process.argv[1])).sort().join()";
    const exported = run(
        process.execPath,
        ["--input-type=module", "-e", `console.log(${names})`, name],
        program,
    );
    assert.equal(exported.trim(), "UnruffledError,jobs,load,metrics,models");
} catch (error) {
    if (error.stdout) console.error(error.stdout);
    throw error;
} finally {
    rmSync(program, { recursive: true });
}
console.log(`${packed.filename}: ${files.length} files, ${(packed.unpackedSize / 1000).toFixed(0)} kB`);
