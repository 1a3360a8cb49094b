/** The Rust side as tests play it: every command waits here until the test answers it. */

import assert from "node:assert/strict";

import { clearMocks, mockIPC } from "@tauri-apps/api/mocks";

import { FrameReader, FrameWriter, type TensorHead } from "../src/frame.js";
import type { Model } from "../src/model.js";
import type { ModelStatus, TensorSpec } from "../src/status.js";
import type { Tensor, TensorInput } from "../src/tensor.js";

Object.assign(globalThis, { window: globalThis });

interface Internals {
    runCallback(id: number, message: unknown): void;
    readonly callbacks: ReadonlyMap<number, unknown>;
}

const internals = () => (globalThis as unknown as { __TAURI_INTERNALS__: Internals }).__TAURI_INTERNALS__;

/** A command that came. */
export class Call {
    readonly name: string;
    /** Its arguments, or the JSON of its frame. */
    readonly json: any;
    readonly frame: FrameReader<any> | undefined;
    readonly answer: Promise<unknown>;
    #resolve!: (value: unknown) => void;
    #reject!: (reason: unknown) => void;

    constructor(command: string, argument: unknown) {
        this.name = command.replace(/^plugin:unruffled\|/, "");
        assert.notEqual(this.name, command, "commands are those of the plugin");
        if (argument instanceof Uint8Array) {
            assert.equal(argument.byteLength, argument.buffer.byteLength, "nothing but the frame is sent");
            this.frame = new FrameReader(argument.buffer as ArrayBuffer);
            this.json = this.frame.json;
        } else {
            // As Tauri makes text of it: what is undefined is not there.
            const { channel, ...rest } = argument as Record<string, unknown>;
            this.json = { ...JSON.parse(JSON.stringify(rest)), ...(channel ? { channel } : {}) };
        }
        this.answer = new Promise((resolve, reject) => {
            this.#resolve = resolve;
            this.#reject = reject;
        });
    }

    /** What its frame has for these heads. */
    take(heads: TensorHead[]): Record<string, Tensor> {
        return Object.fromEntries(this.frame!.take(heads));
    }

    resolve(value: unknown = null): void {
        this.#resolve(value);
    }

    reject(reason: unknown): void {
        this.#reject(reason);
    }
}

/** All commands, in order, and who waits for one. */
export class Rust {
    readonly calls: Call[] = [];
    readonly #unseen: Call[] = [];
    #waiting: { readonly matches: (call: Call) => boolean; readonly resolve: (call: Call) => void }[] = [];

    constructor() {
        mockIPC((command, argument) => {
            const call = new Call(command, argument);
            this.calls.push(call);
            const waiting = this.#waiting.find(({ matches }) => matches(call));
            if (waiting) {
                this.#waiting = this.#waiting.filter((other) => other !== waiting);
                waiting.resolve(call);
            } else {
                this.#unseen.push(call);
            }
            return call.answer;
        });
    }

    /**
     * The next command of this name that the test has not seen; of `stream` and `session` also what to do.
     */
    next(name: string, todo?: string): Promise<Call> {
        const matches = (call: Call) => call.name === name && (todo === undefined || call.json.do === todo);
        const at = this.#unseen.findIndex(matches);
        if (at >= 0) return Promise.resolve(this.#unseen.splice(at, 1)[0]!);
        return new Promise((resolve) => this.#waiting.push({ matches, resolve }));
    }

    /** How many commands of this name there were. */
    count(name: string, todo?: string): number {
        return this.calls.filter(
            (call) => call.name === name && (todo === undefined || call.json.do === todo),
        ).length;
    }

    /** Takes the mock away. */
    close(): void {
        clearMocks();
    }
}

/** Rust's end of a channel. */
export class Wire {
    readonly #id: number;
    #index = 0;

    constructor(call: Call) {
        this.#id = call.json.channel.id;
    }

    send(message: unknown): void {
        internals().runCallback(this.#id, { index: this.#index, message });
        this.#index += 1;
    }

    /** Drops the channel, of which Tauri tells the page. */
    drop(): void {
        internals().runCallback(this.#id, { index: this.#index, end: true });
    }

    get isReleased(): boolean {
        return !internals().callbacks.has(this.#id);
    }
}

/** A frame whose JSON is what `json` makes; it is handed a function that adds tensors. */
export function frame(
    json: (add: (tensors: Record<string, TensorInput>) => TensorHead[]) => object,
): ArrayBuffer {
    const writer = new FrameWriter();
    const add = (tensors: Record<string, TensorInput>) =>
        writer.add(Object.entries(tensors).map(([name, tensor]) => ({ name, tensor })));
    return writer.finish(json(add)).buffer as ArrayBuffer;
}

export const fp32 = (...data: number[]): TensorInput => ({
    datatype: "FP32",
    shape: [data.length],
    data: Float32Array.from(data),
});

/** An answer with one output `y`. */
export function answer(...y: number[]): ArrayBuffer {
    const timings = { queue_ms: 1, run_ms: 2, batch_requests: 1, batch_rows: 1 };
    return frame((add) => ({ outputs: add({ y: fp32(...y) }), model: "m", timings }));
}

export function status(inputs: TensorSpec[], more: Partial<ModelStatus> = {}): ModelStatus {
    return { name: "m", state: "ready", inputs, outputs: [], ...more };
}

/** A model with one input `x` of FP32 [n], unless said otherwise. */
export async function loaded(
    rust: Rust,
    load: (name: string) => Promise<Model>,
    told: ModelStatus = status([{ name: "x", datatype: "FP32", shape: ["n"] }]),
): Promise<Model> {
    const model = load("m");
    (await rust.next("load")).resolve(told);
    return model;
}

/** Lets everything run that needs no answer: for showing that something does not happen. */
export function idle(): Promise<void> {
    return new Promise((resolve) => setImmediate(() => setImmediate(resolve)));
}

/** What a promise rejects with. */
export async function rejection(promise: Promise<unknown>): Promise<any> {
    return promise.then(
        (value) => assert.fail(`it resolved with ${String(value)}`),
        (reason: unknown) => reason,
    );
}
