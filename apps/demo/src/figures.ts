// Numbers of many: percentiles, and how they are told.

/** The value that `part` of `sorted` do not exceed (nearest rank); `NaN` of nothing. */
export function percentile(sorted: ArrayLike<number>, part: number): number {
  if (sorted.length === 0) return NaN;
  return sorted[Math.min(Math.max(Math.ceil(part * sorted.length), 1), sorted.length) - 1]!;
}

/** What is said of a distribution. */
export interface Summary {
  p50: number;
  p99: number;
  max: number;
  count: number;
}

/** Of no values at all, everything is 0: nothing was late. */
export function summary(values: ArrayLike<number>): Summary {
  const sorted = Float64Array.from(values).sort();
  if (sorted.length === 0) return { p50: 0, p99: 0, max: 0, count: 0 };
  return { p50: percentile(sorted, 0.5), p99: percentile(sorted, 0.99), max: sorted[sorted.length - 1]!, count: sorted.length };
}

/** The last values of something endless, with the time of each. */
export class Recent {
  private readonly values: Float64Array;
  private readonly times: Float64Array;
  private next = 0;
  private held = 0;

  constructor(most: number) {
    this.values = new Float64Array(most);
    this.times = new Float64Array(most);
  }

  add(time: number, value: number) {
    this.values[this.next] = value;
    this.times[this.next] = time;
    this.next = (this.next + 1) % this.values.length;
    this.held = Math.min(this.held + 1, this.values.length);
  }

  clear() {
    this.held = 0;
  }

  /** The newest first, until one is older than `since`. */
  each(since: number, take: (value: number, time: number) => void) {
    for (let back = 1; back <= this.held; back += 1) {
      const at = (this.next - back + this.values.length) % this.values.length;
      if (this.times[at]! < since) return;
      take(this.values[at]!, this.times[at]!);
    }
  }

  summary(since = -Infinity): Summary {
    const values: number[] = [];
    this.each(since, (value) => values.push(value));
    return summary(values);
  }
}

/** Milliseconds, as short as they can be read. */
export function ms(value: number | undefined): string {
  if (value === undefined || !Number.isFinite(value)) return "–";
  if (value >= 10_000) return `${(value / 1000).toFixed(0)} s`;
  if (value >= 1000) return `${(value / 1000).toFixed(1)} s`;
  if (value >= 10 || value === 0) return `${value.toFixed(0)} ms`;
  return `${value.toFixed(1)} ms`;
}

/** `1 line`, `2 lines`. */
export const many = (count: number, one: string, more = `${one}s`) => `${count.toLocaleString("en")} ${count === 1 ? one : more}`;

/** Bytes, in words. */
export function size(bytes: number): string {
  const [unit, name] = bytes >= 2 ** 20 ? [2 ** 20, "MiB"] : bytes >= 2 ** 10 ? [2 ** 10, "KiB"] : [1, "B"];
  const value = bytes / unit;
  return `${value >= 10 || unit === 1 ? value.toFixed(0) : value.toFixed(1)} ${name}`;
}
