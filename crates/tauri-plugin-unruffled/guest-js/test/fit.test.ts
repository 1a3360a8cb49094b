import assert from "node:assert/strict";
import { test } from "node:test";

import { toElement } from "../src/element.js";
import { UnruffledError } from "../src/error.js";
import { fileNumbers } from "../src/file.js";
import { type InputValue, fit } from "../src/fit.js";
import { flatShape, ownShape } from "../src/shape.js";
import type { Dim, FileRule } from "../src/status.js";
import type { Datatype, TypedArray } from "../src/tensor.js";
import { status } from "./rust.js";

const one = (value: InputValue, datatype: string, shape: readonly Dim[] | null, more = {}) => {
    const fitted = fit({ x: value }, status([{ name: "x", datatype, shape }], more));
    assert.equal(fitted.length, 1);
    return fitted[0]!.tensor;
};

function fits(
    value: InputValue,
    datatype: Datatype,
    dims: readonly Dim[],
    shape: number[],
    data: unknown[],
): void {
    const tensor = one(value, datatype, dims);
    assert.equal(tensor.datatype, datatype);
    assert.deepEqual(tensor.shape, shape);
    assert.deepEqual([...tensor.data], data);
}

function refuses(value: InputValue, datatype: string, shape: readonly Dim[] | null, what: RegExp): void {
    assert.throws(
        () => one(value, datatype, shape),
        (error: any) => {
            assert.ok(error instanceof UnruffledError);
            assert.equal(error.code, "invalid_input");
            assert.equal(error.model, "m");
            assert.match(error.message, /^input `x`: got /);
            assert.match(error.message, what);
            return true;
        },
    );
}

const utf8 = (text: string) => new TextEncoder().encode(text);

test("a value has its own shape, or is a row of it", () => {
    const cases: [shape: number[], dims: Dim[], expected: number[] | "none"][] = [
        [
            [2, 3],
            ["n", 3],
            [2, 3],
        ],
        [[3], ["n", 3], [1, 3]],
        [[3], [1, 3], [1, 3]],
        [[3], [2, 3], "none"],
        [
            [2, 3],
            [-1, 3],
            [2, 3],
        ],
        [
            [2, 3],
            ["?", "?"],
            [2, 3],
        ],
        [[2, 3], ["n", 4], "none"],
        [[2, 3], ["n"], "none"],
        [[], ["n"], [1]],
        [[], [], []],
        [
            [0, 3],
            ["n", 3],
            [0, 3],
        ],
        [[3], ["a", "b", 3], "none"],
    ];
    for (const [shape, dims, expected] of cases) assert.deepEqual(ownShape(shape, dims), expected);
});

test("elements in a row take the one shape that fits", () => {
    const cases: [count: number, dims: Dim[], expected: number[] | "none" | "several"][] = [
        [64, [1, 8, 8], [1, 8, 8]],
        [63, [1, 8, 8], "none"],
        [64, ["n", 8, 8], [1, 8, 8]],
        [128, ["n", 8, 8], [2, 8, 8]],
        [100, ["n", 8, 8], "none"],
        [5, ["n"], [5]],
        [5, [1, "n"], [1, 5]],
        [5, ["batch", "n"], [1, 5]],
        [10, ["batch", "n", 5], [1, 2, 5]],
        [6, [1, "h", "w"], "several"],
        [6, ["n", "h", "w"], "several"],
        [1, ["n", "h", "w"], [1, 1, 1]],
        [3, ["n", "h", "w", 3], [1, 1, 1, 3]],
        [1, [], []],
        [2, [], "none"],
        [0, ["n"], [0]],
        [0, ["n", 3], [0, 3]],
        [0, ["n", 0], "several"],
        [1, ["n", 0], "none"],
        [0, [0, 2], [0, 2]],
    ];
    for (const [count, dims, expected] of cases)
        assert.deepEqual(flatShape(count, dims), expected, dims.join());
});

test("datatype and shape come from the signature", () => {
    fits(7, "FP32", [], [], [7]);
    fits(7, "FP32", ["n"], [1], [7]);
    fits(true, "BOOL", ["n", 1], [1, 1], [1]);
    fits(7n, "INT64", ["n"], [1], [7n]);
    fits([1, 2, 3], "INT64", ["n"], [3], [1n, 2n, 3n]);
    fits([1, 2, 3, 4], "UINT8", ["n", 2], [2, 2], [1, 2, 3, 4]);
    fits([[1, 2], [3, 4]], "FP64", ["n", 2], [2, 2], [1, 2, 3, 4]); // prettier-ignore
    fits([[1, 2], [3, 4]], "FP64", ["n", "h", 2], [1, 2, 2], [1, 2, 3, 4]); // prettier-ignore
    fits([Float32Array.of(1, 2), [3, 4]], "FP32", ["n", 2], [2, 2], [1, 2, 3, 4]);
    fits([], "FP32", ["n"], [0], []);
    fits([[], []], "FP32", ["n", "m"], [2, 0], []);
    fits([true, false], "BOOL", ["n"], [2], [1, 0]);
    fits([0, 1], "BOOL", ["n"], [2], [0, 1]);
    fits([1, -2, 0.5], "FP16", ["n"], [3], [0x3c00, 0xc000, 0x3800]);
    fits([1, -2, 0.5], "BF16", ["n"], [3], [0x3f80, 0xc000, 0x3f00]);
});

test("typed arrays are taken as they are", () => {
    const cases: [data: TypedArray, datatype: Datatype][] = [
        [Uint8Array.of(1), "UINT8"],
        [Uint8Array.of(1), "BOOL"],
        [Uint16Array.of(1), "UINT16"],
        [Uint16Array.of(1), "FP16"],
        [Uint16Array.of(1), "BF16"],
        [Uint32Array.of(1), "UINT32"],
        [BigUint64Array.of(1n), "UINT64"],
        [Int8Array.of(1), "INT8"],
        [Int16Array.of(1), "INT16"],
        [Int32Array.of(1), "INT32"],
        [BigInt64Array.of(1n), "INT64"],
        [Float32Array.of(1), "FP32"],
        [Float64Array.of(1), "FP64"],
    ];
    for (const [data, datatype] of cases) assert.equal(one(data, datatype, ["n"]).data, data, datatype);

    const clamped = Uint8ClampedArray.of(1, 2);
    const { data } = one(clamped.subarray(1), "UINT8", ["n"]);
    assert.deepEqual(data, Uint8Array.of(2));
    assert.equal((data as Uint8Array).buffer, clamped.buffer);
    assert.deepEqual(one(Buffer.of(1, 2), "UINT8", ["n"]).shape, [2]);
    assert.deepEqual(one(Uint8Array.of(1, 2).buffer, "UINT8", ["n"]).data, Uint8Array.of(1, 2));
});

test("texts and bytes are byte strings", () => {
    fits("ä", "BYTES", ["n"], [1], [utf8("ä")]);
    fits("a", "BYTES", [], [], [utf8("a")]);
    fits(["a", "bc"], "BYTES", ["n"], [2], [utf8("a"), utf8("bc")]);
    fits(["a", "bc"], "BYTES", ["n", 1], [2, 1], [utf8("a"), utf8("bc")]);
    fits([["a"], ["bc"]], "BYTES", ["n", 1], [2, 1], [utf8("a"), utf8("bc")]);
    fits(Uint8Array.of(1, 2, 3), "BYTES", ["n"], [1], [Uint8Array.of(1, 2, 3)]);
    fits(Uint8Array.of(1, 2, 3).buffer, "BYTES", ["n", 1], [1, 1], [Uint8Array.of(1, 2, 3)]);
    fits([Uint8Array.of(1), "b"], "BYTES", ["n"], [2], [Uint8Array.of(1), utf8("b")]);
});

test("a tensor says everything itself", () => {
    const data = Float32Array.of(1, 2, 3, 4);
    const tensor = one({ datatype: "FP32", shape: [2, 2], data }, "FP32", ["n", 2]);
    assert.equal(tensor.data, data);
    fits({ datatype: "FP32", shape: [2, 2], data }, "FP32", ["n", 2, 2], [1, 2, 2], [1, 2, 3, 4]);
    fits({ datatype: "BYTES", shape: [1], data: [utf8("a")] }, "BYTES", ["n"], [1], [utf8("a")]);
    // One that leaves nothing open is not filled into another shape.
    refuses(
        { datatype: "FP32", shape: [4], data },
        "FP32",
        ["n", 2],
        /got shape \[4\], expected FP32 \[n, 2\]/,
    );
    refuses({ datatype: "FP32", shape: [3], data }, "FP32", ["n"], /4 elements for a tensor of shape \[3\]/);
    refuses({ datatype: "FP32", shape: [4], data }, "FP64", ["n"], /got FP32 \[4\], expected FP64 \[n\]/);
    refuses(
        { datatype: "FP64", shape: [4], data } as never,
        "FP64",
        ["n"],
        /FP64 whose data is a Float32Array of 4/,
    );
    refuses(
        { datatype: "BYTES", shape: [1], data: ["a"] } as never,
        "BYTES",
        ["n"],
        /BYTES whose data is an Array of 1/,
    );
    refuses({ datatype: "float", shape: [4], data } as never, "FP32", ["n"], /a tensor of datatype float/);
});

test("what does not fit is refused, with what came and what is expected", () => {
    refuses([1, 2, 3], "FP32", ["n", 2], /got 3 elements, expected FP32 \[n, 2\]/);
    refuses(1, "FP32", ["n", 2], /got one element, expected FP32 \[n, 2\]/);
    refuses([[1, 2, 3]], "FP32", ["n", 2], /got elements of shape \[1, 3\]/);
    refuses([1, 2], "FP32", [1, "h", "w"], /got 2 elements, expected FP32 \[1, h, w\]; several shapes fit/);
    refuses([[1, 2], [3]], "FP32", ["n", 2], /rows of different lengths/);
    refuses([[1], 2], "FP32", ["n", 1], /rows of different depths/);
    refuses([1, [2]], "FP32", ["n", 1], /rows of different depths/);
    refuses(
        Float64Array.of(1),
        "FP32",
        [-1],
        /got a Float64Array of 1, expected FP32 \[\?\]; give a Float32Array, or/,
    );
    refuses(
        Uint8Array.of(1),
        "INT32",
        ["n"],
        /got an? Uint8Array of 1, expected INT32 \[n\]; give an Int32Array/,
    );
    refuses(Float32Array.of(1), "BYTES", ["n"], /got a Float32Array of 1, expected BYTES/);
    refuses("a", "FP32", ["n"], /the text "a" at position 0/);
    refuses([1, "a"], "FP32", ["n"], /the text "a" at position 1/);
    refuses([1, true], "FP32", ["n"], /true at position 1/);
    refuses(7, "BYTES", ["n"], /7 at position 0, expected BYTES/);
    refuses([1, 256], "UINT8", ["n"], /256 at position 1/);
    refuses([1, 1.5], "INT32", ["n"], /1.5 at position 1/);
    refuses(2, "BOOL", ["n"], /2 at position 0/);
    refuses([1, undefined] as never, "FP32", ["n"], /undefined at position 1/);
    refuses([1, null] as never, "FP32", ["n"], /null at position 1/);
    refuses(null as never, "FP32", ["n"], /null at position 0/);
    refuses({} as never, "FP32", ["n"], /an Object at position 0/);
    refuses(new Date(0) as never, "BYTES", ["n"], /a Date at position 0/);
    refuses(Float32Array.of(1, 2, 3), "FP32", ["n", 2], /got 3 elements/);
});

test("an input that the model has not is refused, one that is left out is not sent", () => {
    const model = status([
        { name: "a", datatype: "FP32", shape: ["n"] },
        { name: "b", datatype: "FP32", shape: ["n"] },
    ]);
    assert.throws(() => fit({ c: 1 }, model), /there is no input `c`; the model takes `a`, `b`/);
    assert.deepEqual(
        fit({ b: 1, a: undefined }, model).map(({ name }) => name),
        ["b"],
    );
});

test("a model that does not say its dimensions takes those of the value", () => {
    assert.deepEqual(one([[1, 2]], "FP32", null).shape, [1, 2]);
    assert.deepEqual(one([1, 2], "FP32", null).shape, [2]);
    assert.deepEqual(one(Float32Array.of(1, 2), "FP32", null).shape, [2]);
    assert.deepEqual(one(1, "FP32", null).shape, []);
    refuses("a", "FP32", null, /expected FP32$/);
});

test("a model that says nothing takes what says its datatype", () => {
    const model = status([]);
    const fitted = fit({ a: Int16Array.of(1), b: Uint8ClampedArray.of(1), c: new Float64Array(2) }, model);
    assert.deepEqual(
        fitted.map(({ tensor }) => [tensor.datatype, tensor.shape]),
        [
            ["INT16", [1]],
            ["UINT8", [1]],
            ["FP64", [2]],
        ],
    );
    assert.throws(() => fit({ a: [1] }, model), /the model does not say what it takes/);
});

test("a datatype that is not known here is unsupported", () => {
    assert.throws(
        () => one([1], "FP8", ["n"]),
        (error: any) => error.code === "unsupported" && /the datatype FP8/.test(error.message),
    );
});

test("integers are taken without loss or not at all", () => {
    const limits: [Datatype, bigint, bigint][] = [
        ["UINT8", 0n, 255n],
        ["UINT16", 0n, 65535n],
        ["UINT32", 0n, 4294967295n],
        ["UINT64", 0n, 18446744073709551615n],
        ["INT8", -128n, 127n],
        ["INT16", -32768n, 32767n],
        ["INT32", -2147483648n, 2147483647n],
        ["INT64", -9223372036854775808n, 9223372036854775807n],
    ];
    for (const [datatype, min, max] of limits as [Exclude<Datatype, "BYTES">, bigint, bigint][]) {
        for (const edge of [min, max]) assert.equal(BigInt(toElement(datatype, edge)!), edge, datatype);
        for (const beyond of [min - 1n, max + 1n])
            assert.equal(toElement(datatype, beyond), undefined, datatype);
        for (const bad of [0.5, NaN, Infinity, "1", true, null])
            assert.equal(toElement(datatype, bad), undefined);
    }
    assert.equal(toElement("INT64", 2 ** 53), undefined);
    assert.equal(toElement("INT64", 2 ** 53 - 1), 9007199254740991n);
});

/** What the bits of a float of 16 bits stand for. */
function valueOf(bits: number, precision: number, bias: number): number {
    const sign = bits & 0x8000 ? -1 : 1;
    const exponent = (bits & 0x7fff) >> precision;
    const mantissa = bits & ((1 << precision) - 1);
    if (exponent === 2 * bias + 1) return mantissa ? NaN : sign * Infinity;
    if (exponent === 0) return sign * mantissa * 2 ** (1 - bias - precision);
    return sign * ((1 << precision) + mantissa) * 2 ** (exponent - bias - precision);
}

test("floats of 16 bits are the nearest there are", () => {
    for (const [datatype, precision, bias] of [
        ["FP16", 10, 15],
        ["BF16", 7, 127],
    ] as const) {
        const infinity = (2 * bias + 1) << precision;
        for (let bits = 0; bits < infinity; bits += 1) {
            const value = valueOf(bits, precision, bias);
            const next = bits + 1 === infinity ? 2 ** (bias + 1) : valueOf(bits + 1, precision, bias);
            const half = (value + next) / 2;
            const even = bits % 2 === 0 ? bits : bits + 1;
            const cases = [value, half, half - (half - value) / 1024, half + (half - value) / 1024];
            const made = cases.map((number) => toElement(datatype, number));
            const expected = [bits, even, bits, bits + 1];
            // A million assertions would be most of the time.
            if (made.join() !== expected.join()) assert.deepEqual(made, expected, `${datatype} ${value}`);
            if (toElement(datatype, -value) !== (bits | 0x8000)) assert.fail(`${datatype} -${value}`);
        }
        assert.equal(toElement(datatype, Infinity), infinity);
        assert.equal(toElement(datatype, -Infinity), 0x8000 | infinity);
        assert.equal(toElement(datatype, 1e300), infinity);
        assert.equal(toElement(datatype, 5e-324), 0);
        assert.ok(Number.isNaN(valueOf(Number(toElement(datatype, NaN)), precision, bias)));
    }
});

test("a file becomes numbers as the plugin makes them", () => {
    const rule = (trim: boolean): FileRule => ({
        kind: "file",
        begin: 3,
        end: 3,
        block: 6,
        trim,
        padding: -1,
    });
    const check = (bytes: Uint8Array, trim: boolean, expected: number[]) =>
        assert.deepEqual(fileNumbers(bytes, rule(trim)), expected);
    // The cases of crates/unruffled/src/input/file.rs.
    check(Uint8Array.of(1, 2, 3, 4, 5, 6, 7, 8), false, [1, 2, 3, 6, 7, 8]);
    check(Uint8Array.of(1, 2), false, [1, 2, -1, -1, 1, 2]);
    check(Uint8Array.of(), false, [-1, -1, -1, -1, -1, -1]);
    check(utf8(" \x0b\x0c\ta.b\r\n"), true, [97, 46, -1, 97, 46, 98]);
    check(utf8("        a"), true, [-1, -1, -1, 32, 32, 97]);
    check(utf8(" \n "), true, [-1, -1, -1, -1, -1, -1]);

    const more = { from: { x: rule(false) } };
    const bytes = Uint8Array.of(1, 2);
    for (const value of [bytes, bytes.buffer]) {
        const tensor = one(value, "INT32", ["n", 6], more);
        assert.deepEqual(tensor, {
            datatype: "INT32",
            shape: [1, 6],
            data: Int32Array.of(1, 2, -1, -1, 1, 2),
        });
    }
    // Whoever has the numbers already gives them.
    const numbers = Int32Array.of(1, 2, 3, 4, 5, 6);
    assert.equal(one(numbers, "INT32", ["n", 6], more).data, numbers);
});
