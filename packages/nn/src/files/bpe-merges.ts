// The inner loop of BPE training, on ids alone. Counting all pairs anew for each merge would take hours; here a merge
// touches only the words that contain its pair, and a heap finds the next one. A merge makes new pairs, with its own id,
// and takes from old ones: so once a pair is on the heap its count only falls, and is looked at again when it comes up.

/** A word as token ids, and how often it is seen. */
export interface CountedWord {
  /** Shortened in place as its pairs are joined. */
  ids: Int32Array;
  readonly count: number;
}

/** Two ids that were joined into one. */
export type Merge = readonly [number, number];

interface Pair {
  readonly a: number;
  readonly b: number;
  /** Times seen now. */
  count: number;
  /** Words that had it once, some of them no more. */
  readonly words: Set<number>;
}

/** A pair on the heap with the count it had when it was put there. */
interface Entry {
  readonly pair: Pair;
  readonly count: number;
}

/**
 * Joins the most frequent pair until `tokens` has `vocabSize` entries or no pair is left, and appends each new token
 * to `tokens`. Returns the joined pairs in their order. No two of them give the same text: what lies between two
 * boundaries is joined in the same order wherever it occurs.
 */
export async function mergePairs(
  words: CountedWord[],
  tokens: string[],
  vocabSize: number,
  signal?: AbortSignal,
): Promise<Merge[]> {
  const pairs = new PairTable(vocabSize);
  for (const [w, { ids: word, count }] of words.entries()) pairs.count(word, w, count);
  pairs.queue();

  const merges: Merge[] = [];
  const rest = resting(signal);
  while (tokens.length < vocabSize) {
    const pair = pairs.pop();
    if (!pair) break;
    const { a, b } = pair;
    const id = tokens.push(tokens[a] + tokens[b]) - 1;
    merges.push([a, b]);
    for (const w of pair.words) {
      const word = words[w];
      const shorter = replace(word.ids, a, b, id);
      if (shorter.length === word.ids.length) continue;
      pairs.count(word.ids, w, -word.count);
      pairs.count(shorter, w, word.count);
      word.ids = shorter;
    }
    pairs.queue();
    await rest();
  }
  return merges;
}

/** To be awaited in a long loop: lets other work in every 50 ms, so that a page can paint and an abort is seen. */
export function resting(signal: AbortSignal | undefined): () => Promise<void> {
  signal?.throwIfAborted();
  let last = Date.now();
  return async () => {
    if (Date.now() - last < 50) return;
    await new Promise((resume) => setTimeout(resume));
    signal?.throwIfAborted();
    last = Date.now();
  };
}

/** `word` with every `a, b`, from the left, replaced by `id`. */
function replace(word: Int32Array, a: number, b: number, id: number): Int32Array {
  const out = new Int32Array(word.length);
  let length = 0;
  for (let i = 0; i < word.length; i++) {
    const hit = word[i] === a && i + 1 < word.length && word[i + 1] === b;
    out[length++] = hit ? id : word[i];
    if (hit) i++;
  }
  return length === word.length ? word : out.slice(0, length);
}

/** The pairs of neighbours, how often each is seen, and which comes next. */
class PairTable {
  readonly pairs = new Map<number, Pair>();
  readonly heap: Entry[] = [];
  born: Pair[] = [];
  readonly vocabSize: number;

  constructor(vocabSize: number) {
    this.vocabSize = vocabSize;
  }

  /** Adds `count` for each pair of neighbours in word number `w`. */
  count(word: Int32Array, w: number, count: number): void {
    for (let i = 0; i + 1 < word.length; i++) {
      const key = word[i] * this.vocabSize + word[i + 1];
      let pair = this.pairs.get(key);
      if (!pair) {
        pair = { a: word[i], b: word[i + 1], count: 0, words: new Set() };
        this.pairs.set(key, pair);
        this.born.push(pair);
      }
      pair.count += count;
      if (count > 0) pair.words.add(w);
    }
  }

  /** Puts the pairs that were new since the last time onto the heap, now that their counts are complete. */
  queue(): void {
    for (const pair of this.born) this.push(pair);
    this.born = [];
  }

  /** Takes the most frequent pair, of equals the one with the smaller ids; undefined if none is left. */
  pop(): Pair | undefined {
    for (let top = this.take(); top; top = this.take()) {
      if (top.pair.count === top.count) return top.pair;
      if (top.pair.count > 0) this.push(top.pair);
    }
    return undefined;
  }

  private push(pair: Pair): void {
    const { heap } = this;
    const entry = { pair, count: pair.count };
    let at = heap.push(entry) - 1;
    for (let parent = (at - 1) >> 1; at > 0 && before(entry, heap[parent]); parent = (at - 1) >> 1) {
      heap[at] = heap[parent];
      at = parent;
    }
    heap[at] = entry;
  }

  private take(): Entry | undefined {
    const { heap } = this;
    const top = heap[0];
    const last = heap.pop();
    if (!last || heap.length === 0) return top;
    let at = 0;
    for (;;) {
      let child = 2 * at + 1;
      if (child + 1 < heap.length && before(heap[child + 1], heap[child])) child++;
      if (child >= heap.length || !before(heap[child], last)) break;
      heap[at] = heap[child];
      at = child;
    }
    heap[at] = last;
    return top;
  }
}

/** More often first; of equals, smaller ids first. */
function before(x: Entry, y: Entry): boolean {
  if (x.count !== y.count) return x.count > y.count;
  return x.pair.a !== y.pair.a ? x.pair.a < y.pair.a : x.pair.b < y.pair.b;
}
