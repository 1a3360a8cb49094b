// Texts as paragraphs, and which of them are nearest to a question.

/** Longer paragraphs are cut at the ends of sentences: the model reads a few hundred words at a time. */
const LONGEST = 700;

/** The paragraphs of a text: what blank lines divide, or, where there are none, its lines. */
export function paragraphsOf(text: string): string[] {
  const lines = text.replace(/^\uFEFF/, "").split(/\r\n|\r|\n/);
  const blocks: string[][] = [[]];
  for (const line of lines) {
    if (line.trim() === "") blocks.push([]);
    else blocks.at(-1)!.push(line.trim());
  }
  const filled = blocks.filter((block) => block.length > 0);
  const parts = filled.length === 1 ? filled[0]! : filled.map((block) => block.join(" "));
  return parts.flatMap(cut);
}

function cut(paragraph: string): string[] {
  if (paragraph.length <= LONGEST) return [paragraph];
  const parts: string[] = [];
  for (const sentence of paragraph.match(/.+?(?:[.!?…]+["”’)]*\s+|$)/gs) ?? [paragraph]) {
    const last = parts.at(-1);
    if (last !== undefined && last.length + sentence.length <= LONGEST) parts[parts.length - 1] = last + sentence;
    else parts.push(sentence);
  }
  return parts.map((part) => part.trim());
}

/** A paragraph that was found, and how near it is: 1 is the same direction. */
export interface Found {
  at: number;
  score: number;
}

/**
 * The `most` nearest to `query`, a unit vector, of those that stand one after the other in `vectors`. Zeros are vectors that are not
 * there yet.
 */
export function nearest(query: Float32Array, vectors: Float32Array, most: number): Found[] {
  const width = query.length;
  const best: Found[] = [];
  for (let at = 0; at * width < vectors.length; at += 1) {
    let [dot, own] = [0, 0];
    for (let column = 0; column < width; column += 1) {
      const value = vectors[at * width + column]!;
      dot += value * query[column]!;
      own += value * value;
    }
    if (own === 0) continue;
    const score = dot / Math.sqrt(own);
    if (best.length === most && score <= best[most - 1]!.score) continue;
    const place = best.findIndex((other) => other.score < score);
    best.splice(place < 0 ? best.length : place, 0, { at, score });
    if (best.length > most) best.pop();
  }
  return best;
}
