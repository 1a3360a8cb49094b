/** Answers: the tensors that a model gave, and how they came about. */

import { UnruffledError } from "./error.js";
import { type Body, FrameReader, type TensorHead } from "./frame.js";
import type { Datatype, Tensor } from "./tensor.js";

/** Where the time of a request went. */
export interface Timings {
    /** Milliseconds from its arrival to the begin of its run. */
    readonly queue_ms: number;
    /** Milliseconds of the run. */
    readonly run_ms: number;
    /** How many requests shared the run. */
    readonly batch_requests: number;
    /** How many rows these were. */
    readonly batch_rows: number;
}

/** An answer that is not the one that was asked for, but what could be had instead. */
export interface Degraded {
    /** Who gave it: the name of a model, or `default`. */
    readonly by: string;
    /** Who was tried before and why each did not answer, in this order. */
    readonly why: readonly (readonly [model: string, reason: string])[];
}

/** An answer in the JSON part of a frame. */
export interface AnswerHead {
    readonly outputs?: readonly TensorHead[];
    readonly model?: string;
    readonly version?: string;
    readonly timings?: Timings;
    readonly cached?: boolean;
    readonly degraded?: Degraded;
}

/**
 * What a model gave: tensors by name, in the model's order. All of them share the memory that the answer came
 * in.
 */
export class Outputs implements Iterable<[name: string, tensor: Tensor]> {
    /** The model that was asked. */
    readonly model: string;
    /** The version that gave the answer, where there are several. */
    readonly version: string | undefined;
    /** Where the time went; unknown of results of jobs, and of single ones of several outputs. */
    readonly timings: Timings | undefined;
    /** Whether it was computed for another request with the same inputs. */
    readonly cached: boolean;
    /** Set if another model gave it than the one that was asked. */
    readonly degraded: Degraded | undefined;
    readonly #tensors: ReadonlyMap<string, Tensor>;

    /** @internal */
    constructor(head: AnswerHead, tensors: ReadonlyMap<string, Tensor>, model: string) {
        this.model = head.model ?? model;
        this.version = head.version;
        this.timings = head.timings;
        this.cached = head.cached ?? false;
        this.degraded = head.degraded;
        this.#tensors = tensors;
    }

    /** The names of the outputs. */
    get names(): string[] {
        return [...this.#tensors.keys()];
    }

    /** Whether there is an output of this name. */
    has(name: string): boolean {
        return this.#tensors.has(name);
    }

    /** The output of this name. Throws `not_found` if there is none, and names those that there are. */
    get(name: string): Tensor;
    /** The same, when it is known of which datatype it is. Throws `unsupported` if it is of another one. */
    get<D extends Datatype>(name: string, datatype: D): Tensor<D>;
    get(name: string, datatype?: Datatype): Tensor {
        const tensor = this.#tensors.get(name);
        if (!tensor) {
            const known = this.names.map((known) => `\`${known}\``).join(", ") || "none";
            throw this.#error("not_found", `there is no output \`${name}\`; there are ${known}`);
        }
        if (datatype !== undefined && tensor.datatype !== datatype) {
            throw this.#error("unsupported", `output \`${name}\` is ${tensor.datatype}, not ${datatype}`);
        }
        return tensor;
    }

    /** The outputs and their names. */
    [Symbol.iterator](): IterableIterator<[name: string, tensor: Tensor]> {
        return this.#tensors.entries();
    }

    #error(code: "not_found" | "unsupported", message: string): UnruffledError {
        return new UnruffledError(code, message, { model: this.model });
    }
}

/** The answer that a frame begins or goes on with. */
export function outputsOf(head: AnswerHead, reader: FrameReader<unknown>, model: string): Outputs {
    return new Outputs(head, reader.take(head.outputs ?? []), model);
}

/** The answer that a frame is. */
export function readOutputs(body: Body, model: string): Outputs {
    const reader = new FrameReader<AnswerHead>(body);
    return outputsOf(reader.json, reader, model);
}
