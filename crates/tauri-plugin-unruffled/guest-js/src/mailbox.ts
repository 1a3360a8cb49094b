/** A queue between messages that come by themselves and somebody who takes one at a time. */

/** Who fills a mailbox. */
export interface Filler {
    /** Somebody has begun to take. */
    start(): void;
    /** One value was taken. */
    taken(): void;
    /** Nobody will take any more, though the end was not there yet. */
    stop(): void;
}

interface Taker<T> {
    resolve(result: IteratorResult<T, undefined>): void;
    reject(reason: unknown): void;
}

const DONE: IteratorReturnResult<undefined> = { done: true, value: undefined };

/**
 * Values in order, then an end or an error. Its filler bounds it: by credit, or by replacing what waits.
 *
 * No generator, because that would keep `return` waiting behind a `next` that may never come.
 */
export class Mailbox<T> implements AsyncIterableIterator<T, undefined> {
    readonly #filler: Filler;
    #state: "idle" | "open" | "ending" | "over" = "idle";
    #values: T[] = [];
    #takers: Taker<T>[] = [];
    #failure: { readonly error: unknown } | undefined;

    constructor(filler: Filler) {
        this.#filler = filler;
    }

    /** Adds a value. */
    put(value: T): void {
        if (this.#state !== "open") return;
        const taker = this.#takers.shift();
        if (!taker) {
            this.#values.push(value);
            return;
        }
        this.#filler.taken();
        taker.resolve({ done: false, value });
    }

    /** Puts a value in the place of all that wait. */
    replace(value: T): void {
        this.#values = [];
        this.put(value);
    }

    /** Nothing more comes. */
    end(): void {
        if (this.#state !== "open") return;
        this.#state = "ending";
        const takers = this.#takers;
        this.#takers = [];
        // Those who wait have taken everything; the first of them hears how it ended.
        for (const taker of takers) this.#settle(taker);
    }

    /** Nothing more comes but this error, behind all that waits. */
    fail(error: unknown): void {
        if (this.#state !== "open") return;
        this.#failure = { error };
        this.end();
    }

    /** Nothing more comes but this error, not even what waits. */
    abort(error: unknown): void {
        this.#values = [];
        this.fail(error);
    }

    next(): Promise<IteratorResult<T, undefined>> {
        if (this.#state === "idle") {
            this.#state = "open";
            this.#filler.start();
        }
        return new Promise((resolve, reject) => this.#settle({ resolve, reject }));
    }

    return(): Promise<IteratorResult<T, undefined>> {
        const stopped = this.#state === "open";
        this.#state = "over";
        this.#values = [];
        const takers = this.#takers;
        this.#takers = [];
        if (stopped) this.#filler.stop();
        for (const taker of takers) taker.resolve(DONE);
        return Promise.resolve(DONE);
    }

    async throw(error?: unknown): Promise<IteratorResult<T, undefined>> {
        await this.return();
        throw error;
    }

    [Symbol.asyncIterator](): this {
        return this;
    }

    #settle(taker: Taker<T>): void {
        if (this.#values.length > 0) {
            const value = this.#values.shift()!;
            if (this.#state === "open") this.#filler.taken();
            taker.resolve({ done: false, value });
        } else if (this.#state === "open") {
            this.#takers.push(taker);
        } else if (this.#state === "ending") {
            this.#state = "over";
            if (this.#failure) taker.reject(this.#failure.error);
            else taker.resolve(DONE);
        } else {
            taker.resolve(DONE);
        }
    }
}
