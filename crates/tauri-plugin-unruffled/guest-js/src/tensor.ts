/** Tensors: their element types, and the arrays that hold them. */

/** Byte strings of any length and content, as an array. */
export class ByteStrings extends Array<Uint8Array> {
    // What `map` and its like give are no byte strings.
    static override get [Symbol.species](): ArrayConstructor {
        return Array;
    }

    /** The elements as text. What is not UTF-8 becomes U+FFFD. */
    strings(): string[] {
        const decoder = new TextDecoder("utf-8", { ignoreBOM: true });
        return this.map((bytes) => decoder.decode(bytes));
    }
}

/** The array that holds the elements of each datatype. FP16 and BF16 come as their bits. */
export interface DataOf {
    BOOL: Uint8Array;
    UINT8: Uint8Array;
    UINT16: Uint16Array;
    UINT32: Uint32Array;
    UINT64: BigUint64Array;
    INT8: Int8Array;
    INT16: Int16Array;
    INT32: Int32Array;
    INT64: BigInt64Array;
    FP16: Uint16Array;
    BF16: Uint16Array;
    FP32: Float32Array;
    FP64: Float64Array;
    BYTES: ByteStrings;
}

/** An element type, by its name in the Open Inference Protocol V2. */
export type Datatype = keyof DataOf;

/** The datatypes whose elements all have the same width. */
export type FixedDatatype = Exclude<Datatype, "BYTES">;

/**
 * A tensor that a model gave: elements in row-major order. `data` is a view of the answer's memory, which
 * lives as long as one of its views does. Asking for `datatype` tells TypeScript which array `data` is.
 */
export type Tensor<D extends Datatype = Datatype> = {
    [K in D]: { readonly datatype: K; readonly shape: readonly number[]; readonly data: DataOf[K] };
}[D];

/** A tensor to ask a model with. It is copied once, into what is sent, and may be used again afterwards. */
export type TensorInput = {
    [K in Datatype]: {
        readonly datatype: K;
        readonly shape: readonly number[];
        readonly data: K extends "BYTES" ? readonly Uint8Array[] : DataOf[K];
    };
}[Datatype];

/** A tensor and the input that it is for. */
export interface NamedTensor {
    readonly name: string;
    readonly tensor: TensorInput;
}

/** An array of numbers of one type. */
export type TypedArray = DataOf[FixedDatatype] | Uint8ClampedArray;

interface Layout {
    /** The bytes of an element. */
    readonly width: number;
    readonly array: {
        new (length: number): DataOf[FixedDatatype];
        new (buffer: ArrayBuffer, offset: number, length: number): DataOf[FixedDatatype];
    };
}

// The elements of a frame are little-endian, and so is every processor that runs one of Tauri's web views: a
// view of the frame's memory is the tensor.
const LAYOUTS: Readonly<Record<FixedDatatype, Layout>> = {
    BOOL: { width: 1, array: Uint8Array },
    UINT8: { width: 1, array: Uint8Array },
    UINT16: { width: 2, array: Uint16Array },
    UINT32: { width: 4, array: Uint32Array },
    UINT64: { width: 8, array: BigUint64Array },
    INT8: { width: 1, array: Int8Array },
    INT16: { width: 2, array: Int16Array },
    INT32: { width: 4, array: Int32Array },
    INT64: { width: 8, array: BigInt64Array },
    FP16: { width: 2, array: Uint16Array },
    BF16: { width: 2, array: Uint16Array },
    FP32: { width: 4, array: Float32Array },
    FP64: { width: 8, array: Float64Array },
};

/** Every datatype. */
export const DATATYPES: readonly Datatype[] = [...(Object.keys(LAYOUTS) as FixedDatatype[]), "BYTES"];

/** Whether this is the name of a datatype. */
export function isDatatype(name: unknown): name is Datatype {
    return DATATYPES.includes(name as Datatype);
}

/** The width of an element and the array for it. */
export function layout(datatype: FixedDatatype): Layout {
    return LAYOUTS[datatype];
}

/** Whether this is an array of numbers of one type. */
export function isTypedArray(value: unknown): value is TypedArray {
    return ArrayBuffer.isView(value) && !(value instanceof DataView);
}

/** How many elements a tensor of this shape has. */
export function elementCount(shape: readonly number[]): number {
    return shape.reduce((count, size) => count * size, 1);
}

/** How many bytes the elements of a tensor take in a frame. */
export function byteCount(tensor: TensorInput): number {
    if (tensor.datatype !== "BYTES") return tensor.data.byteLength;
    return tensor.data.reduce((sum, element) => sum + 4 + element.byteLength, 0);
}
