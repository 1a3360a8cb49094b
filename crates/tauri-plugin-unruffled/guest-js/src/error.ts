/** What can go wrong, and how what Tauri rejects with becomes an error. */

/** The codes that the plugin is known to give: nine of the engine, three of the plugin. */
export type ErrorCode =
    | "invalid_input"
    | "not_found"
    | "not_ready"
    | "overloaded"
    | "deadline_exceeded"
    | "cancelled"
    | "model_failed"
    | "model_crashed"
    | "shutting_down"
    | "forbidden"
    | "duplicate"
    | "unsupported";

/** An error as it comes over the bridge. */
export interface ErrorBody {
    readonly code: string;
    readonly message: string;
    readonly model?: string;
    readonly retry_after_ms?: number;
}

const RETRYABLE = new Set<string>(["overloaded", "not_ready", "model_crashed", "deadline_exceeded"]);

/** Why there is no answer. An abort is none of these: it rejects with the `reason` of its signal. */
export class UnruffledError extends Error {
    /** What kind of error it is. A newer plugin may have kinds that are not listed here. */
    readonly code: ErrorCode | (string & {});
    /** The model that was asked, where there is one. */
    readonly model: string | undefined;
    /** After how many milliseconds it makes sense to ask again, where the engine says so. */
    readonly retryAfterMs: number | undefined;

    /** Makes an error; `options` say which model it is about and what caused it. */
    constructor(
        code: ErrorCode | (string & {}),
        message: string,
        options: {
            readonly model?: string | undefined;
            readonly retryAfterMs?: number | undefined;
            readonly cause?: unknown;
        } = {},
    ) {
        super(message, options.cause === undefined ? undefined : { cause: options.cause });
        this.name = "UnruffledError";
        this.code = code;
        this.model = options.model;
        this.retryAfterMs = options.retryAfterMs;
    }

    /** Whether the same request may well be answered later. */
    get retryable(): boolean {
        return RETRYABLE.has(this.code);
    }
}

/** The error that an error of the bridge stands for. */
export function errorOf(body: ErrorBody): UnruffledError {
    return new UnruffledError(body.code, body.message, {
        model: body.model,
        retryAfterMs: body.retry_after_ms,
    });
}

/** The error that stands for whatever a command has rejected with. */
export function toError(reason: unknown): UnruffledError {
    if (reason instanceof UnruffledError) return reason;
    if (isBody(reason)) return errorOf(reason);
    if (typeof reason === "string") return new UnruffledError(codeOfTauri(reason), reason);
    const message =
        reason instanceof Error
            ? `cannot reach the plugin, is this page shown by Tauri? ${reason.message}`
            : "the plugin rejected with something that is no error";
    return new UnruffledError("unsupported", message, { cause: reason });
}

function isBody(reason: unknown): reason is ErrorBody {
    if (typeof reason !== "object" || reason === null) return false;
    const { code, message } = reason as Partial<ErrorBody>;
    return typeof code === "string" && typeof message === "string";
}

/**
 * Tauri itself rejects with sentences: from its access list, when a command is missing, when arguments do not
 * fit.
 */
function codeOfTauri(sentence: string): ErrorCode {
    return sentence.includes("not allowed") ? "forbidden" : "unsupported";
}
