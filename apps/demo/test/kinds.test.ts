import assert from "node:assert/strict";
import { test } from "node:test";

import { ending, inWords, isMisnamed } from "../src/kinds.ts";

test("endings of names", () => {
  assert.deepEqual(["a.PDF", "a.tar.gz", ".bashrc", "Makefile", "odd. name", "a.verylongending"].map(ending), ["pdf", "gz", "", "", "", ""]);
});

test("labels in words, or as they are", () => {
  assert.deepEqual(["pebin", "cobol"].map(inWords), ["Windows app", "cobol"]);
});

test("a name is wrong only where it promises something else", () => {
  const cases: [string, string, boolean][] = [
    ["holiday.jpg", "zip", true], ["a.jpg", "jpeg", false], ["notes.txt", "markdown", false], ["x.unknown", "zip", false],
    ["README", "markdown", false], ["a.py", "cobol", true], ["a.h", "cpp", false],
  ];
  for (const [name, label, expected] of cases) assert.equal(isMisnamed(name, label), expected, `${name} ${label}`);
});
