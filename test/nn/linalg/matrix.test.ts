import { linalg } from '@bax/nn';
import { describe, expect, it, test } from 'vitest';
import { failure } from '../files/support.ts';

const { absolute, at, firstColumns, frobenius, inner, matrix, plus, rowsOf, scaled, times, turned } = linalg;

describe('matrices, by hand', () => {
  const a = matrix(2, 3, [1, 2, 3, 4, 5, 6]);
  it('products, sums and parts', () => {
    expect(times(a, turned(a))).toEqual(matrix(2, 2, [14, 32, 32, 77]));
    expect(times(turned(a), a)).toEqual(matrix(3, 3, [17, 22, 27, 22, 29, 36, 27, 36, 45]));
    expect(turned(a)).toEqual(matrix(3, 2, [1, 4, 2, 5, 3, 6]));
    expect(plus(a, scaled(a, -2))).toEqual(scaled(a, -1));
    expect(absolute(scaled(a, -1))).toEqual(a);
    expect(rowsOf(a, 1, 1)).toEqual(matrix(1, 3, [4, 5, 6]));
    expect(firstColumns(a, 2)).toEqual(matrix(2, 2, [1, 2, 4, 5]));
    expect([at(a, 0, 2), at(a, 1, 0), inner(a.data, a.data)]).toEqual([3, 4, 91]);
    expect(matrix(2, 2, (i, j) => 10 * i + j)).toEqual(matrix(2, 2, [0, 1, 10, 11]));
  });
  it('of no rows or columns', () => {
    expect(times(matrix(2, 0, []), matrix(0, 2, []))).toEqual(matrix(2, 2, [0, 0, 0, 0]));
    expect(frobenius(matrix(0, 4, []))).toBe(0);
  });
  it('has memory of its own', () => {
    const data = new Float64Array([1, 2]);
    const m = matrix(1, 2, data);
    data[0] = 9;
    expect(at(m, 0, 0)).toBe(1);
  });
});

test('frobenius: 3, 4, 5 at any size', () => {
  for (const unit of [1, 2 ** 1000, 2 ** -1060])
    expect(frobenius(matrix(1, 2, [3 * unit, -4 * unit]))).toBe(5 * unit);
  expect(frobenius(matrix(1, 2, [1, Infinity]))).toBe(Infinity);
  expect(frobenius(matrix(1, 2, [1, NaN]))).toBeNaN();
});

test('shapes that do not fit are refused', async () => {
  expect(await failure(() => matrix(2, 2, [1, 2, 3]))).toBe('matrix: 3 values do not fill [2, 2]');
  const [a, b] = [matrix(2, 3, () => 1), matrix(2, 2, () => 1)];
  expect(await failure(() => times(a, b))).toBe('times: inner dimensions differ: [2, 3] x [2, 2]');
  expect(await failure(() => plus(a, b))).toBe('plus: shapes differ: [2, 3] and [2, 2]');
});
