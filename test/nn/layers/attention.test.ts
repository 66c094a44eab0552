import { foldIn, key, ones, randn, setBackend, type Tensor } from '@bax/core';
import { cpu } from '@bax/cpu';
import { CausalSelfAttention, Linear } from '@bax/nn';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { failure } from '../files/support.ts';
import { at, matrix, plus, times, turned, type Matrix } from '../support/host.ts';
import { distance } from '../support/numbers.ts';
import { runs } from '../../support/runs.ts';

setBackend(cpu());

/** softmax(q kᵀ / √D, keys up to the query's own) v for each head, by the formulas, on the host. */
function direct(x: Matrix, W: Matrix, b: Float64Array, P: Matrix, c: Float64Array, heads: number): Matrix {
  const d = x.columns;
  const D = d / heads;
  const row = (bias: Float64Array, rows: number): Matrix => matrix(rows, bias.length, (_, j) => bias[j]!);
  const qkv = plus(times(x, turned(W)), row(b, x.rows));
  const joined = matrix(x.rows, d, (i, column) => {
    const head = Math.floor(column / D);
    const part = (which: number, place: number, l: number): number =>
      at(qkv, place, which * d + head * D + l);
    const scores = Array.from({ length: i + 1 }, (_, j) => {
      let s = 0;
      for (let l = 0; l < D; l++) s += part(0, i, l) * part(1, j, l);
      return Math.exp(s / Math.sqrt(D));
    });
    const total = scores.reduce((a, s) => a + s, 0);
    return scores.reduce((sum, s, j) => sum + (s / total) * part(2, j, column % D), 0);
  });
  return plus(times(joined, turned(P)), row(c, x.rows));
}

test('P36: causal attention by its formulas, for each row of a batch', async () => {
  const law = async (heads: number, depth: number, time: number, seed: number): Promise<void> => {
    const d = heads * depth;
    const random = (name: string, shape: number[]): Tensor =>
      randn(shape, { key: foldIn(key(seed), name), dtype: 'f64' });
    const [W, b, P, c] = [
      random('W', [3 * d, d]),
      random('b', [3 * d]),
      random('P', [d, d]),
      random('c', [d]),
    ];
    const x = random('x', [2, time, d]);
    const y = await new CausalSelfAttention(new Linear(W, b), new Linear(P, c), heads).forward(x).data();
    const on = async (t: Tensor): Promise<Float64Array> => Float64Array.from(await t.data());
    const all = await on(x);
    for (const i of [0, 1]) {
      const rows = matrix(time, d, all.subarray(i * time * d, (i + 1) * time * d));
      const expected = direct(
        rows,
        matrix(3 * d, d, await on(W)),
        await on(b),
        matrix(d, d, await on(P)),
        await on(c),
        heads,
      );
      expect(distance(y.slice(i * time * d, (i + 1) * time * d), expected.data)).toBeLessThan(1e-11);
    }
  };
  const small = (max: number): fc.Arbitrary<number> => fc.integer({ min: 1, max });
  await fc.assert(fc.asyncProperty(small(3), small(4), small(5), fc.nat(99), law), runs(20));
});

test('heads that do not divide the width are refused', async () => {
  expect(
    await failure(() => new CausalSelfAttention(new Linear(ones([18, 6])), new Linear(ones([6, 6])), 4)),
  ).toBe('attention: 4 heads do not divide a width of 6');
});
