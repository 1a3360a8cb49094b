// Frames as Rust would make and read them, by the contract; for the stand-in only.

export interface Tensor {
  name: string;
  datatype: string;
  shape: number[];
  data: Uint8Array;
}

const pad = (length: number) => (8 - (length % 8)) % 8;

export function read(frame: Uint8Array): { json: any; take: (bytes: number) => Uint8Array } {
  const length = new DataView(frame.buffer, frame.byteOffset).getUint32(0, true);
  const json = JSON.parse(new TextDecoder().decode(frame.subarray(4, 4 + length)));
  let at = 4 + length;
  return { json, take: (bytes) => ((at += pad(at)), frame.slice(at, (at += bytes))) };
}

/** `json` refers to the tensors in the order in which they stand. */
export function write(json: unknown, tensors: Tensor[]): ArrayBuffer {
  let text = JSON.stringify(json);
  let encoded = new TextEncoder().encode(text);
  text += " ".repeat(pad(4 + encoded.length));
  encoded = new TextEncoder().encode(text);
  let size = 4 + encoded.length;
  const places = tensors.map(({ data }) => ((size += pad(size)), (size += data.length), size - data.length));
  const frame = new Uint8Array(size);
  new DataView(frame.buffer).setUint32(0, encoded.length, true);
  frame.set(encoded, 4);
  tensors.forEach(({ data }, at) => frame.set(data, places[at]!));
  return frame.buffer;
}

export const spec = ({ name, datatype, shape, data }: Tensor) => ({ name, datatype, shape, bytes: data.length });

export const numbers = (name: string, datatype: string, shape: number[], data: Float32Array | Float64Array | BigInt64Array): Tensor =>
  ({ name, datatype, shape, data: new Uint8Array(data.buffer, data.byteOffset, data.byteLength) });

export function texts(name: string, values: string[]): Tensor {
  const parts = values.map((value) => new TextEncoder().encode(value));
  const data = new Uint8Array(parts.reduce((sum, part) => sum + 4 + part.length, 0));
  let at = 0;
  for (const part of parts) {
    new DataView(data.buffer).setUint32(at, part.length, true);
    data.set(part, at + 4);
    at += 4 + part.length;
  }
  return { name, datatype: "BYTES", shape: [values.length], data };
}

/** The elements of BYTES. */
export function elements(data: Uint8Array): Uint8Array[] {
  const found: Uint8Array[] = [];
  for (let at = 0; at < data.length; ) {
    const length = new DataView(data.buffer, data.byteOffset + at).getUint32(0, true);
    found.push(data.subarray(at + 4, at + 4 + length));
    at += 4 + length;
  }
  return found;
}
