/** What the plugin says about a model. */

/**
 * One dimension: its size, or the name of one that may have any size; `?` is a name that several may bear.
 */
export type Dim = number | string;

/** One input or output of a model. */
export interface TensorSpec {
    /** What the model calls it. */
    readonly name: string;
    /** Its element type, by its name in the Open Inference Protocol V2. */
    readonly datatype: string;
    /** Its dimensions, outermost first; absent or null if the model does not say even their number. */
    readonly shape?: readonly Dim[] | null;
    /** Whether it may be left out. */
    readonly optional?: boolean;
}

/** How the bytes of a file become the numbers of an input. */
export interface FileRule {
    readonly kind: "file";
    /** How many numbers stand for the beginning of the file. */
    readonly begin: number;
    /** How many numbers stand for its end. */
    readonly end: number;
    /** How many bytes at either end are looked at. */
    readonly block: number;
    /** Whether white space is dropped before the beginning and behind the end. */
    readonly trim: boolean;
    /** The number that fills up what a short file leaves. */
    readonly padding: number;
}

/** How a model is doing, and what it takes and gives. */
export interface ModelStatus {
    /** The name by which it is asked. */
    readonly name: string;
    /** `waiting`: known, and loaded when it is asked for. */
    readonly state: "loading" | "ready" | "failed" | "waiting" | (string & {});
    /** How far the load is, from 0 to 1. */
    readonly progress?: number;
    /** Why the load failed. */
    readonly error?: string;
    /** What it does, in its author's words. */
    readonly description?: string;
    /** What runs it, once it is there: `rten`, `ort` (ONNX Runtime), `trees`, `python`, ... */
    readonly backend?: string;
    /** What it takes. */
    readonly inputs: readonly TensorSpec[];
    /** What it gives. */
    readonly outputs: readonly TensorSpec[];
    /** How files become inputs, by the name of the input. */
    readonly from?: Readonly<Record<string, FileRule>>;
    /**
     * What the numbers of an output's last dimension stand for, by the name of the output; not told by
     * `models`.
     */
    readonly labels?: Readonly<Record<string, readonly string[]>>;
}
