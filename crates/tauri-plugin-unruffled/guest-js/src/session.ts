// Programs whose own `lib` has no `Symbol.asyncDispose` see the declarations all the same.
/// <reference lib="esnext.disposable" preserve="true" />

/** Sessions: a model's state, kept by Rust from call to call. */

import type { Outputs } from "./answer.js";
import { ask, page } from "./call.js";
import type { Inputs } from "./fit.js";
import { infer } from "./infer.js";
import type { ModelStatus } from "./status.js";
import type { Terms } from "./terms.js";

/**
 * One conversation with a model that keeps a state. Its calls run in the order in which they are made. It is
 * this page's, and ends with it. Where `Symbol.asyncDispose` exists, `await using` ends it, too.
 */
export class Session {
    /** Its name in Rust. */
    readonly id: string;
    readonly #model: ModelStatus;
    #ending: Promise<void> | undefined;

    /** @internal */
    constructor(model: ModelStatus, id: string) {
        this.#model = model;
        this.id = id;
    }

    /**
     * The next call. What keeps the state is left out of the inputs. One that fails or is aborted has changed
     * nothing.
     *
     * Rejects like `Model.infer`, and with `not_found` if the session has ended or expired.
     */
    infer(inputs: Inputs, options: Terms = {}): Promise<Outputs> {
        return infer(this.#model, inputs, options, this.id);
    }

    /** Forgets the state. A second time does nothing. */
    end(): Promise<void> {
        this.#ending ??= ask("session", { page, do: "end", model: this.#model.name, session: this.id });
        return this.#ending;
    }
}

/** Declared apart from the class, because not every web view has the symbol. */
export interface Session {
    /** Ends it. */
    [Symbol.asyncDispose](): Promise<void>;
}

if ("asyncDispose" in Symbol) {
    Object.defineProperty(Session.prototype, Symbol.asyncDispose, {
        value(this: Session): Promise<void> {
            return this.end();
        },
    });
}

/** Begins a session. Rejects with `invalid_input` if the model keeps no state. */
export async function beginSession(model: ModelStatus): Promise<Session> {
    const argument = { page, do: "begin", model: model.name };
    const { session } = await ask<{ readonly session: string }>("session", argument);
    return new Session(model, session);
}
