/**
 * Streams: items go to Rust no faster than it takes them, results come no faster than they are taken here.
 */

import { type AnswerHead, type Degraded, type Outputs, type Timings, outputsOf } from "./answer.js";
import { type Argument, ask, cancel, newCall, page } from "./call.js";
import { type Listener, listen } from "./channel.js";
import { Chunks, type Item } from "./chunks.js";
import { type ErrorBody, UnruffledError, errorOf } from "./error.js";
import { type Inputs, fit } from "./fit.js";
import { type Body, FrameReader, FrameWriter } from "./frame.js";
import { Mailbox } from "./mailbox.js";
import { type Items, Source } from "./source.js";
import type { ModelStatus } from "./status.js";
import { type Terms, said, sent } from "./terms.js";

/** Terms of a stream; the timeout is that of each item. */
export interface StreamOptions extends Terms {
    /** How many items are with the model at a time; the plugin's choice unless set. */
    readonly inFlight?: number | undefined;
    /** How many results may wait here for being taken; 64 unless set, 4096 at most. */
    readonly credit?: number | undefined;
}

/** One result of one item. */
export interface StreamResult {
    /** Which item of the source it belongs to, counted from 0. */
    readonly item: number;
    /** Whether it is the last one of its item. */
    readonly last: boolean;
    /**
     * What the model gave. Absent with an error, and where there is no more to say than that the item is
     * done.
     */
    readonly outputs: Outputs | undefined;
    /** What went wrong with this item. The stream goes on. */
    readonly error: UnruffledError | undefined;
    /** Where the time of the item went; known with its last result. */
    readonly timings: Timings | undefined;
    /**
     * Set if another model gave the item's results than the one that was asked; known with its last result.
     */
    readonly degraded: Degraded | undefined;
}

const CREDIT = 64;
const CREDIT_MAX = 4096;

interface ResultHead extends AnswerHead {
    readonly item: number;
    readonly last: boolean;
    readonly error?: ErrorBody;
}

/** A message of a stream. */
interface Message {
    readonly results?: readonly ResultHead[];
    readonly end?: { readonly error?: ErrorBody };
}

/** Puts the items of a source through a model, once somebody takes results. */
export function stream(
    model: ModelStatus,
    items: Items<Inputs>,
    options: StreamOptions,
): AsyncIterableIterator<StreamResult, undefined> {
    return new Stream(model, items, options).results;
}

/** Gives all that a model gives for one request, as it comes. An error is thrown. */
export function outputs(
    model: ModelStatus,
    inputs: Inputs,
    options: StreamOptions,
): AsyncIterableIterator<Outputs, undefined> {
    const results = stream(model, [inputs], options);
    const next = async (): Promise<IteratorResult<Outputs, undefined>> => {
        for (;;) {
            const result = await results.next();
            if (result.done) return result;
            if (result.value.outputs) return { done: false, value: result.value.outputs };
            if (!result.value.error) continue;
            await results.return?.();
            throw result.value.error;
        }
    };
    const stop = async (): Promise<IteratorResult<Outputs, undefined>> => {
        await results.return?.();
        return { done: true, value: undefined };
    };
    return {
        next,
        return: stop,
        [Symbol.asyncIterator]() {
            return this;
        },
    };
}

/** One stream. It is open from when somebody takes the first result until it ends, whichever side ends it. */
class Stream {
    readonly results: Mailbox<StreamResult>;
    readonly #model: ModelStatus;
    readonly #items: Items<Inputs>;
    readonly #options: StreamOptions;
    readonly #credit: number;
    /** Counted when it begins: Rust takes a number that comes long after its successors for an old one. */
    #call = 0;
    #isOpen = false;
    #listener: Listener<Body> | undefined;
    #source: Source<Inputs> | undefined;
    /** How many items were made into tensors. */
    #count = 0;
    /**
     * Items that do not fit, and why: they are sent without inputs, so that Rust keeps their place in the
     * order.
     */
    readonly #refused = new Map<number, UnruffledError>();
    /** How many results were taken that Rust does not know of. */
    #taken = 0;

    constructor(model: ModelStatus, items: Items<Inputs>, options: StreamOptions) {
        this.#model = model;
        this.#items = items;
        this.#options = options;
        // Rust gives no more, and would wait for half of it in vain if this counted with more.
        this.#credit = Math.min(Math.max(1, Math.floor(options.credit ?? CREDIT)), CREDIT_MAX);
        this.results = new Mailbox<StreamResult>({
            start: () => this.#start(),
            taken: () => this.#take(),
            stop: () => this.#cancel(),
        });
    }

    #start(): void {
        const { signal } = this.#options;
        if (signal?.aborted) {
            this.results.abort(signal.reason);
            return;
        }
        this.#isOpen = true;
        this.#call = newCall();
        signal?.addEventListener("abort", this.#abort, { once: true });
        void this.#run();
    }

    async #run(): Promise<void> {
        try {
            await this.#open();
            if (this.#isOpen) await this.#feed();
        } catch (error) {
            this.#fail(error);
        }
    }

    async #open(): Promise<void> {
        const listener = listen<Body>((body) => this.#receive(body));
        this.#listener = listener;
        const { inFlight } = this.#options;
        try {
            await ask("stream", {
                page,
                call: this.#call,
                do: "open",
                model: this.#model.name,
                ...sent(this.#options),
                ...said({ in_flight: inFlight }),
                credit: this.#credit,
                channel: listener.channel,
            });
        } catch (error) {
            listener.release();
            throw error;
        }
    }

    /** Sends the items, one push at a time: the next chunk is asked for when Rust has taken the last. */
    async #feed(): Promise<void> {
        this.#source = new Source(this.#items);
        const chunks = new Chunks(
            this.#source,
            (inputs) => this.#fit(inputs),
            this.#options.inFlight ?? Infinity,
        );
        for (;;) {
            const chunk = await chunks.next();
            if (!this.#isOpen) return;
            if (!chunk) break;
            if (!(await this.#tell(this.#push(chunk)))) return;
        }
        await this.#tell({ page, call: this.#call, do: "end" });
    }

    /** Tells Rust something; gives whether the stream goes on. If it is over there, the channel says why. */
    async #tell(argument: Argument): Promise<boolean> {
        try {
            await ask("stream", argument);
            return this.#isOpen;
        } catch (error) {
            if (error instanceof UnruffledError && error.code === "cancelled") return false;
            throw error;
        }
    }

    #push(chunk: readonly Item[]): Uint8Array {
        const writer = new FrameWriter();
        const items = chunk.map((item) => ({ inputs: writer.add(item) }));
        return writer.finish({ page, call: this.#call, do: "push", items });
    }

    #fit(inputs: Inputs): Item {
        const item = this.#count;
        this.#count += 1;
        try {
            return fit(inputs, this.#model);
        } catch (error) {
            if (!(error instanceof UnruffledError)) throw error;
            this.#refused.set(item, error);
            return [];
        }
    }

    #receive(body: Body): void {
        if (!this.#isOpen) return;
        try {
            const reader = new FrameReader<Message>(body);
            const { results = [], end } = reader.json;
            for (const head of results) this.#deliver(head, reader);
            if (!end) return;
            this.#close();
            if (end.error) this.results.fail(errorOf(end.error));
            else this.results.end();
        } catch (error) {
            this.#fail(error);
        }
    }

    #deliver(head: ResultHead, reader: FrameReader<Message>): void {
        const { item, last, timings, degraded } = head;
        const hasOutputs = (head.outputs ?? []).length > 0;
        const outputs = hasOutputs ? outputsOf(head, reader, this.#model.name) : undefined;
        const error = head.error && errorOf(head.error);
        const refusal = this.#refused.get(item);
        if (!refusal) {
            this.results.put({ item, last, outputs, error, timings, degraded });
            return;
        }
        // Whatever a model makes of no inputs, this is what has become of the item.
        if (!last) {
            this.#take();
            return;
        }
        this.#refused.delete(item);
        this.results.put({ item, last, outputs: undefined, error: refusal, timings, degraded });
    }

    /** Gives credit back, for half of it at a time: Rust has the other half to go on with meanwhile. */
    #take(): void {
        if (!this.#isOpen) return;
        this.#taken += 1;
        if (this.#taken < this.#credit / 2) return;
        const count = this.#taken;
        this.#taken = 0;
        this.#tell({ page, call: this.#call, do: "taken", count }).catch((error: unknown) =>
            this.#fail(error),
        );
    }

    readonly #abort = (): void => {
        if (!this.#isOpen) return;
        // Whoever waits hears it before Rust does.
        this.results.abort(this.#options.signal?.reason);
        this.#cancel();
    };

    #fail(error: unknown): void {
        if (!this.#isOpen) return;
        this.results.fail(error);
        this.#cancel();
    }

    #cancel(): void {
        if (!this.#isOpen) return;
        this.#close();
        cancel(this.#call);
    }

    /** From here on, whatever comes is too late. */
    #close(): void {
        this.#isOpen = false;
        this.#options.signal?.removeEventListener("abort", this.#abort);
        this.#listener?.mute();
        this.#source?.close();
    }
}
