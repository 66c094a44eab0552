import { assertSameBits } from '@bax/check';
import {
  add,
  arange,
  dropout,
  dropoutMask,
  foldIn,
  grad,
  key,
  mul,
  ones,
  randomBits,
  reshape,
  setBackend,
  sum,
  type Tensor,
  tensor,
  transpose,
} from '@bax/core';
import { cpu } from '@bax/cpu';
import { beforeEach, describe, expect, test } from 'vitest';
import { failures } from '../../support/failures.ts';

beforeEach(() => setBackend(cpu()));
const list = (t: Tensor): number[] => [...t.peek()!];
const k = key(7);

describe('errors', () => {
  failures([
    ['dropout: p is 1; it must lie in [0, 1)', () => dropout(ones([2]), { p: 1, key: k })],
    ['dropout: p is -0.1; it must lie in [0, 1)', () => dropout(ones([2]), { p: -0.1, key: k })],
    ['dropout: p is NaN; it must lie in [0, 1)', () => dropout(ones([2]), { p: NaN, key: k })],
    ["dropout: x is i32; cast it first: x.cast('f32')", () => dropout(arange(2), { p: 0.5, key: k })],
  ]);
});

test('the mask is 24 random bits against an integer threshold', () => {
  for (const p of [0.1, 0.5, 0.75]) {
    const bits = [...randomBits(k, 1001)].map((b) => b >>> 8);
    expect(list(dropoutMask(ones([7, 11, 13]), p, k))).toEqual(
      bits.map((b) => Number(b >= Math.round(p * 2 ** 24))),
    );
  }
});

test('how many stay is binomial', () => {
  const n = 1e5;
  for (const p of [0.1, 0.5, 0.9]) {
    const kept = list(sum(dropoutMask(ones([n]), p, k)))[0];
    expect(Math.abs(kept - n * (1 - p))).toBeLessThan(5 * Math.sqrt(n * p * (1 - p)));
  }
});

test.each([0.5, 0.75])(
  'P44: y = mask ∘ x / (1 − p), and the same mask in the gradient: bits, p = %s',
  (p) => {
    const x = tensor(
      Float32Array.from({ length: 60 }, (_, i) => i - 30),
      { shape: [3, 4, 5], requiresGrad: true },
    );
    const mask = list(dropoutMask(x, p, k));
    const y = dropout(x, { p, key: k });
    assertSameBits(list(y), list(x).map((v, i) => (v * mask[i]) / (1 - p)), 'y'); // prettier-ignore
    const c = reshape(arange(60, { dtype: 'f32' }), [3, 4, 5]);
    assertSameBits(list(grad(y, [x], { cotangent: c })[0]), list(c).map((v, i) => (v * mask[i]) / (1 - p)), '∂x'); // prettier-ignore
  },
);

test('the mask goes by position, whatever the strides of x and of the gradient', () => {
  const x = reshape(arange(12, { dtype: 'f32' }), [3, 4]);
  x.requiresGrad = true;
  const [y, plain] = [
    dropout(transpose(x), { p: 0.5, key: k }),
    dropout(transpose(x).add(0), { p: 0.5, key: k }),
  ];
  assertSameBits(list(y), list(plain), 'views');
  assertSameBits(list(grad(sum(y), [x])[0]), list(grad(sum(plain), [x])[0]), 'gradients');
});

test('another key, another mask; the same key, the same; p = 0 is x itself', () => {
  const x = ones([1000]);
  const masks = [k, foldIn(k, 0), foldIn(k, 1), foldIn(k, 'q'), foldIn(k, 'v')].map((each) =>
    list(dropout(x, { p: 0.5, key: each })).join(),
  );
  expect(new Set(masks).size).toBe(5);
  expect(list(dropout(x, { p: 0.5, key: k })).join()).toBe(masks[0]);
  expect(dropout(x, { p: 0, key: k })).toBe(x);
});

test('what is dropped may be NaN or infinite', () => {
  const mask = list(dropoutMask(ones([8]), 0.5, k));
  const x = tensor(mask.map((m) => (m ? 1 : NaN)));
  expect(list(dropout(x, { p: 0.5, key: k }))).toEqual(mask.map((m) => 2 * m));
});

test('twice in one program', () => {
  const x = ones([100], { requiresGrad: true });
  const y = add(dropout(x, { p: 0.5, key: foldIn(k, 0) }), dropout(mul(x, 3), { p: 0.5, key: foldIn(k, 1) }));
  const [a, b] = [0, 1].map((i) => list(dropoutMask(x, 0.5, foldIn(k, i))));
  expect(list(grad(sum(y), [x])[0])).toEqual(a.map((m, i) => 2 * m + 6 * b[i]));
});
