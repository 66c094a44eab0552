/** P38. */
import { assertWithin } from '@bax/check';
import { arange, mul, ones, randn, rmsNorm, setBackend, type Tensor, zeros } from '@bax/core';
import { cpu } from '@bax/cpu';
import { beforeEach, describe, expect, test } from 'vitest';
import { failures } from '../../support/failures.ts';

beforeEach(() => setBackend(cpu()));
const f64 = { dtype: 'f64' } as const;
const [ROWS, N] = [20, 7];
const list = (t: Tensor): number[] => [...t.peek()!];
const squares = (values: number[], row: number): number =>
  values.slice(row * N, (row + 1) * N).reduce((s, x) => s + x * x, 0);

describe('errors', () => {
  const x = (): Tensor => ones([2, 3]);
  failures([
    ['rmsNorm: weight [2] does not fit the last axis of x [2, 3]', () => rmsNorm(x(), ones([2]))],
    ['rmsNorm: eps is -1; it must not be negative', () => rmsNorm(x(), ones([3]), -1)],
    ["rmsNorm: x is i32; cast it first: x.cast('f32')", () => rmsNorm(arange(3), ones([3]))],
    ['rmsNorm: dtypes differ: f32 [2, 3] and f64 [3]; cast one of them', () => rmsNorm(x(), ones([3], f64))],
  ]);
});

test.each([1e-12, 1e-5, 1e-2, 1])('eps %s: Σy² = n·ms / (ms + eps)', (eps) => {
  for (const std of [1, 1e-3, 100]) {
    const x = randn([ROWS, N], { key: 1, std, ...f64 });
    const [before, after] = [list(x), list(rmsNorm(x, ones([N], f64), eps))];
    for (let i = 0; i < ROWS; i++) {
      const ms = squares(before, i) / N;
      expect(Math.abs(squares(after, i) - (N * ms) / (ms + eps))).toBeLessThan(1e-13 * N);
    }
  }
});

test('without eps a factor is not seen; the weight comes last; zeros stay zero', () => {
  const [x, w] = [randn([ROWS, N], { key: 2, ...f64 }), randn([N], { key: 3, ...f64 })];
  const plain = (t: Tensor): Tensor => rmsNorm(t, ones([N], f64), 0);
  assertWithin(list(plain(mul(x, 1000))), list(plain(x)), 1e-13, 'scaled');
  assertWithin(list(rmsNorm(x, w, 0)), list(mul(plain(x), w)), 1e-15, 'weight');
  expect(list(rmsNorm(zeros([4]), ones([4])))).toEqual([0, 0, 0, 0]);
});
