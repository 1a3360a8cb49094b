/** Which shape of a signature a value has. */

import { elementCount } from "./tensor.js";
import type { Dim } from "./status.js";

/** A shape, or why there is not exactly one. */
export type Solution = number[] | "none" | "several";

const isFree = (dim: Dim): boolean => typeof dim === "string" || dim < 0;

function matches(shape: readonly number[], dims: readonly Dim[]): boolean {
    return shape.length === dims.length && dims.every((dim, i) => isFree(dim) || dim === shape[i]);
}

/** The shape of a value that has one of its own: that, or one row of it if it is one dimension short. */
export function ownShape(shape: readonly number[], dims: readonly Dim[]): Solution {
    for (const candidate of [[...shape], [1, ...shape]]) {
        if (matches(candidate, dims)) return candidate;
    }
    return "none";
}

/** The shape of `count` elements in a row, which fill whatever dimensions there are. */
export function flatShape(count: number, dims: readonly Dim[]): Solution {
    const fixed = elementCount(dims.map((dim) => (isFree(dim) ? 1 : Number(dim))));
    const free = dims.filter(isFree).length;
    if (free === 0) return fixed === count ? dims.map(Number) : "none";
    if (fixed === 0) return count === 0 ? "several" : "none";
    if (count % fixed !== 0) return "none";

    const rest = count / fixed;
    const filled = (sizes: number[]) => dims.map((dim) => (isFree(dim) ? sizes.shift()! : Number(dim)));
    if (free === 1) return filled([rest]);
    if (rest === 1) return filled(new Array<number>(free).fill(1));
    // Of two free dimensions the outermost counts rows, and this is one of them.
    if (free === 2 && isFree(dims[0]!)) return filled([1, rest]);
    return "several";
}

/** A shape as people write it: `[batch, 8, 8]`. */
export function shapeText(dims: readonly Dim[]): string {
    return `[${dims.map((dim) => (typeof dim === "number" && dim < 0 ? "?" : dim)).join(", ")}]`;
}
