/** The items of a stream, several together where they are there at once. */

import type { Inputs } from "./fit.js";
import type { Source } from "./source.js";
import { type NamedTensor, byteCount } from "./tensor.js";

/** The most items of a chunk. */
export const CHUNK_ITEMS = 64;

/** The bytes of a chunk, unless its only item has more: a larger message would be felt in the window. */
export const CHUNK_BYTES = 400 * 1024;

/**
 * For how long items are gathered: one that takes its time to be made is not there at once, and the page has
 * to be drawn.
 */
const GATHERING_MS = 4;

/** The tensors of one item. */
export type Item = readonly NamedTensor[];

/** Makes chunks of what a source gives. It asks for nothing except while somebody waits for a chunk. */
export class Chunks {
    readonly #source: Source<Inputs>;
    readonly #fit: (inputs: Inputs) => Item;
    readonly #most: number;
    /** Did not go into the last chunk. */
    #held: Item | undefined;
    #over = false;

    /** Chunks of at most `most` items, each made into tensors as soon as it comes. */
    constructor(source: Source<Inputs>, fit: (inputs: Inputs) => Item, most: number) {
        this.#source = source;
        this.#fit = fit;
        this.#most = Math.max(1, Math.min(CHUNK_ITEMS, most));
    }

    /**
     * The next chunk; none at the end. Throws what the source throws; what came right before it is lost then.
     */
    async next(): Promise<readonly Item[] | undefined> {
        const first = this.#held ?? (await this.#first());
        this.#held = undefined;
        if (!first) return undefined;

        const chunk = [first];
        let bytes = itemBytes(first);
        const until = performance.now() + GATHERING_MS;
        while (chunk.length < this.#most && bytes < CHUNK_BYTES && performance.now() < until) {
            const item = await this.#more();
            if (!item) break;
            bytes += itemBytes(item);
            if (bytes > CHUNK_BYTES) {
                this.#held = item;
                break;
            }
            chunk.push(item);
        }
        return chunk;
    }

    async #first(): Promise<Item | undefined> {
        if (this.#over) return undefined;
        const pulled = await this.#source.next();
        if (!pulled.done) return this.#fit(pulled.value);
        this.#over = true;
        return undefined;
    }

    async #more(): Promise<Item | undefined> {
        const pulled = await this.#source.ready();
        if (pulled === "later") return undefined;
        if (!pulled.done) return this.#fit(pulled.value);
        this.#over = true;
        return undefined;
    }
}

function itemBytes(item: Item): number {
    return item.reduce((sum, { tensor }) => sum + byteCount(tensor), 0);
}
