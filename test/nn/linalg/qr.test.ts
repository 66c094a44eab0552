import { linalg } from '@bax/nn';
import fc from 'fast-check';
import { expect, it, test } from 'vitest';
import { failure } from '../files/support.ts';
import { runs } from '../../support/runs.ts';
import { expectOrthonormal, matrices, minus, randomMatrix, units } from './support.ts';

const { at, frobenius, matrix, qr, times } = linalg;

const law = (m: linalg.Matrix): void => {
  const { Q, R } = qr(m);
  const p = Math.min(m.rows, m.columns);
  expect([Q.rows, Q.columns, R.rows, R.columns]).toEqual([m.rows, p, p, m.columns]);
  for (let i = 0; i < p; i++)
    for (let j = 0; j < Math.min(i, m.columns); j++) expect(at(R, i, j), 'below the diagonal').toBe(0);
  expectOrthonormal(Q, 'QᵀQ = I');
  for (let j = 0; j < m.columns; j++) {
    const column = (of: linalg.Matrix): linalg.Matrix => matrix(of.rows, 1, (i) => at(of, i, j));
    // column by column: reflections mix nothing between them
    const off = frobenius(minus(times(Q, column(R)), column(m)));
    expect(off, 'Q R = M').toBeLessThanOrEqual(units(m) * frobenius(column(m)));
  }
};

it('Q R = M, Q orthonormal, R triangular: any shape, any rank, rows and columns of any size', () => {
  fc.assert(fc.property(matrices(), law), runs(300));
});

test('of larger matrices, of zeros, of none', () => {
  for (const [m, n] of [
    [70, 40],
    [40, 70],
    [65, 65],
    [130, 1],
    [1, 130],
    [0, 3],
    [3, 0],
  ] as const)
    // prettier-ignore
    law(randomMatrix(m, n, m + n));
  law(matrix(5, 3, () => 0));
  law(matrix(3, 5, () => 0));
});

test('by hand: 3, 4, 5', () => {
  const { Q, R } = qr(matrix(2, 2, [3, 5, 4, 0]));
  expect(Math.abs(at(R, 0, 0))).toBeCloseTo(5, 14);
  expect(Math.abs(at(R, 0, 1))).toBeCloseTo(3, 14);
  expect(Math.abs(at(R, 1, 1))).toBeCloseTo(4, 14);
  expect(Math.abs(at(Q, 0, 0))).toBeCloseTo(0.6, 15);
});

test('entries near the ends of f64 neither overflow nor vanish', () => {
  for (const unit of [2 ** 1020, 2 ** -1000]) {
    const { Q, R } = qr(matrix(3, 2, [unit, 2 * unit, 3 * unit, 4 * unit, 5 * unit, 7 * unit]));
    expectOrthonormal(Q, `${unit}`);
    expect(Math.abs(at(R, 0, 0) / unit)).toBeCloseTo(Math.sqrt(35), 13);
  }
});

test('what is too small to square beside the largest entry counts as zero', () => {
  const { data } = randomMatrix(6, 4, 3);
  const M = matrix(6, 4, (i, j) => data[i * 4 + j]! * 2 ** (-178 * j)); // the last column: squares of 2^-1068
  const { Q, R } = qr(M);
  expectOrthonormal(Q, 'QᵀQ = I');
  expect(at(R, 3, 3)).toBe(0);
  expect(at(R, 2, 2)).not.toBe(0);
});

test('what is not a number is refused', async () => {
  for (const bad of [NaN, Infinity, -Infinity])
    expect(await failure(() => qr(matrix(2, 2, [1, 2, bad, 3])))).toBe(
      'qr: the matrix [2, 2] has an entry that is not a finite number',
    );
});
