// Numbers as a person reads them.

const digits = (value) => (value < 9.95 ? value.toFixed(1) : Math.round(value).toString());

/** Milliseconds: `0.12 ms`, `3.4 ms`, `250 ms`, `1.5 s`. */
export function time(ms) {
  if (ms == null) return "–";
  if (ms === 0) return "0 ms";
  if (ms < 0.995) return `${ms.toFixed(2)} ms`;
  if (ms < 999.5) return `${digits(ms)} ms`;
  return `${digits(ms / 1000)} s`;
}

/** A count with its thousands apart. */
export const count = (value) => Math.round(value).toLocaleString("en");

/** So many a second. */
export const rate = (value) => (value == null ? "–" : value === 0 ? "0 /s" : value < 100 ? `${digits(value)} /s` : `${count(value)} /s`);

/** A mean of small counts. */
export const mean = (value) => (value == null ? "–" : digits(value));

export function bytes(value) {
  for (const [unit, size] of [["GiB", 2 ** 30], ["MiB", 2 ** 20], ["KiB", 2 ** 10]]) {
    if (value >= size) return `${digits(value / size)} ${unit}`;
  }
  return `${value} B`;
}

/** The time of the day. */
export const clock = (ms) => new Date(ms).toLocaleTimeString([], { hour12: false });

export const percent = (part) => `${(part * 100).toFixed(part > 0.9995 || part < 0.0005 ? 0 : 1)} %`;

/** A noun with its number. */
export const many = (number, noun, nouns = `${noun}s`) => `${count(number)} ${number === 1 ? noun : nouns}`;

/** How long ago, in the largest unit that says something. */
export function age(ms) {
  const seconds = Math.max(ms / 1000, 0);
  for (const [unit, size] of [["d", 86400], ["h", 3600], ["min", 60]]) if (seconds >= 2 * size) return `${Math.floor(seconds / size)} ${unit}`;
  return `${Math.floor(seconds)} s`;
}
