// Outputs that a result may or may not have.

import type { DataOf, Datatype, Outputs, Tensor } from "tauri-plugin-unruffled-api";

/** The elements of an output, if it is there. */
export function elements<D extends Datatype>(outputs: Outputs | undefined, name: string, datatype: D): DataOf[D] | undefined {
  return outputs?.has(name) ? (outputs.get(name, datatype) as Tensor<D>).data as DataOf[D] : undefined;
}

/** `progress` of a pipeline: how many are done, and of how many, as far as that is known. */
export function progress(outputs: Outputs): { done: number; all: number | undefined } | undefined {
  const values = elements(outputs, "progress", "INT64");
  if (!values || values.length < 2) return undefined;
  const all = Number(values.at(-1));
  return { done: Number(values[0]), all: all > 0 ? all : undefined };
}
