import { linalg, type Matrix } from '@bax/nn';
import fc from 'fast-check';
import { describe, expect, it, test } from 'vitest';
import { lanczos } from '../../../packages/nn/src/linalg/truncated-svd.ts';
import { runs } from '../../support/runs.ts';
import { failure } from '../files/support.ts';
import { diagonal, expectOrthonormal, matrices, minus, randomMatrix } from './support.ts';

const { at, frobenius, matrix, qr, scaled, singularValues, svd, times, truncatedSvd, turned } = linalg;

/** Orthonormal, M v = σ u and Mᵀ u = σ v, and σ the r largest of `values`. */
function expectLeading({ U, S, V }: linalg.Svd, m: Matrix, r: number, values: ArrayLike<number>): void {
  expect([U.rows, U.columns, S.length, V.rows, V.columns]).toEqual([m.rows, r, r, m.columns, r]);
  expectOrthonormal(U, 'UᵀU = I');
  expectOrthonormal(V, 'VᵀV = I');
  const top = values[0]!;
  S.forEach((s, i) => expect(Math.abs(s - values[i]!), `σ_${i + 1}`).toBeLessThanOrEqual(1e-13 * top));
  expect([...S]).toEqual([...S].sort((a, b) => b - a));
  for (const [name, off] of [
    ['M v − σ u', minus(times(m, V), times(U, diagonal(S)))],
    ['Mᵀ u − σ v', minus(times(turned(m), U), times(V, diagonal(S)))],
  ] as const)
    for (let j = 0; j < r; j++)
      expect(frobenius(matrix(off.rows, 1, (i) => at(off, i, j))), name).toBeLessThanOrEqual(1e-12 * top);
}
/** A matrix whose singular values are known, however many steps it takes to find them. */
const withSpectrum = (m: number, n: number, values: ArrayLike<number>, seed = 1): Matrix => {
  const [U, V] = [qr(randomMatrix(m, values.length, seed)).Q, qr(randomMatrix(n, values.length, seed + 1)).Q];
  return times(times(U, diagonal(values)), turned(V));
};
const spectrum = (n: number, value: (i: number) => number): Float64Array =>
  Float64Array.from({ length: n }, (_, i) => value(i));

describe('lanczos', () => {
  it('finds the leading triplets that svd finds: any shape, any rank, rows and columns of any size, any r', () => {
    fc.assert(
      fc.property(matrices({ max: 14 }), fc.nat(), (m, seed) => {
        const r = 1 + (seed % Math.min(m.rows, m.columns));
        expectLeading(lanczos(m, r), m, r, svd(m).S);
      }),
      runs(300),
    );
  });

  it('of larger random matrices, tall, wide and square', () => {
    for (const [m, n, r] of [[90, 40, 5], [40, 90, 1], [64, 64, 10], [30, 30, 30], [150, 1, 1], [1, 150, 1]] as const) // prettier-ignore
      expectLeading(lanczos(randomMatrix(m, n, m + n), r), randomMatrix(m, n, m + n), r, singularValues(randomMatrix(m, n, m + n))); // prettier-ignore
  });

  it.each<[string, Float64Array, number[]]>([
    ['that falls fast', spectrum(60, (i) => 2 ** -i), [1, 8, 45]],
    ['that falls slowly', spectrum(60, (i) => 1 / (1 + i)), [1, 8]],
    ['that is nearly flat', spectrum(60, (i) => 1 - i / 1e4), [1, 8]],
    ['of one that towers', spectrum(60, (i) => (i ? 1e-9 * (1 - i / 100) : 1)), [1, 4]],
    ['of rank 3', spectrum(60, (i) => (i < 3 ? 3 - i : 0)), [1, 3, 4, 20]],
    ['of rank 3, just above rounding', spectrum(60, (i) => [1, 1, 1e-13][i] ?? 0), [2, 3, 5]],
    ['of equal ones', spectrum(60, () => 1), [1, 7, 60]],
    ['of two kinds', spectrum(60, (i) => (i < 30 ? 2 : 1)), [1, 7, 30, 33]],
    ['of pairs', spectrum(60, (i) => 0.8 ** (i >> 1)), [1, 2, 5, 8]],
    ['whose first is a pair', spectrum(60, (i) => 0.95 ** Math.max(1, i)), [1, 2, 6]],
    ['whose r-th equals those behind it', spectrum(60, (i) => (i < 3 ? 3 - i / 4 : 2)), [3, 4, 5]],
    ['that is nearly flat but for a pair', spectrum(60, (i) => 1 - (i === 6 ? 5 : i) / 100), [6, 7, 8]],
    ['with a triple far behind', spectrum(60, (i) => 1 / Math.max(1, i < 9 && i > 5 ? 6 : i)), [6, 7, 8, 9]],
    ['of pairs that differ by rounding', spectrum(60, (i) => 0.8 ** (i >> 1) - (i % 2) * 1e-15), [3, 4]],
    ['of pairs that differ by a little', spectrum(60, (i) => 0.8 ** (i >> 1) - (i % 2) * 1e-11), [3, 4]],
    ['of zeros', spectrum(60, () => 0), [1, 5]],
  ])('finds a spectrum %s', (_, values, ranks) => {
    for (const r of ranks) {
      const m = withSpectrum(80, 60, values, r);
      expectLeading(lanczos(m, r), m, r, values);
      expectLeading(lanczos(turned(m), r), turned(m), r, values);
    }
  });

  it('of a pair among many that are nearly as large', () => {
    const values = spectrum(150, (i) => (i < 2 ? 1 : i === 2 ? 0.995 : 0.985 * (1 - (i - 3) / 147)));
    const m = withSpectrum(160, 150, values);
    for (const r of [1, 2, 3]) expectLeading(lanczos(m, r), m, r, values);
  });

  it('of two, three or four times the same block: each run from one start sees each value once', () => {
    const block = randomMatrix(30, 20, 3);
    const values = svd(block).S;
    for (const copies of [2, 3, 4]) {
      const m = matrix(30 * copies, 20 * copies, (i, j) => Math.floor(i / 30) === Math.floor(j / 20) ? at(block, i % 30, j % 20) : 0); // prettier-ignore
      for (const r of [1, 4, 5, 12])
        expectLeading(lanczos(m, r), m, r, spectrum(r, (i) => values[Math.floor(i / copies)]!)); // prettier-ignore
    }
  });
});

describe('truncatedSvd', () => {
  it('of large matrices, and of small ones, and of all values', () => {
    for (const [m, n, r] of [
      [170, 140, 8],
      [140, 150, 70],
      [129, 150, 1],
      [20, 9, 3],
      [9, 20, 9],
    ] as const) {
      // prettier-ignore
      const M = randomMatrix(m, n, m);
      expectLeading(truncatedSvd(M, r), M, r, singularValues(M));
    }
  });

  it('is homogeneous, also near the ends of f64, and the same at each call', () => {
    for (const M of [randomMatrix(140, 150, 11), randomMatrix(7, 5, 11)]) {
      const { U, S, V } = truncatedSvd(M, 3);
      for (const unit of [1, 2 ** 1000, 2 ** -950])
        expect(truncatedSvd(scaled(M, unit), 3)).toEqual({ U, S: S.map((s) => s * unit), V });
    }
  });

  it('of large matrices with repeated values and of none', () => {
    const eye = matrix(200, 150, (i, j) => (i === j ? 5 : 0));
    expectLeading(truncatedSvd(eye, 6), eye, 6, spectrum(6, () => 5)); // prettier-ignore
    const zero = matrix(150, 200, () => 0);
    expectLeading(truncatedSvd(zero, 6), zero, 6, spectrum(6, () => 0)); // prettier-ignore
  });

  test('what is not a number, or not a number of values, is refused', async () => {
    for (const n of [3, 150])
      expect(
        await failure(() =>
          truncatedSvd(
            matrix(n, n, (i) => (i ? 1 : NaN)),
            1,
          ),
        ),
      ).toBe(
        // prettier-ignore
        `truncatedSvd: the matrix [${n}, ${n}] has an entry that is not a finite number`,
      );
    for (const r of [0, -1, 1.5, 4, NaN])
      expect(await failure(() => truncatedSvd(randomMatrix(3, 5, 1), r))).toBe(
        `truncatedSvd: r is ${r}; it counts singular values of [3, 5], which has 3`,
      );
  });
});
