/** From the bytes of any file to numbers, as the plugin does it for files that it reads itself. */

import type { FileRule } from "./status.js";

/** The numbers that stand for a file: those for its beginning, then those for its end. */
export function fileNumbers(file: Uint8Array, rule: FileRule): number[] {
    let first = file.subarray(0, rule.block);
    let last = file.subarray(Math.max(0, file.length - rule.block));
    if (rule.trim) {
        let [begin, end] = [0, last.length];
        while (begin < first.length && isBlank(first[begin]!)) begin += 1;
        while (end > 0 && isBlank(last[end - 1]!)) end -= 1;
        first = first.subarray(begin);
        last = last.subarray(0, end);
    }
    first = first.subarray(0, rule.begin);
    last = last.subarray(Math.max(0, last.length - rule.end));
    const padding = (taken: number, wanted: number) => new Array<number>(wanted - taken).fill(rule.padding);
    return [...first, ...padding(first.length, rule.begin), ...padding(last.length, rule.end), ...last];
}

/** Space, tab, line feed, vertical tab, form feed, carriage return. */
function isBlank(byte: number): boolean {
    return byte === 0x20 || (byte >= 0x09 && byte <= 0x0d);
}
