import assert from "node:assert/strict";
import { test } from "node:test";

import { Recent, many, ms, percentile, size, summary } from "../src/figures.ts";

test("percentiles by nearest rank", () => {
  const values = Array.from({ length: 100 }, (_, at) => at + 1);
  assert.deepEqual([percentile(values, 0.5), percentile(values, 0.99), percentile(values, 1), percentile(values, 0)], [50, 99, 100, 1]);
  assert.ok(Number.isNaN(percentile([], 0.5)));
  assert.deepEqual(summary([3, 1, 2]), { p50: 2, p99: 3, max: 3, count: 3 });
  assert.deepEqual(summary([]), { p50: 0, p99: 0, max: 0, count: 0 });
});

test("the last values are kept, the newest first", () => {
  const recent = new Recent(3);
  for (let at = 1; at <= 5; at += 1) recent.add(at * 10, at);
  const seen: number[] = [];
  recent.each(40, (value) => seen.push(value));
  assert.deepEqual(seen, [5, 4]);
  assert.deepEqual(recent.summary(), { p50: 4, p99: 5, max: 5, count: 3 });
  recent.clear();
  assert.equal(recent.summary().count, 0);
});

test("figures are told shortly", () => {
  assert.deepEqual([0, 0.42, 9.96, 17.4, 999, 1234, 12345, undefined, NaN].map(ms),
    ["0 ms", "0.4 ms", "10.0 ms", "17 ms", "999 ms", "1.2 s", "12 s", "–", "–"]);
  assert.deepEqual([many(1, "line"), many(2, "box", "boxes"), many(1200, "file")], ["1 line", "2 boxes", "1,200 files"]);
  assert.deepEqual([12, 1536, 20480, 5 * 2 ** 20].map(size), ["12 B", "1.5 KiB", "20 KiB", "5.0 MiB"]);
});
