/**
 * Frames: JSON and tensors in one piece of memory, the same in both directions.
 *
 *     u32 little-endian: n | n bytes of JSON, padded with spaces so that 4 + n is a multiple of 8 | tensors
 *
 * Each tensor begins at the next multiple of 8, in the order in which the JSON mentions them.
 */

import { UnruffledError } from "./error.js";
import {
    ByteStrings,
    type NamedTensor,
    type Tensor,
    type TensorInput,
    byteCount,
    elementCount,
    isDatatype,
    layout,
} from "./tensor.js";

/** A tensor as the JSON part of a frame mentions it. */
export interface TensorHead {
    readonly name: string;
    readonly datatype: string;
    readonly shape: readonly number[];
    /** The length of its elements in the frame. */
    readonly bytes: number;
}

/** What comes over the bridge: memory, or numbers where Tauri had to fall back to JSON. */
export type Body = ArrayBuffer | readonly number[];

const ALIGNMENT = 8;

const aligned = (offset: number): number => Math.ceil(offset / ALIGNMENT) * ALIGNMENT;

/** Makes one frame: tell it of the tensors in the order in which the JSON mentions them. */
export class FrameWriter {
    readonly #tensors: { readonly tensor: TensorInput; readonly bytes: number }[] = [];

    /** Takes tensors in, and gives what the JSON says of them. Their elements are read by `finish`. */
    add(tensors: readonly NamedTensor[]): TensorHead[] {
        return tensors.map(({ name, tensor }) => {
            const bytes = byteCount(tensor);
            this.#tensors.push({ tensor, bytes });
            return { name, datatype: tensor.datatype, shape: tensor.shape, bytes };
        });
    }

    /** The frame. Each tensor is copied once, into its place. */
    finish(json: object): Uint8Array {
        const text = new TextEncoder().encode(JSON.stringify(json));
        const begin = aligned(4 + text.length);
        const length = this.#tensors.reduce((end, { bytes }) => aligned(end) + bytes, begin);

        const frame = new Uint8Array(length);
        new DataView(frame.buffer).setUint32(0, begin - 4, true);
        frame.set(text, 4);
        frame.fill(0x20, 4 + text.length, begin);
        let offset = begin;
        for (const { tensor, bytes } of this.#tensors) {
            offset = aligned(offset);
            write(tensor, frame, offset);
            offset += bytes;
        }
        return frame;
    }
}

function write(tensor: TensorInput, frame: Uint8Array, offset: number): void {
    if (tensor.datatype !== "BYTES") {
        const { buffer, byteOffset, byteLength } = tensor.data;
        frame.set(new Uint8Array(buffer, byteOffset, byteLength), offset);
        return;
    }
    const view = new DataView(frame.buffer);
    for (const element of tensor.data) {
        view.setUint32(offset, element.length, true);
        frame.set(element, offset + 4);
        offset += 4 + element.length;
    }
}

/** Reads one frame: ask for the tensors in the order in which the JSON mentions them. */
export class FrameReader<Json> {
    /** The JSON part, which is believed to be what the plugin promises. */
    readonly json: Json;
    readonly #buffer: ArrayBuffer;
    #offset: number;

    /** Throws `unsupported` if this is no frame. */
    constructor(body: Body) {
        this.#buffer = memory(body);
        const length = this.#buffer.byteLength;
        if (length < 4) malformed(`it has ${length} bytes`);
        const begin = 4 + new DataView(this.#buffer).getUint32(0, true);
        if (begin > length) malformed(`its JSON would end at ${begin} of ${length} bytes`);
        try {
            this.json = JSON.parse(
                new TextDecoder().decode(new Uint8Array(this.#buffer, 4, begin - 4)),
            ) as Json;
        } catch (error) {
            malformed("its JSON cannot be read", error);
        }
        this.#offset = begin;
    }

    /** The next tensors, as views of the frame's memory. Throws `unsupported` if they are not there. */
    take(heads: readonly TensorHead[]): Map<string, Tensor> {
        return new Map(heads.map((head) => [head.name, this.#next(head)]));
    }

    #next(head: TensorHead): Tensor {
        const { name, datatype, shape, bytes } = head;
        if (!isDatatype(datatype)) malformed(`tensor ${name} has the datatype ${datatype}`);
        const begin = aligned(this.#offset);
        const end = begin + bytes;
        // A tensor without elements may stand behind the last byte, where padding would not be worth sending.
        if (end > this.#buffer.byteLength && bytes > 0) {
            malformed(`tensor ${name} would end at ${end} of ${this.#buffer.byteLength} bytes`);
        }
        this.#offset = end;
        const count = elementCount(shape);
        if (datatype === "BYTES") {
            return { datatype, shape, data: this.#byteStrings(name, begin, end, count) };
        }
        const { width, array } = layout(datatype);
        if (bytes !== count * width)
            malformed(`tensor ${name} has ${bytes} bytes for ${count} elements of ${datatype}`);
        const data = count === 0 ? new array(0) : new array(this.#buffer, begin, count);
        return { datatype, shape, data } as Tensor;
    }

    #byteStrings(name: string, begin: number, end: number, count: number): ByteStrings {
        const view = new DataView(this.#buffer);
        const elements = new ByteStrings();
        for (let offset = begin; offset < end;) {
            const length = offset + 4 <= end ? view.getUint32(offset, true) : Infinity;
            if (offset + 4 + length > end) malformed(`an element of ${name} ends behind it`);
            elements.push(new Uint8Array(this.#buffer, offset + 4, length));
            offset += 4 + length;
        }
        if (elements.length !== count)
            malformed(`tensor ${name} has ${elements.length} elements, not ${count}`);
        return elements;
    }
}

let warned = false;

function memory(body: Body): ArrayBuffer {
    if (body instanceof ArrayBuffer) return body;
    if (!Array.isArray(body)) malformed("it is neither memory nor numbers");
    if (!warned) {
        warned = true;
        console.warn(
            "unruffled: tensors arrive as JSON, which is slow: Tauri could not use its own protocol. " +
                "Most often the page's Content-Security-Policy lacks `connect-src ipc: http://ipc.localhost`.",
        );
    }
    return Uint8Array.from(body as readonly number[]).buffer;
}

function malformed(what: string, cause?: unknown): never {
    const message = `the plugin sent a frame that cannot be read, is it of the same version? ${what}`;
    throw new UnruffledError("unsupported", message, { cause });
}
