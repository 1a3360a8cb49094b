/** What the plugin has counted and measured since the application began. */

import { ask } from "./call.js";

/** Half of all were at or below `p50`, all but one in a hundred at or below `p99`; milliseconds. */
export interface Percentiles {
    readonly p50: number;
    readonly p99: number;
}

/** One model. */
export interface ModelMetrics {
    readonly name: string;
    /** Requests that wait now. */
    readonly queued: number;
    /** Requests that run now. */
    readonly running: number;
    /** Requests that were answered. */
    readonly requests: number;
    /** Requests that were not, by the code of the error. */
    readonly errors: Readonly<Record<string, number>>;
    /** From the arrival of a request to the begin of its run. */
    readonly queue_ms: Percentiles;
    /** From there to the end of the run. */
    readonly run_ms: Percentiles;
    /** Rows that shared a run. */
    readonly batch_rows: { readonly mean: number; readonly max: number };
    /** Requests that a newer one of their key has ended. */
    readonly superseded?: number;
}

/** How late a loop was to do what was due; milliseconds. */
export interface Lateness {
    readonly p50_ms: number;
    readonly p99_ms: number;
    readonly max_ms: number;
    /** The latest of the last few seconds. */
    readonly recent_max_ms?: number;
    /** How often it was late enough to be felt. */
    readonly stalls?: number;
}

/** All of it. */
export interface Metrics {
    /** The models that this window may see. */
    readonly models: readonly ModelMetrics[];
    /** The thread that draws the window; null if it is not watched. */
    readonly main_thread: Lateness | null;
    /** The runtime that commands run on; null if it is not watched. */
    readonly runtime: Lateness | null;
}

/** What was counted and measured. Rejects with `forbidden` unless the window's capability allows it. */
export function metrics(): Promise<Metrics> {
    return ask<Metrics>("metrics", {});
}
