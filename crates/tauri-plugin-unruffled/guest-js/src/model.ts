/** Models: loaded by name, asked in every way that there is. */

import type { Outputs } from "./answer.js";
import { type BatchOptions, type Settled, inferBatch } from "./batch.js";
import { ask, newCall, page, requestWithChannel } from "./call.js";
import type { Inputs } from "./fit.js";
import { infer } from "./infer.js";
import { type Job, type JobOptions, submit } from "./job.js";
import { type Session, beginSession } from "./session.js";
import type { Items } from "./source.js";
import type { ModelStatus } from "./status.js";
import { type StreamOptions, type StreamResult, outputs, stream } from "./stream.js";
import type { InferOptions } from "./terms.js";

/** How far a load is. */
export interface LoadProgress {
    readonly state: ModelStatus["state"];
    /** From 0 to 1, where it is known. */
    readonly fraction: number | undefined;
}

/** What loading may be told. */
export interface LoadOptions {
    /** Ends the wait at once, with the signal's `reason`. What others wait for is loaded nevertheless. */
    readonly signal?: AbortSignal | undefined;
    /** Hears how far it is. */
    readonly onProgress?: ((progress: LoadProgress) => void) | undefined;
}

interface ProgressMessage {
    readonly state: ModelStatus["state"];
    readonly fraction?: number;
    readonly progress?: number;
}

/**
 * One model. Whatever asks it rejects or throws with an `UnruffledError`, or with the reason of a signal that
 * was aborted:
 *
 * - `invalid_input` if the inputs do not fit, which this page finds out for itself where it can;
 * - `not_found`, `not_ready` and `overloaded` if the model cannot take the request, now or at all;
 * - `deadline_exceeded` if the timeout has passed, `cancelled` if something newer came;
 * - `model_failed` and `model_crashed` if it ran in vain, `shutting_down` if the application ends;
 * - `forbidden` if this window may not use it.
 */
export class Model {
    /** The name by which it was loaded. */
    readonly name: string;
    /** What it was when it was loaded: its inputs, outputs and labels. */
    readonly status: ModelStatus;

    /** @internal */
    constructor(status: ModelStatus) {
        this.name = status.name;
        this.status = status;
    }

    /** Asks it once. The inputs are copied before this returns, and may be used again. Aborting cancels. */
    infer(inputs: Inputs, options: InferOptions = {}): Promise<Outputs> {
        return infer(this.status, inputs, options);
    }

    /**
     * Asks it once for each item, and resolves when all have an outcome, in their order. One that fails
     * leaves the others as they are; it rejects as a whole only if nothing could be asked. All items go in
     * one message: for more than a megabyte, `stream` is kinder to the window. Aborting cancels all of them.
     */
    inferBatch(items: Iterable<Inputs>, options: BatchOptions = {}): Promise<Settled[]> {
        return inferBatch(this.status, items, options);
    }

    /**
     * Puts the items of a source through it, and gives the results in the order of the source. Nothing begins
     * before the first result is asked for; then the source is asked for more only while there is room, so a
     * slow consumer or a slow model slows the source down. An array must not be changed once it was given.
     *
     * An item that fails, or does not fit, has an `error`, and the stream goes on. What the source throws is
     * thrown, as is what ends the stream in Rust, both behind the results that are here. Aborting throws at
     * once; that and breaking out of the loop cancel what is under way and close the source.
     */
    stream(
        items: Items<Inputs>,
        options: StreamOptions = {},
    ): AsyncIterableIterator<StreamResult, undefined> {
        return stream(this.status, items, options);
    }

    /**
     * Asks it once, and gives all that it gives for that, each as it comes. Nothing begins before the first
     * is asked for. Aborting, and breaking out of the loop, cancel.
     */
    outputs(inputs: Inputs, options: StreamOptions = {}): AsyncIterableIterator<Outputs, undefined> {
        return outputs(this.status, inputs, options);
    }

    /** Begins a session. Rejects with `invalid_input` if the model keeps no state. */
    session(): Promise<Session> {
        return beginSession(this.status);
    }

    /** Makes it a job, and resolves when that is in its queue. The job goes on without this page. */
    submit(inputs: Inputs, options: JobOptions = {}): Promise<Job> {
        return submit(this.status, inputs, options);
    }

    /**
     * Takes it out of memory, for all windows, when what it has is answered. Rejects with `forbidden` unless
     * allowed.
     */
    async unload(): Promise<void> {
        await ask("unload", { model: this.name });
    }
}

/**
 * Loads a model, if it is not loaded yet, and resolves when it is ready. Rejects with `not_found` if there is
 * none of this name, with `forbidden` if this window may not use it, and with what went wrong if the load
 * fails.
 */
export async function load(name: string, options: LoadOptions = {}): Promise<Model> {
    options.signal?.throwIfAborted();
    const call = newCall();
    const tell = ({ state, fraction, progress }: ProgressMessage) =>
        options.onProgress?.({ state, fraction: fraction ?? progress });
    const argument = { page, call, model: name };
    return new Model(
        await requestWithChannel<ModelStatus, ProgressMessage>("load", call, argument, tell, options.signal),
    );
}

/** The models that this window may use, loaded or not. */
export function models(): Promise<ModelStatus[]> {
    return ask<ModelStatus[]>("models", {});
}
