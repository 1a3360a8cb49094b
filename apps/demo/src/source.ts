// A file from anywhere: chosen, dropped by path, or a sample.

import { readEnds, readFile, sample } from "./app.ts";

export interface Source {
  name: string;
  /** Its first and last `block` bytes. */
  ends(block: number): Promise<{ head: Uint8Array; tail: Uint8Array }>;
  whole(): Promise<Uint8Array<ArrayBuffer>>;
}

const endsOf = (all: Uint8Array, block: number) => ({ head: all.subarray(0, block), tail: all.subarray(Math.max(all.length - block, 0)) });

export const ofFile = (file: File): Source => ({
  name: file.name,
  async ends(block) {
    const [head, tail] = await Promise.all([file.slice(0, block).arrayBuffer(), file.slice(Math.max(file.size - block, 0)).arrayBuffer()]);
    return { head: new Uint8Array(head), tail: new Uint8Array(tail) };
  },
  whole: async () => new Uint8Array(await file.arrayBuffer()),
});

export const ofPath = (path: string): Source => ({
  name: path.replace(/[/\\]+$/, "").split(/[/\\]/).at(-1) || path,
  ends: (block) => readEnds(path, block),
  whole: () => readFile(path),
});

export const ofSample = (name: string): Source => ({
  name,
  ends: async (block) => endsOf(await sample(name), block),
  whole: () => sample(name),
});
