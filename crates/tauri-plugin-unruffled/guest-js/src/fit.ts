/** From the values that a page has to the tensors that a model takes. */

import { toElement } from "./element.js";
import { UnruffledError } from "./error.js";
import { fileNumbers } from "./file.js";
import { flatShape, ownShape, shapeText, type Solution } from "./shape.js";
import type { ModelStatus, TensorSpec } from "./status.js";
import {
    type Datatype,
    type FixedDatatype,
    type NamedTensor,
    type TensorInput,
    type TypedArray,
    elementCount,
    isDatatype,
    isTypedArray,
    layout,
} from "./tensor.js";

/**
 * One element. Numbers and bigints go into any datatype that holds them without loss, floats being rounded.
 */
export type Element = number | bigint | boolean | string;

/** Elements in rows, rows in rows of them, and so on; all rows of a level have the same length. */
export interface ElementRows extends ReadonlyArray<Element | TypedArray | ElementRows> {}

/**
 * What an input may be given as.
 *
 * - A tensor says its datatype and shape.
 * - A typed array must be that of the datatype; `Uint8Array` is also BOOL, `Uint16Array` also the bits of
 *   FP16 and BF16.
 * - Numbers, bigints and booleans, alone or in nested arrays, become what the model takes.
 * - Texts become BYTES, as UTF-8; a `Uint8Array` or an `ArrayBuffer` is one element of BYTES.
 * - The bytes of a file become the numbers of an input that says how (`ModelStatus.from`).
 *
 * A value of one dimension less than the model wants is one row. Elements in a single row take the one shape
 * that fits.
 */
export type InputValue = TensorInput | TypedArray | ArrayBuffer | Element | ElementRows;

/**
 * The inputs of one request by name. What is left out or `undefined` takes the model's default, if it has
 * one.
 */
export type Inputs = { readonly [name: string]: InputValue | undefined };

/**
 * The tensors that stand for `inputs`, in the order of these. Nothing is copied that is a tensor or typed
 * array.
 *
 * Throws `invalid_input`, naming the input, what came and what is expected.
 */
export function fit(inputs: Inputs, model: ModelStatus): NamedTensor[] {
    const fitted: NamedTensor[] = [];
    for (const [name, value] of Object.entries(inputs)) {
        if (value !== undefined) fitted.push({ name, tensor: fitOne(name, value, model) });
    }
    return fitted;
}

function fitOne(name: string, value: InputValue, model: ModelStatus): TensorInput {
    const spec = model.inputs.find((spec) => spec.name === name);
    if (!spec && model.inputs.length > 0) {
        const known = model.inputs.map((spec) => `\`${spec.name}\``).join(", ");
        const message = `there is no input \`${name}\`; the model takes ${known}`;
        throw new UnruffledError("invalid_input", message, { model: model.name });
    }
    const input = new Input(name, spec, model.name);
    if (isTensor(value)) return input.ofTensor(value);
    const bytes = value instanceof ArrayBuffer ? new Uint8Array(value) : value;
    const rule = model.from?.[name];
    if (rule?.kind === "file" && bytes instanceof Uint8Array && spec?.datatype !== "UINT8") {
        return input.ofList(fileNumbers(bytes, rule));
    }
    if (isTypedArray(bytes)) return input.ofTypedArray(bytes);
    if (Array.isArray(bytes)) return input.ofList(bytes);
    return input.ofElements([bytes], (dims) => flatShape(1, dims), []);
}

/** One input of one model, on the way to its tensor. */
class Input {
    readonly #name: string;
    readonly #spec: TensorSpec | undefined;
    readonly #model: string;

    constructor(name: string, spec: TensorSpec | undefined, model: string) {
        this.#name = name;
        this.#spec = spec;
        this.#model = model;
    }

    ofTensor(tensor: TensorInput): TensorInput {
        const { datatype, shape, data } = tensor;
        if (!isDatatype(datatype)) this.#refuse(`a tensor of datatype ${String(datatype)}`);
        if (this.#spec && this.#spec.datatype !== datatype) this.#refuse(`${datatype} ${shapeText(shape)}`);
        const fits =
            datatype === "BYTES"
                ? Array.isArray(data) && data.every((element) => element instanceof Uint8Array)
                : data instanceof layout(datatype).array;
        if (!fits) this.#refuse(`${datatype} whose data is ${nameOf(data)}`);
        if (data.length !== elementCount(shape)) {
            this.#refuse(`${data.length} elements for a tensor of shape ${shapeText(shape)}`);
        }
        const fitted = this.#shape(
            (dims) => ownShape(shape, dims),
            shape,
            () => `shape ${shapeText(shape)}`,
        );
        return { datatype, shape: fitted, data } as TensorInput;
    }

    ofTypedArray(value: TypedArray): TensorInput {
        const datatype = this.#spec ? this.#datatype() : datatypeOf(value);
        if (datatype === "BYTES") {
            if (!(value instanceof Uint8Array)) this.#refuse(nameOf(value));
            return this.ofElements([value], (dims) => flatShape(1, dims), []);
        }
        // Clamping is about writing: what is there are bytes.
        const data =
            value instanceof Uint8ClampedArray
                ? new Uint8Array(value.buffer, value.byteOffset, value.length)
                : value;
        if (!(data instanceof layout(datatype).array)) {
            const remedy = `; give ${withArticle(layout(datatype).array.name)}, or a plain array to have it converted`;
            this.#refuse(nameOf(value), remedy);
        }
        const shape = this.#flat(data.length);
        return { datatype, shape, data } as TensorInput;
    }

    ofList(value: ElementRows): TensorInput {
        const bytes = this.#datatype() === "BYTES";
        const isRow = (part: unknown): part is ArrayLike<unknown> =>
            Array.isArray(part) || (isTypedArray(part) && !bytes);
        const own: number[] = [];
        for (let row: unknown = value; isRow(row); row = row[0]) own.push(row.length);

        const elements: unknown[] = [];
        const gather = (row: ArrayLike<unknown>, depth: number) => {
            if (row.length !== own[depth]) this.#refuse("rows of different lengths");
            const inner = depth + 1 < own.length;
            for (let i = 0; i < row.length; i += 1) {
                const part = row[i];
                if (isRow(part) !== inner) this.#refuse("rows of different depths");
                if (inner) gather(part as ArrayLike<unknown>, depth + 1);
                else elements.push(part);
            }
        };
        // A flat array is what it is: no second one is made of it.
        if (own.length > 1 || value.some(isRow)) gather(value, 0);
        const flat = own.length > 1 ? elements : value;
        const solve = (dims: Dims) => (own.length > 1 ? ownShape(own, dims) : flatShape(flat.length, dims));
        return this.ofElements(flat, solve, own);
    }

    ofElements(elements: readonly unknown[], solve: (dims: Dims) => Solution, own: number[]): TensorInput {
        const datatype = this.#datatype();
        const data = datatype === "BYTES" ? this.#byteStrings(elements) : this.#numbers(datatype, elements);
        const came = () =>
            own.length > 1 ? `elements of shape ${shapeText(own)}` : countText(elements.length);
        return { datatype, shape: this.#shape(solve, own, came), data } as TensorInput;
    }

    #numbers(datatype: FixedDatatype, elements: readonly unknown[]): TypedArray {
        const data = new (layout(datatype).array)(elements.length);
        for (let i = 0; i < elements.length; i += 1) {
            const element = toElement(datatype, elements[i]);
            if (element === undefined) this.#refuse(`${elementText(elements[i])} at position ${i}`);
            data[i] = element;
        }
        return data;
    }

    #byteStrings(elements: readonly unknown[]): Uint8Array[] {
        const encoder = new TextEncoder();
        return elements.map((element, i) => {
            if (typeof element === "string") return encoder.encode(element);
            if (element instanceof Uint8Array) return element;
            return this.#refuse(`${elementText(element)} at position ${i}`);
        });
    }

    #flat(count: number): readonly number[] {
        return this.#shape(
            (dims) => flatShape(count, dims),
            [count],
            () => countText(count),
        );
    }

    #shape(solve: (dims: Dims) => Solution, own: readonly number[], came: () => string): readonly number[] {
        const dims = this.#spec?.shape;
        if (!dims) return own;
        const shape = solve(dims);
        if (shape === "none") return this.#refuse(came());
        if (shape === "several")
            return this.#refuse(came(), "; several shapes fit: give a tensor, which says its own");
        return shape;
    }

    #datatype(): Datatype {
        const datatype = this.#spec?.datatype;
        if (datatype === undefined) {
            this.#refuse(
                "no tensor",
                ": the model does not say what it takes, so that each input must be one, or a typed array",
            );
        }
        if (!isDatatype(datatype)) {
            const message = `input \`${this.#name}\` has the datatype ${datatype}, which this package does not know`;
            throw new UnruffledError("unsupported", message, { model: this.#model });
        }
        return datatype;
    }

    #refuse(came: string, remedy = ""): never {
        const { datatype = "a tensor", shape } = this.#spec ?? {};
        const expected = shape ? `${datatype} ${shapeText(shape)}` : datatype;
        const message = `input \`${this.#name}\`: got ${came}, expected ${expected}${remedy}`;
        throw new UnruffledError("invalid_input", message, { model: this.#model });
    }
}

type Dims = NonNullable<TensorSpec["shape"]>;

function isTensor(value: InputValue): value is TensorInput {
    // Programs without types may give anything.
    if (typeof value !== "object" || (value as unknown) === null) return false;
    return "datatype" in value && "shape" in value && "data" in value;
}

/** What a typed array is where no signature says it. */
function datatypeOf(value: TypedArray): Datatype {
    if (value instanceof Uint8ClampedArray) return "UINT8";
    const names: FixedDatatype[] = [
        "UINT8",
        "UINT16",
        "UINT32",
        "UINT64",
        "INT8",
        "INT16",
        "INT32",
        "INT64",
        "FP32",
        "FP64",
    ];
    return names.find((name) => value instanceof layout(name).array)!;
}

function countText(count: number): string {
    return count === 1 ? "one element" : `${count} elements`;
}

function elementText(element: unknown): string {
    if (typeof element === "string") return `the text ${JSON.stringify(element.slice(0, 40))}`;
    return typeof element === "object" ? nameOf(element) : String(element);
}

function nameOf(value: unknown): string {
    if (value === null || value === undefined) return String(value);
    const length = isTypedArray(value) || Array.isArray(value) ? ` of ${value.length}` : "";
    return `${withArticle((value as object).constructor?.name ?? "object")}${length}`;
}

function withArticle(noun: string): string {
    return `${/^[AEIO]/i.test(noun) ? "an" : "a"} ${noun}`;
}
