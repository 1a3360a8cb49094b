/** Jobs: work that goes on whatever becomes of the page. */

import { type Outputs, readOutputs } from "./answer.js";
import { ask, newCall, page, request, requestWithChannel } from "./call.js";
import type { Inputs } from "./fit.js";
import type { Body } from "./frame.js";
import { sendInputs } from "./infer.js";
import { Mailbox } from "./mailbox.js";
import type { ModelStatus } from "./status.js";
import type { Terms } from "./terms.js";

/**
 * Terms of a job. Its signal gives the submission up, not the job. Bulk work unless the priority says
 * otherwise.
 */
export interface JobOptions extends Terms {
    /** The same key with the same inputs is the same job: safe to submit again when an answer was lost. */
    readonly key?: string | undefined;
    /** For how many milliseconds the result is kept; an hour unless set. */
    readonly keepMs?: number | undefined;
    /** How often it is begun at most, if what runs it breaks down; 3 unless set. */
    readonly attempts?: number | undefined;
}

/** How a job is doing. Moments are in milliseconds since 1970. */
export interface JobStatus {
    readonly id: string;
    /** The model that runs it. */
    readonly model: string;
    readonly state: "queued" | "running" | "done" | "failed" | "cancelled" | (string & {});
    /** How often it was begun. */
    readonly attempts?: number;
    /** By what the caller knows it again. */
    readonly key?: string;
    /** How far the model says it is, from 0 to 1, while it runs. */
    readonly progress?: { readonly part: number; readonly text?: string | null };
    /** What went wrong last. */
    readonly error?: { readonly code: string; readonly message: string };
    readonly submitted_ms?: number;
    readonly started_ms?: number;
    readonly finished_ms?: number;
}

/** What waiting may be told. */
export interface WaitOptions {
    /** Ends the wait at once, with the signal's `reason`. The job goes on. */
    readonly signal?: AbortSignal | undefined;
}

/** One job. It outlives this object, the page, and with a queue on disk the application. */
export class Job {
    /** Finds it again, with `jobs.get`. */
    readonly id: string;
    /** The model that runs it. */
    readonly model: string;

    /** @internal */
    constructor(status: JobStatus) {
        this.id = status.id;
        this.model = status.model;
    }

    /** How it is doing now. Rejects with `not_found` if it is not kept any more. */
    status(): Promise<JobStatus> {
        return ask<JobStatus>("job", { id: this.id });
    }

    /**
     * How it is doing now, and then whenever that changes, up to its end. Some changes may be left out, never
     * the last. Breaking out of the loop ends the watch, not the job. Throws like `status`.
     */
    statuses(options: WaitOptions = {}): AsyncIterableIterator<JobStatus, undefined> {
        return watch(this.id, options.signal);
    }

    /**
     * What came of it, when it has ended. Rejects with what it ended with if it failed or was cancelled, and
     * with `not_found` if its result is not kept any more.
     */
    async result(options: WaitOptions = {}): Promise<Outputs> {
        options.signal?.throwIfAborted();
        const call = newCall();
        const body = await request<Body>("job_result", call, { page, call, id: this.id }, options.signal);
        return readOutputs(body, this.model);
    }

    /** Takes it back if it has not begun, or tells the model to stop. Does nothing to one that has ended. */
    async cancel(): Promise<void> {
        await ask("job_cancel", { id: this.id });
    }
}

/** Puts a request into the queue of jobs, and resolves when it is there. */
export async function submit(model: ModelStatus, inputs: Inputs, options: JobOptions): Promise<Job> {
    const { key, keepMs, attempts } = options;
    const more = { key, keep_ms: keepMs === undefined ? undefined : Math.ceil(keepMs), attempts };
    return new Job(await sendInputs<JobStatus>("submit", model, inputs, options, more));
}

/** Jobs that were submitted before, by this page or another one. */
export const jobs = {
    /** The job of this id. Rejects with `not_found` if there is none, or it is not kept any more. */
    async get(id: string): Promise<Job> {
        return new Job(await ask<JobStatus>("job", { id }));
    },
} as const;

function watch(id: string, signal: AbortSignal | undefined): AsyncIterableIterator<JobStatus, undefined> {
    // The consumer may stop as well as the signal.
    const stop = new AbortController();
    const abort = () => {
        statuses.abort(signal?.reason);
        stop.abort();
    };
    let state: string | undefined;
    const take = (status: JobStatus) => {
        state = status.state;
        statuses.replace(status);
    };
    const run = async () => {
        const call = newCall();
        try {
            const last = await requestWithChannel<JobStatus, JobStatus>(
                "job",
                call,
                { page, call, id },
                take,
                stop.signal,
            );
            // Both the channel and the answer may tell how it ended.
            if (last.state !== state) take(last);
            statuses.end();
        } catch (error) {
            statuses.fail(error);
        } finally {
            signal?.removeEventListener("abort", abort);
        }
    };
    const statuses = new Mailbox<JobStatus>({
        start: () => {
            if (signal?.aborted) {
                statuses.abort(signal.reason);
                return;
            }
            signal?.addEventListener("abort", abort, { once: true });
            void run();
        },
        taken: () => {},
        stop: () => stop.abort(),
    });
    return statuses;
}
