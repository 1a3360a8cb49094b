import assert from "node:assert/strict";
import { test } from "node:test";

import { FrameReader, FrameWriter, type TensorHead } from "../src/frame.js";
import { DATATYPES, ByteStrings, type Datatype, type TensorInput, isTypedArray } from "../src/tensor.js";
import { frame } from "./rust.js";

const bytesOf = (text: string) => new TextEncoder().encode(text);

/** One tensor of each datatype, of an odd number of elements so that padding matters. */
const SAMPLES: Record<Datatype, TensorInput> = {
    BOOL: { datatype: "BOOL", shape: [3], data: Uint8Array.of(1, 0, 1) },
    UINT8: { datatype: "UINT8", shape: [1, 3], data: Uint8Array.of(0, 7, 255) },
    UINT16: { datatype: "UINT16", shape: [3, 1], data: Uint16Array.of(0, 7, 65535) },
    UINT32: { datatype: "UINT32", shape: [3], data: Uint32Array.of(0, 7, 4294967295) },
    UINT64: { datatype: "UINT64", shape: [2], data: BigUint64Array.of(0n, 18446744073709551615n) },
    INT8: { datatype: "INT8", shape: [3], data: Int8Array.of(-128, 0, 127) },
    INT16: { datatype: "INT16", shape: [3], data: Int16Array.of(-32768, 0, 32767) },
    INT32: { datatype: "INT32", shape: [3], data: Int32Array.of(-2147483648, 0, 2147483647) },
    INT64: { datatype: "INT64", shape: [1], data: BigInt64Array.of(-9223372036854775808n) },
    FP16: { datatype: "FP16", shape: [3], data: Uint16Array.of(0x3c00, 0x8000, 0x7c00) },
    BF16: { datatype: "BF16", shape: [3], data: Uint16Array.of(0x3f80, 0x8000, 0x7f80) },
    FP32: { datatype: "FP32", shape: [], data: Float32Array.of(NaN) },
    FP64: { datatype: "FP64", shape: [3], data: Float64Array.of(1.5, -0, Infinity) },
    BYTES: { datatype: "BYTES", shape: [3], data: [bytesOf("a boat"), bytesOf(""), Uint8Array.of(255)] },
};

interface Json {
    readonly tensors: TensorHead[];
}

function roundTrip(tensors: Record<string, TensorInput>) {
    const buffer = frame((add) => ({ tensors: add(tensors), text: "ä" }));
    const reader = new FrameReader<Json & { text: string }>(buffer);
    return { buffer, json: reader.json, read: reader.take(reader.json.tensors) };
}

test("the layout is that of the contract", () => {
    const writer = new FrameWriter();
    const t = writer.add([
        { name: "a", tensor: { datatype: "UINT8", shape: [3], data: Uint8Array.of(1, 2, 3) } },
        { name: "b", tensor: { datatype: "INT16", shape: [1], data: Int16Array.of(-2) } },
        { name: "c", tensor: { datatype: "BYTES", shape: [2], data: [bytesOf("hi"), bytesOf("")] } },
    ]);
    const json = JSON.stringify({ é: 1, t });
    const made = writer.finish({ é: 1, t });

    const length = new TextEncoder().encode(json).length;
    const begin = Math.ceil((4 + length) / 8) * 8;
    const expected = [
        ...new Uint8Array(Uint32Array.of(begin - 4).buffer),
        ...bytesOf(json + " ".repeat(begin - 4 - length)),
        ...[1, 2, 3, 0, 0, 0, 0, 0],
        ...[254, 255, 0, 0, 0, 0, 0, 0],
        ...[2, 0, 0, 0, 104, 105, 0, 0, 0, 0],
    ];
    assert.deepEqual([...made], expected);
    assert.deepEqual(t, [
        { name: "a", datatype: "UINT8", shape: [3], bytes: 3 },
        { name: "b", datatype: "INT16", shape: [1], bytes: 2 },
        { name: "c", datatype: "BYTES", shape: [2], bytes: 10 },
    ]);
});

test("every datatype crosses as it is", () => {
    assert.deepEqual(Object.keys(SAMPLES).sort(), [...DATATYPES].sort());
    const { read, json } = roundTrip(SAMPLES);
    assert.equal(json.text, "ä");
    for (const [name, sent] of Object.entries(SAMPLES)) {
        const came = read.get(name)!;
        assert.equal(came.datatype, sent.datatype);
        assert.deepEqual(came.shape, sent.shape);
        assert.deepEqual([...came.data], [...sent.data], name);
        if (isTypedArray(sent.data)) assert.equal(came.data.constructor, sent.data.constructor, name);
    }
});

test("what comes is a view of the memory that came", () => {
    const { buffer, read } = roundTrip(SAMPLES);
    for (const [name, { data }] of read) {
        for (const view of isTypedArray(data) ? [data] : data) assert.equal(view.buffer, buffer, name);
    }
    const { data } = read.get("FP64")!;
    assert.equal((data as Float64Array).byteOffset % 8, 0);
});

test("byte strings are texts if one wants them to be", () => {
    const data = roundTrip({
        x: { datatype: "BYTES", shape: [3], data: [bytesOf("ä"), bytesOf("\ufeffb"), Uint8Array.of(255)] },
    }).read.get("x")!.data as ByteStrings;
    assert.deepEqual(data.strings(), ["ä", "\ufeffb", "\ufffd"]);
    assert.equal(Array.isArray(data), true);
    assert.equal(data.map((element) => element.length) instanceof ByteStrings, false);
});

test("only the part that an array shows is sent", () => {
    const data = Float32Array.of(1, 2, 3, 4).subarray(1, 3);
    const { read } = roundTrip({ x: { datatype: "FP32", shape: [2], data } });
    assert.deepEqual(read.get("x")!.data, Float32Array.of(2, 3));
});

test("tensors may be empty", () => {
    const { read } = roundTrip({
        a: { datatype: "FP64", shape: [0, 4], data: new Float64Array(0) },
        b: { datatype: "BYTES", shape: [0], data: [] },
        c: { datatype: "UINT8", shape: [1], data: Uint8Array.of(9) },
        d: { datatype: "INT64", shape: [2, 0], data: new BigInt64Array(0) },
    });
    assert.deepEqual(
        [...read.values()].map(({ shape, data }) => [shape, data.length]),
        [
            [[0, 4], 0],
            [[0], 0],
            [[1], 1],
            [[2, 0], 0],
        ],
    );
    // The last one needs no padding before it.
    const head = { name: "d", datatype: "FP32", shape: [0], bytes: 0 };
    const short = new FrameWriter();
    const first = short.add([
        { name: "c", tensor: { datatype: "UINT8", shape: [1], data: Uint8Array.of(9) } },
    ]);
    const reader = new FrameReader<Json>(short.finish({ tensors: [...first, head] }).buffer as ArrayBuffer);
    assert.equal(reader.take(reader.json.tensors).get("d")!.data.length, 0);
});

test("a frame without tensors has JSON alone", () => {
    const made = new FrameWriter().finish({ a: 1 });
    assert.equal(made.length % 8, 0);
    assert.deepEqual(new FrameReader(made.buffer as ArrayBuffer).json, { a: 1 });
});

test("what is no frame is refused", () => {
    const refused = (act: () => unknown, what: RegExp) =>
        assert.throws(act, (error: any) => {
            assert.equal(error.code, "unsupported");
            assert.match(error.message, what);
            return true;
        });
    const open = (...bytes: number[]) => new FrameReader(Uint8Array.from(bytes).buffer);
    refused(() => open(), /0 bytes/);
    refused(() => open(1, 0, 0), /3 bytes/);
    refused(() => open(255, 255, 255, 255, 123), /4294967299 of 5/);
    refused(() => open(2, 0, 0, 0, 123, 123), /JSON cannot be read/);
    refused(() => new FrameReader("{}" as never), /neither memory nor numbers/);
    refused(() => new FrameReader(null as never), /neither memory nor numbers/);

    const lies = (head: Partial<TensorHead>, data: Uint8Array = new Uint8Array(8)) => {
        const tensor: TensorInput = { datatype: "UINT8", shape: [data.length], data };
        const buffer = frame((add) => ({ tensors: [{ ...add({ x: tensor })[0], ...head }] }));
        const reader = new FrameReader<Json>(buffer);
        return reader.take(reader.json.tensors);
    };
    refused(() => lies({ datatype: "FP8" }), /datatype FP8/);
    refused(() => lies({ bytes: 16 }), /would end at/);
    refused(() => lies({ datatype: "FP32", shape: [3] }), /8 bytes for 3 elements of FP32/);
    refused(() => lies({ datatype: "BYTES", shape: [1] }), /2 elements, not 1/);
    refused(() => lies({ datatype: "BYTES", shape: [1] }, Uint8Array.of(9, 0, 0, 0, 1)), /ends behind it/);
    refused(() => lies({ datatype: "BYTES", shape: [1] }, Uint8Array.of(9, 0)), /ends behind it/);
});
