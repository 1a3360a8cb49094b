/** Commands of the plugin: who asks, what was aborted, and how Rust hears of it. */

import { invoke } from "@tauri-apps/api/core";

import { listen } from "./channel.js";
import { toError } from "./error.js";

/** What a command is given: a frame, or JSON. */
export type Argument = Uint8Array | Record<string, unknown>;

/**
 * This page, as it was loaded this time. A call's number together with it names a request, so that one which
 * Tauri sends a second time, as it does when a page is reloaded, is known again.
 */
export const page: string = Array.from(crypto.getRandomValues(new Uint8Array(8)), (byte) =>
    byte.toString(16).padStart(2, "0"),
).join("");

let calls = 0;

/** The number of the next call. */
export function newCall(): number {
    calls += 1;
    return calls;
}

/** Invokes a command. Rejects with an `UnruffledError`. */
export async function ask<T>(command: string, argument: Argument): Promise<T> {
    try {
        return await invoke<T>(`plugin:unruffled|${command}`, argument);
    } catch (reason) {
        throw toError(reason);
    }
}

/**
 * Invokes a command that bears the number `call`. When `signal` is aborted, this rejects at once with its
 * reason, and then tells Rust; nothing is sent if it is aborted already.
 */
export function request<T>(
    command: string,
    call: number,
    argument: Argument,
    signal: AbortSignal | undefined,
): Promise<T> {
    return abortable(call, signal, () => ask<T>(command, argument));
}

/**
 * As `request`, with a channel among the arguments whose messages go to `onMessage` until the command is
 * over.
 */
export function requestWithChannel<T, Message>(
    command: string,
    call: number,
    argument: Record<string, unknown>,
    onMessage: (message: Message) => void,
    signal: AbortSignal | undefined,
): Promise<T> {
    return abortable(call, signal, async () => {
        const listener = listen((message: Message) => {
            if (!signal?.aborted) onMessage(message);
        });
        try {
            const answer = await ask<T>(command, { ...argument, channel: listener.channel });
            listener.mute();
            return answer;
        } catch (error) {
            // It may have been refused before Rust had the channel.
            listener.release();
            throw error;
        }
    });
}

function abortable<T>(call: number, signal: AbortSignal | undefined, start: () => Promise<T>): Promise<T> {
    return new Promise<T>((resolve, reject) => {
        if (signal?.aborted) {
            reject(signal.reason as unknown);
            return;
        }
        const abort = () => {
            reject(signal?.reason as unknown);
            cancel(call);
        };
        signal?.addEventListener("abort", abort, { once: true });
        void start()
            .then(resolve, reject)
            .finally(() => signal?.removeEventListener("abort", abort));
    });
}

let cancelled: number[] = [];

/**
 * Tells Rust that nobody waits for a call any more. Those of one turn go together; nobody is told if it
 * fails.
 */
export function cancel(call: number): void {
    cancelled.push(call);
    if (cancelled.length > 1) return;
    queueMicrotask(() => {
        const calls = cancelled;
        cancelled = [];
        ask("cancel", { page, calls }).catch(() => {});
    });
}
