// Removes what was built: the folders that are named, `dist-js` unless one is.

import { rmSync } from "node:fs";

const named = process.argv.slice(2);
for (const folder of named.length > 0 ? named : ["dist-js"]) {
    rmSync(new URL(`../${folder}`, import.meta.url), { recursive: true, force: true });
}
