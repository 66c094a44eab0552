import fc from 'fast-check';
import { expect, test } from 'vitest';
import { type Merge, mergePairs } from '../../../packages/nn/src/files/bpe-merges.ts';
import { runs } from '../../support/runs.ts';

/** The oracle: all pairs counted anew for each merge, the best found by looking at all. */
function naive(words: [number[], number][], tokens: string[], vocabSize: number): Merge[] {
  const merges: Merge[] = [];
  while (tokens.length < vocabSize) {
    const counts = new Map<string, number>();
    for (const [word, count] of words) {
      for (let i = 1; i < word.length; i++) {
        const key = `${word[i - 1]},${word[i]}`;
        counts.set(key, (counts.get(key) ?? 0) + count);
      }
    }
    const pairs = [...counts].map(([key, count]) => [...key.split(',').map(Number), count]);
    pairs.sort(([a, b, n], [c, d, m]) => m - n || a - c || b - d);
    if (pairs.length === 0) break;
    const [a, b] = pairs[0];
    merges.push([a, b]);
    const joined = tokens[a] + tokens[b];
    if (!tokens.includes(joined)) tokens.push(joined);
    for (const entry of words) {
      const next: number[] = [];
      for (let i = 0; i < entry[0].length; i++) {
        const hit = entry[0][i] === a && entry[0][i + 1] === b;
        next.push(hit ? tokens.indexOf(joined) : entry[0][i]);
        if (hit) i++;
      }
      entry[0] = next;
    }
  }
  return merges;
}

const words = fc.array(
  fc.tuple(fc.array(fc.nat(2), { minLength: 1, maxLength: 12 }), fc.integer({ min: 1, max: 4 })),
  { maxLength: 12 },
);

test('the merges and the tokens are those of counting everything anew', async () => {
  // Three letters and short words: ties and overlaps (aaa) are everywhere.
  await fc.assert(
    fc.asyncProperty(words, fc.integer({ min: 3, max: 40 }), async (list, vocabSize) => {
      const tokens = ['a', 'b', 'c'];
      const expectedTokens = ['a', 'b', 'c'];
      const expected = naive(structuredClone(list), expectedTokens, vocabSize);
      const counted = list.map(([ids, count]) => ({ ids: Int32Array.from(ids), count }));
      expect(await mergePairs(counted, tokens, vocabSize)).toEqual(expected);
      expect(tokens).toEqual(expectedTokens);
      expect(new Set(tokens).size).toBe(3 + expected.length);
      // What is left of each word still spells it.
      for (const [i, { ids }] of counted.entries()) {
        expect(Array.from(ids, (id) => tokens[id]).join('')).toBe(list[i][0].map((id) => 'abc'[id]).join(''));
      }
    }),
    runs(500),
  );
});
