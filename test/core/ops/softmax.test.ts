import { assertWithin, gamma, UNIT_ROUNDOFF } from '@bax/check';
import {
  add,
  arange,
  logSoftmax,
  randn,
  setBackend,
  softmax,
  type Tensor,
  tensor,
  transpose,
} from '@bax/core';
import { cpu } from '@bax/cpu';
import { beforeEach, describe, expect, test } from 'vitest';
import { failures } from '../../support/failures.ts';

beforeEach(() => setBackend(cpu()));
const list = (t: Tensor): number[] => [...t.peek()!];

describe('errors', () => {
  failures([
    ['softmax: there is no axis 2 in a tensor of rank 2', () => softmax(tensor([[1]]), 2)],
    ['softmax: there is no axis -1 in a tensor of rank 0', () => softmax(tensor(1))],
    ["softmax: x is i32; cast it first: x.cast('f32')", () => softmax(arange(3))],
    ["logSoftmax: x is i32; cast it first: x.cast('f32')", () => logSoftmax(arange(3))],
  ]);
});

test('by hand, along either axis', () => {
  const x = tensor(Float64Array.of(0, Math.log(3), 0, Math.log(3)), { shape: [2, 2] });
  assertWithin(list(softmax(x)), [0.25, 0.75, 0.25, 0.75], 1e-15, 'rows');
  assertWithin(list(softmax(x, 0)), [0.5, 0.5, 0.5, 0.5], 0, 'columns');
  assertWithin(list(softmax(transpose(x), 0)), [0.25, 0.25, 0.75, 0.75], 1e-15, 'columns of the transpose');
});

describe.each(['f64', 'f32'] as const)('P36: %s', (dtype) => {
  const u = UNIT_ROUNDOFF[dtype];
  const [rows, n] = [50, 17];

  test('rows sum to 1 within γ_n', () => {
    const p = list(softmax(randn([rows, n], { key: 1, std: 5, dtype })));
    for (let i = 0; i < rows; i++) {
      const sum = p.slice(i * n, (i + 1) * n).reduce((a, b) => a + b, 0);
      expect(Math.abs(sum - 1)).toBeLessThanOrEqual(gamma(n + 2, u));
    }
  });

  test.each([1, -30, 1e4, -1e4])('softmax(x + %s) = softmax(x) within what rounding x + c costs', (c) => {
    const x = randn([rows, n], { key: 2, dtype });
    const [p, shifted] = [list(softmax(x)), list(softmax(add(x, c)))];
    // Each x_i + c is off by at most u·|x_i + c|, and so are the exponents, relatively.
    const bound = 4 * u * (Math.abs(c) + 10) + gamma(2 * n, u);
    assertWithin(shifted, p, (i) => bound * p[i], 'shifted');
  });

  test('logSoftmax = log softmax, and stays exact far out', () => {
    const x = randn([rows, n], { key: 3, std: 3, dtype });
    const p = list(softmax(x));
    assertWithin(list(logSoftmax(x)), p.map(Math.log), (i) => 32 * u * (1 + Math.abs(Math.log(p[i]))), 'log');
    const far = list(logSoftmax(tensor([1e4, 1e4, 1e4 - 100], { dtype })));
    assertWithin(far, [-Math.LN2, -Math.LN2, -100 - Math.LN2], 200 * u, 'far out'); // not 1e4 u: the size of x is no matter
  });
});

test('-Infinity hides an entry', () => {
  expect(list(softmax(tensor([1, -Infinity, 1])))).toEqual([0.5, 0, 0.5]);
});
