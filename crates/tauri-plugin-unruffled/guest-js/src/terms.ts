/** What a request says besides its inputs. */

/** How a request is to be treated. All of it may be left out. */
export interface Terms {
    /**
     * Gives the request up when aborted: it rejects at once with the signal's `reason`, and the model is told
     * to stop.
     */
    readonly signal?: AbortSignal | undefined;
    /** After how many milliseconds nobody waits for an answer any more: then it is `deadline_exceeded`. */
    readonly timeoutMs?: number | undefined;
    /** Who goes first when requests wait; normal unless set. */
    readonly priority?: "interactive" | "normal" | "bulk" | undefined;
}

/** Terms that a single request may have besides. */
export interface InferOptions extends Terms {
    /**
     * Of requests with the same key, in one window and to one model, only the newest is wanted: when it
     * comes, an older one rejects with `cancelled`.
     */
    readonly supersede?: string | undefined;
}

/** Terms as they are sent. What was not said is not there. */
export function sent(terms: InferOptions): Record<string, unknown> {
    return said({ timeout_ms: terms.timeoutMs, priority: terms.priority, supersede: terms.supersede });
}

/** The fields that are not `undefined`. */
export function said(fields: Record<string, unknown>): Record<string, unknown> {
    return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined));
}
