// WAV files, read by hand: every webview draws them, whatever it can play.

/** What a WAV file says of itself. */
export interface Wav {
  rate: number;
  channels: number;
  /** Of one sample of one channel. */
  bytes: number;
  float: boolean;
  /** Where the samples begin, and how many there are of each channel. */
  from: number;
  frames: number;
}

const PCM = 1;
const FLOAT = 3;
const EXTENSIBLE = 0xfffe;

const text = (view: DataView, at: number) => String.fromCharCode(...[0, 1, 2, 3].map((step) => view.getUint8(at + step)));

/** Reads the headers; throws, in words, what is wrong with them. */
export function readWav(file: Uint8Array): Wav {
  const view = new DataView(file.buffer, file.byteOffset, file.byteLength);
  if (file.length < 12 || text(view, 0) !== "RIFF" || text(view, 8) !== "WAVE") throw new Error("this is not a WAV file");
  let format: Omit<Wav, "from" | "frames"> | undefined;
  for (let at = 12; at + 8 <= file.length; ) {
    const name = text(view, at);
    const size = view.getUint32(at + 4, true);
    const from = at + 8;
    if (name === "fmt " && size >= 16 && from + 16 <= file.length) format = readFormat(view, from, size);
    if (name === "data") {
      if (!format) throw new Error("the WAV file does not say what its samples are");
      // A recorder that was interrupted leaves a size that is too large, or none.
      const there = Math.min(size === 0 || size === 0xffffffff ? Infinity : size, file.length - from);
      return { ...format, from, frames: Math.floor(there / (format.bytes * format.channels)) };
    }
    at = from + size + (size % 2);
  }
  throw new Error("the WAV file has no samples");
}

function readFormat(view: DataView, from: number, size: number) {
  let kind = view.getUint16(from, true);
  const channels = view.getUint16(from + 2, true);
  const rate = view.getUint32(from + 4, true);
  const bits = view.getUint16(from + 14, true);
  if (kind === EXTENSIBLE && size >= 26 && from + 26 <= view.byteLength) kind = view.getUint16(from + 24, true);
  const known = (kind === PCM && [8, 16, 24, 32].includes(bits)) || (kind === FLOAT && [32, 64].includes(bits));
  if (!known || channels === 0 || rate === 0) throw new Error(`WAV samples of kind ${kind} with ${bits} bits cannot be drawn`);
  return { rate, channels, bytes: bits / 8, float: kind === FLOAT };
}

/** The lowest and the highest value among some frames, of all channels: -1 to 1. */
export function extremes(file: Uint8Array, wav: Wav, from: number, to: number): [number, number] {
  const view = new DataView(file.buffer, file.byteOffset, file.byteLength);
  let [low, high] = [0, 0];
  const end = wav.from + Math.min(to, wav.frames) * wav.channels * wav.bytes;
  for (let at = wav.from + from * wav.channels * wav.bytes; at < end; at += wav.bytes) {
    const value = sample(view, at, wav);
    if (value < low) low = value;
    if (value > high) high = value;
  }
  return [low, high];
}

function sample(view: DataView, at: number, { bytes, float }: Wav): number {
  if (float) return bytes === 4 ? view.getFloat32(at, true) : view.getFloat64(at, true);
  if (bytes === 2) return view.getInt16(at, true) / 0x8000;
  if (bytes === 1) return (view.getUint8(at) - 128) / 128;
  if (bytes === 3) return (view.getUint16(at, true) | (view.getInt8(at + 2) << 16)) / 0x800000;
  return view.getInt32(at, true) / 0x80000000;
}
