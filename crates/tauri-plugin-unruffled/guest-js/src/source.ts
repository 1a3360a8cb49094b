/** Where the items of a stream come from, asked for one at a time. */

/** Items that come one by one, now or later. */
export type Items<T> = Iterable<T> | AsyncIterable<T>;

/**
 * After how many turns of the microtask queue an item counts as not being there yet. Generators that pass on
 * what other generators have at once take some turns each; none of them takes measurable time.
 */
const TURNS = 32;

/** One item or the end; or `later`, which only `ready` gives. */
export type Pulled<T> = IteratorResult<T, unknown> | "later";

/** Pulls from a source, and closes it. */
export class Source<T> {
    readonly #iterator: Iterator<T> | AsyncIterator<T>;
    readonly #isAsync: boolean;
    /** Asked for, and not there yet. */
    #pending: Promise<IteratorResult<T>> | undefined;
    #over = false;

    /** Asks for nothing yet. Throws a `TypeError` if this cannot be iterated over. */
    constructor(items: Items<T>) {
        this.#isAsync = Symbol.asyncIterator in Object(items);
        this.#iterator = this.#isAsync
            ? (items as AsyncIterable<T>)[Symbol.asyncIterator]()
            : (items as Iterable<T>)[Symbol.iterator]();
    }

    /** The next item, whenever it comes. Throws what the source throws. */
    async next(): Promise<IteratorResult<T>> {
        const pending = this.#pending ?? this.#pull();
        this.#pending = undefined;
        return pending;
    }

    /** The next item if it is there at once. Throws what the source throws. */
    async ready(): Promise<Pulled<T>> {
        // What a plain iterator gives is there when it returns.
        if (!this.#isAsync) return this.next();
        this.#pending ??= this.#pull();
        const pulled = await Promise.race([this.#pending, turns(TURNS)]);
        if (pulled !== "later") this.#pending = undefined;
        return pulled;
    }

    /** Tells the source that nothing more is wanted, and does not wait for it: it may be waiting itself. */
    close(): void {
        if (this.#over) return;
        this.#over = true;
        const closed = async () => this.#iterator.return?.();
        closed().catch(() => {});
    }

    async #pull(): Promise<IteratorResult<T>> {
        try {
            const pulled = await this.#iterator.next();
            if (pulled.done) this.#over = true;
            return pulled;
        } catch (error) {
            // A source that has thrown has closed itself.
            this.#over = true;
            throw error;
        }
    }
}

async function turns(count: number): Promise<"later"> {
    for (let turn = 0; turn < count; turn += 1) await undefined;
    return "later";
}
