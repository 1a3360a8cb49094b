/** One request, one answer. */

import { type Outputs, readOutputs } from "./answer.js";
import { newCall, page, request } from "./call.js";
import { type Inputs, fit } from "./fit.js";
import { type Body, FrameWriter } from "./frame.js";
import type { ModelStatus } from "./status.js";
import { type InferOptions, said, sent } from "./terms.js";

/** Asks a model, or a session of it. The inputs are copied before this returns. */
export async function infer(
    model: ModelStatus,
    inputs: Inputs,
    options: InferOptions,
    session?: string,
): Promise<Outputs> {
    const body = await sendInputs<Body>("infer", model, inputs, options, { session });
    return readOutputs(body, model.name);
}

/** Sends a command whose frame has the inputs of one request; `more` are further fields of its JSON. */
export async function sendInputs<T>(
    command: string,
    model: ModelStatus,
    inputs: Inputs,
    options: InferOptions,
    more: Record<string, unknown>,
): Promise<T> {
    options.signal?.throwIfAborted();
    const writer = new FrameWriter();
    const heads = writer.add(fit(inputs, model));
    const call = newCall();
    const json = { page, call, model: model.name, ...sent(options), ...said(more), inputs: heads };
    return request<T>(command, call, writer.finish(json), options.signal);
}
