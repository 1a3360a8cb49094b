/** Numbers, truth values and texts, as elements of a datatype. */

import type { FixedDatatype } from "./tensor.js";

const INTEGERS: Readonly<Partial<Record<FixedDatatype, readonly [min: number, max: number]>>> = {
    UINT8: [0, 0xff],
    UINT16: [0, 0xffff],
    UINT32: [0, 0xffff_ffff],
    INT8: [-0x80, 0x7f],
    INT16: [-0x8000, 0x7fff],
    INT32: [-0x8000_0000, 0x7fff_ffff],
};

/** The element of the datatype's array that stands for `value`; `undefined` if there is none without loss. */
export function toElement(datatype: FixedDatatype, value: unknown): number | bigint | undefined {
    switch (datatype) {
        case "BOOL":
            return value === true || value === 1 ? 1 : value === false || value === 0 ? 0 : undefined;
        case "FP64":
        case "FP32":
            return typeof value === "number" ? value : undefined;
        case "FP16":
            return typeof value === "number" ? toBits(value, 10, 15) : undefined;
        case "BF16":
            return typeof value === "number" ? toBits(value, 7, 127) : undefined;
        case "INT64":
        case "UINT64": {
            const whole = toBigInt(value);
            if (whole === undefined) return undefined;
            const wrapped = datatype === "INT64" ? BigInt.asIntN(64, whole) : BigInt.asUintN(64, whole);
            return wrapped === whole ? whole : undefined;
        }
        default: {
            const number = typeof value === "bigint" ? Number(value) : value;
            const [min, max] = INTEGERS[datatype]!;
            if (typeof number !== "number" || !Number.isInteger(number)) return undefined;
            return number >= min && number <= max ? number : undefined;
        }
    }
}

function toBigInt(value: unknown): bigint | undefined {
    if (typeof value === "bigint") return value;
    // Beyond 2^53 a number does not say which integer is meant.
    return Number.isSafeInteger(value) ? BigInt(value as number) : undefined;
}

/**
 * The 16 bits of a float with `precision` explicit bits and exponents up to `bias`; halves go to the even
 * one.
 */
function toBits(value: number, precision: number, bias: number): number {
    const infinity = (2 * bias + 1) << precision;
    const sign = value < 0 || Object.is(value, -0) ? 0x8000 : 0;
    const size = Math.abs(value);
    if (Number.isNaN(size)) return infinity | (1 << (precision - 1));
    if (size === Infinity) return sign | infinity;

    // Subnormal numbers share the exponent of the smallest normal ones.
    const exponent = Math.max(exponentOf(size), 1 - bias);
    const steps = roundHalfToEven(size / 2 ** (exponent - precision));
    // A carry out of the mantissa goes into the exponent, up to infinity, and so it should.
    const bits = ((exponent + bias - 1) << precision) + steps;
    return sign | Math.min(bits, infinity);
}

/** The exponent of the power of two at or below `size`; below that of any float here for 0. */
function exponentOf(size: number): number {
    if (size === 0) return -1074;
    const near = Math.floor(Math.log2(size));
    // The logarithm is rounded, and may be one too high or too low beside a power of two.
    if (2 ** near > size) return near - 1;
    return 2 ** (near + 1) <= size ? near + 1 : near;
}

function roundHalfToEven(value: number): number {
    const floor = Math.floor(value);
    const above = value - floor;
    return above > 0.5 || (above === 0.5 && floor % 2 === 1) ? floor + 1 : floor;
}
