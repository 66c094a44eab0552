/** P38. */
import { assertWithin } from '@bax/check';
import {
  add,
  arange,
  full,
  layerNorm,
  mul,
  ones,
  randn,
  setBackend,
  type Tensor,
  tensor,
  zeros,
} from '@bax/core';
import { cpu } from '@bax/cpu';
import { beforeEach, describe, expect, test } from 'vitest';
import { failures } from '../../support/failures.ts';

beforeEach(() => setBackend(cpu()));
const f64 = { dtype: 'f64' } as const;
const [ROWS, N] = [20, 7];
const list = (t: Tensor): number[] => [...t.peek()!];
const rows = (t: Tensor): number[][] =>
  Array.from({ length: ROWS }, (_, i) => list(t).slice(i * N, (i + 1) * N));
const total = (v: number[]): number => v.reduce((a, b) => a + b, 0);
const squares = (v: number[]): number => total(v.map((x) => x * x));
const plain = (x: Tensor, eps?: number): Tensor => layerNorm(x, ones([N], f64), zeros([N], f64), eps);

describe('errors', () => {
  const x = (): Tensor => ones([2, 3]);
  failures([
    [
      'layerNorm: weight [2] does not fit the last axis of x [2, 3]',
      () => layerNorm(x(), ones([2]), ones([3])),
    ],
    [
      'layerNorm: bias [1, 3] does not fit the last axis of x [2, 3]',
      () => layerNorm(x(), ones([3]), ones([1, 3])),
    ],
    [
      'layerNorm: dtypes differ: f32 [2, 3] and f64 [3]; cast one of them',
      () => layerNorm(x(), ones([3]), ones([3], f64)),
    ],
    ['layerNorm: eps is -1; it must not be negative', () => layerNorm(x(), ones([3]), ones([3]), -1)],
    ['layerNorm: eps is NaN; it must not be negative', () => layerNorm(x(), ones([3]), ones([3]), NaN)],
    ["layerNorm: x is i32; cast it first: x.cast('f32')", () => layerNorm(arange(3), ones([3]), ones([3]))],
  ]);
});

describe.each([1e-12, 1e-5, 1e-2, 1])('eps %s', (eps) => {
  test.each([1, 1e-3, 100])(
    'rows of size %s: Σy = 0, Σy² = n·v / (v + eps), v the biased variance',
    (std) => {
      const x = randn([ROWS, N], { key: 1, std, ...f64 });
      const y = rows(plain(x, eps));
      rows(x).forEach((row, i) => {
        const mean = total(row) / N;
        const v = squares(row.map((t) => t - mean)) / N;
        expect(Math.abs(total(y[i]))).toBeLessThan(
          1e-13 * Math.max(1, Math.abs(mean) / Math.sqrt(v + eps)) * N,
        );
        expect(Math.abs(squares(y[i]) - (N * v) / (v + eps))).toBeLessThan(1e-13 * N);
      });
    },
  );
});

test('neither a shift nor, without eps, a factor is seen', () => {
  const x = randn([ROWS, N], { key: 2, ...f64 });
  assertWithin(list(plain(add(x, 100))), list(plain(x)), 1e-12, 'shifted');
  assertWithin(list(plain(mul(x, 1000), 0)), list(plain(x, 0)), 1e-13, 'scaled');
});

test('weight and bias come last', () => {
  const [x, w, b] = [
    randn([ROWS, N], { key: 2, ...f64 }),
    randn([N], { key: 3, ...f64 }),
    randn([N], { key: 4, ...f64 }),
  ];
  assertWithin(list(layerNorm(x, w, b)), list(add(mul(plain(x), w), b)), 1e-15, 'with weight and bias');
});

test('a constant row becomes the bias', () => {
  expect(list(layerNorm(full([1, 4], 5), ones([4]), tensor([1, 2, 3, 4])))).toEqual([1, 2, 3, 4]);
});
