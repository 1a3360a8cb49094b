/** Many requests at once, each with an outcome of its own. */

import { type AnswerHead, type Outputs, outputsOf } from "./answer.js";
import { newCall, page, request } from "./call.js";
import { type ErrorBody, UnruffledError, errorOf } from "./error.js";
import { type Inputs, fit } from "./fit.js";
import { type Body, FrameReader, FrameWriter, type TensorHead } from "./frame.js";
import type { ModelStatus } from "./status.js";
import { type Terms, said, sent } from "./terms.js";

/** Terms of a batch; the timeout is that of each item. */
export interface BatchOptions extends Terms {
    /** How many items are with the model at a time; the plugin's choice unless set. */
    readonly inFlight?: number | undefined;
}

/** The outcome of one item. */
export type Settled =
    | { readonly status: "fulfilled"; readonly value: Outputs }
    | { readonly status: "rejected"; readonly reason: UnruffledError };

type ItemHead = AnswerHead | { readonly error: ErrorBody };

/** Asks a model for each item, and gives the outcomes in order. Items that do not fit are not sent. */
export async function inferBatch(
    model: ModelStatus,
    items: Iterable<Inputs>,
    options: BatchOptions,
): Promise<Settled[]> {
    options.signal?.throwIfAborted();
    const writer = new FrameWriter();
    const sending: { inputs: TensorHead[] }[] = [];
    const refused: (UnruffledError | undefined)[] = [];
    for (const inputs of items) {
        try {
            sending.push({ inputs: writer.add(fit(inputs, model)) });
            refused.push(undefined);
        } catch (error) {
            if (!(error instanceof UnruffledError)) throw error;
            refused.push(error);
        }
    }
    const came = sending.length > 0 ? await send(model, writer, sending, options) : [];
    const answers = came.values();
    return refused.map((error) => (error ? { status: "rejected", reason: error } : answers.next().value!));
}

async function send(
    model: ModelStatus,
    writer: FrameWriter,
    items: readonly { inputs: TensorHead[] }[],
    options: BatchOptions,
): Promise<Settled[]> {
    const call = newCall();
    const terms = { ...sent(options), ...said({ in_flight: options.inFlight }) };
    const frame = writer.finish({ page, call, model: model.name, ...terms, items });
    const body = await request<Body>("infer_batch", call, frame, options.signal);

    const reader = new FrameReader<{ readonly items: readonly ItemHead[] }>(body);
    const came = reader.json.items.map((head): Settled => {
        if ("error" in head) return { status: "rejected", reason: errorOf(head.error) };
        return { status: "fulfilled", value: outputsOf(head, reader, model.name) };
    });
    if (came.length !== items.length) {
        const message = `the plugin gave ${came.length} answers to ${items.length} items`;
        throw new UnruffledError("unsupported", message, { model: model.name });
    }
    return came;
}
