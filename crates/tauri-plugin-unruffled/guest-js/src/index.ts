/**
 * Asks models from a page without blocking the window: one request, a batch, a stream, a session, a job.
 *
 * @packageDocumentation
 */

export { type Degraded, type Outputs, type Timings } from "./answer.js";
export { type BatchOptions, type Settled } from "./batch.js";
export { type ErrorCode, UnruffledError } from "./error.js";
export { type Element, type ElementRows, type InputValue, type Inputs } from "./fit.js";
export { type Job, type JobOptions, type JobStatus, type WaitOptions, jobs } from "./job.js";
export { type Lateness, type Metrics, type ModelMetrics, type Percentiles, metrics } from "./metrics.js";
export { type LoadOptions, type LoadProgress, type Model, load, models } from "./model.js";
export { type Session } from "./session.js";
export { type Items } from "./source.js";
export { type Dim, type FileRule, type ModelStatus, type TensorSpec } from "./status.js";
export { type StreamOptions, type StreamResult } from "./stream.js";
export {
    type ByteStrings,
    type DataOf,
    type Datatype,
    type FixedDatatype,
    type Tensor,
    type TensorInput,
    type TypedArray,
} from "./tensor.js";
export { type InferOptions, type Terms } from "./terms.js";
