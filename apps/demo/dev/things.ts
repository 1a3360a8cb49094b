// What the stand-in shows: files, a text, a page, a recording.

const bytes = (text: string) => new TextEncoder().encode(text);

export const FILES: Record<string, { label: string; score: number }> = {
  "report.pdf": { label: "pdf", score: 0.9997 }, "holiday.jpg": { label: "zip", score: 0.998 }, "words.rs": { label: "rust", score: 0.996 },
  "moving_average.py": { label: "python", score: 0.981 }, "digit.png": { label: "png", score: 0.9999 }, "invoice.docx": { label: "pebin", score: 0.994 },
  "table.csv": { label: "csv", score: 0.973 }, "settings.toml": { label: "toml", score: 0.91 }, "bundle.zip": { label: "zip", score: 0.9998 },
  "voice.wav": { label: "wav", score: 0.9999 }, "index.html": { label: "html", score: 0.964 }, "model.onnx": { label: "onnx", score: 0.9991 },
};

export const TEXT = `The harbour lay still before sunrise, and the boats turned slowly at their moorings while the tide went out.

A loaf of rye needs a sour that has stood for a night; after that it forgives almost every mistake.

The night train to Vienna leaves at ten past nine from platform four, and the restaurant car closes at eleven.

Bees find their way home by the sun, and when clouds hide it they read its place from the polarised light of the sky.

Whoever rents the flat pays for heating separately, at the end of each quarter, by what the meters show.

In the thirteenth century the town was given the right to hold a market every Thursday.

Rub the pan with half a clove of garlic, pour in the cream and let it thicken over a small flame.

A violin that is not played for years loses its voice and has to be woken slowly, an hour a day.

The battery lasts for about nine hours of reading; in the cold it is empty after five.

When the moon stands between us and the sun, the birds fall silent and street lamps go on at noon.

The complaint was answered within two days, the money was returned, and the shop sent flowers.

Glaciers move like honey: fast in the middle, slowly at the edges, and never twice the same way.

Children under six travel free, and older ones pay half if they are with a grown-up.

To prune an apple tree, wait for a dry day at the end of winter and take out whatever grows inwards.

The patient slept well, the fever is down, and tomorrow he may get up for an hour.

The programme waits for the answer of the server and does nothing else meanwhile, so the window turns grey.`;

export const LINES: [string, number, number, number, number][] = [
  ["Invoice 2026-1129", 60, 70, 44, 0], ["Harbour Supplies Ltd", 60, 130, 24, 0], ["12 Quay Street, Bergen", 60, 164, 24, 0],
  ["Rope, 40 m", 60, 250, 28, 0], ["84.50", 520, 250, 28, 0], ["Lantern oil, 5 l", 60, 300, 28, 0], ["61.00", 520, 300, 28, 0],
  ["Canvas, 3 m", 60, 350, 28, 0], ["39.00", 520, 350, 28, 0], ["Total", 60, 430, 34, 0], ["184.50", 500, 430, 34, 0],
  ["Thank you for waiting", 110, 530, 34, -0.12],
];

/** The boxes of the lines, and the picture. */
export async function page(): Promise<{ png: Uint8Array; boxes: number[] }> {
  const canvas = document.createElement("canvas");
  [canvas.width, canvas.height] = [680, 600];
  const context = canvas.getContext("2d")!;
  context.fillStyle = "#fffdf7";
  context.fillRect(0, 0, 680, 600);
  const boxes: number[] = [];
  for (const [text, x, y, size, turn] of LINES) {
    context.save();
    context.translate(x, y);
    context.rotate(turn);
    context.font = `${size}px "DejaVu Serif", serif`;
    context.fillStyle = "#20303a";
    context.fillText(text, 0, 0);
    const wide = context.measureText(text).width;
    for (const [cx, cy] of [[-4, -size * 0.92], [wide + 4, -size * 0.92], [wide + 4, size * 0.3], [-4, size * 0.3]] as const) {
      boxes.push(x + cx * Math.cos(turn) - cy * Math.sin(turn), y + cx * Math.sin(turn) + cy * Math.cos(turn));
    }
    context.restore();
  }
  const blob = await new Promise<Blob>((done) => canvas.toBlob((made) => done(made!)));
  return { png: new Uint8Array(await blob.arrayBuffer()), boxes };
}

export const SEGMENTS: [number, number][] = [[0.6, 2.3], [3.1, 4.0], [4.9, 7.8], [8.7, 9.2], [10.4, 12.9], [14.0, 14.8]];
const SECONDS = 15.6;

export function recording(): Uint8Array {
  const rate = 16000;
  const count = Math.floor(SECONDS * rate);
  const file = new Uint8Array(44 + 2 * count);
  const view = new DataView(file.buffer);
  file.set(bytes("RIFF"), 0), file.set(bytes("WAVEfmt "), 8), file.set(bytes("data"), 36);
  view.setUint32(4, file.length - 8, true), view.setUint32(16, 16, true), view.setUint16(20, 1, true), view.setUint16(22, 1, true);
  view.setUint32(24, rate, true), view.setUint32(28, 2 * rate, true), view.setUint16(32, 2, true), view.setUint16(34, 16, true);
  view.setUint32(40, 2 * count, true);
  for (let at = 0; at < count; at += 1) {
    const second = at / rate;
    const spoken = SEGMENTS.find(([from, to]) => second >= from && second <= to);
    const loud = spoken ? (0.35 + 0.3 * Math.sin(second * 21) * Math.sin(second * 7.3)) * Math.min((second - spoken[0]) * 8, (spoken[1] - second) * 8, 1) : 0.015;
    view.setInt16(44 + 2 * at, (Math.random() * 2 - 1) * loud * 32767, true);
  }
  return file;
}
