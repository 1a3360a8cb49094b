// The app's own commands: samples, files by path, and what is there for contrast.

import { invoke } from "@tauri-apps/api/core";

import { splitEnds } from "./ends.ts";

/** Bytes, however they came: Tauri falls back to arrays of numbers where its fast way is blocked. */
const bytes = (raw: ArrayBuffer | number[]): Uint8Array<ArrayBuffer> => new Uint8Array(raw);

/** The files that show what magika does, by name. */
export const samples = () => invoke<string[]>("samples");

/** A sample, whole. */
export const sample = async (name: string) => bytes(await invoke<ArrayBuffer | number[]>("sample", { name }));

/** The first and last `count` bytes of a dropped file. */
export const readEnds = async (path: string, count: number) =>
  splitEnds(bytes(await invoke<ArrayBuffer | number[]>("read_ends", { path, bytes: count })));

/** A dropped file, whole. */
export const readFile = async (path: string) => bytes(await invoke<ArrayBuffer | number[]>("read_file", { path }));

/** Nothing, there and back. */
export const ping = () => invoke<null>("ping");

/** A command as it is usually written: it computes where the window is drawn. */
export const blockUsual = (ms: number) => invoke<unknown>("block_usual", { ms });

/** The same work in `spawn_blocking`. */
export const blockPool = (ms: number) => invoke<unknown>("block_pool", { ms });
