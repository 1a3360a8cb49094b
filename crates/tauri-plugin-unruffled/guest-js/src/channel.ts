/** Channels: what Rust says while a command is under way. */

import { Channel } from "@tauri-apps/api/core";

import { toError } from "./error.js";

/** One channel and its end. */
export interface Listener<Message> {
    /** Goes with the arguments of a command. */
    readonly channel: Channel<Message>;
    /**
     * Ignores all that comes from now on. The callback is released when Rust drops the channel, of which
     * Tauri tells it; releasing it before would make Tauri complain of every message that is still on its
     * way, that one included.
     */
    mute(): void;
    /**
     * Mutes, and releases the callback now: for commands that were refused, since Rust may have nothing to
     * drop.
     */
    release(): void;
}

/** Listens to a new channel. Throws `unsupported` outside Tauri. */
export function listen<Message>(onMessage: (message: Message) => void): Listener<Message> {
    const channel = open(onMessage);
    const mute = () => {
        channel.onmessage = () => {};
    };
    const release = () => {
        mute();
        internals().unregisterCallback(channel.id);
    };
    return { channel, mute, release };
}

function open<Message>(onMessage: (message: Message) => void): Channel<Message> {
    try {
        return new Channel<Message>(onMessage);
    } catch (reason) {
        throw toError(reason);
    }
}

interface Internals {
    unregisterCallback(id: number): void;
}

/** `Channel` has a method for it, which is private. */
function internals(): Internals {
    return (window as unknown as { readonly __TAURI_INTERNALS__: Internals }).__TAURI_INTERNALS__;
}
