import { linalg, type Matrix } from '@bax/nn';
import fc from 'fast-check';
import { describe, expect, it, test } from 'vitest';
import { bigRows, exactRank } from '../support/host.ts';
import { failure } from '../files/support.ts';
import { runs } from '../../support/runs.ts';
import { diagonal, expectOrthonormal, matrices, minus, randomMatrix, stream, U53, units } from './support.ts';

const { frobenius, lowRank, matrix, qr, rankOf, scaled, singularValues, svd, svdOfProduct, times, turned } =
  linalg;

const product = ({ U, S, V }: linalg.Svd): Matrix => times(times(U, diagonal(S)), turned(V));

function expectSvd(found: linalg.Svd, m: Matrix, size = frobenius(m)): void {
  const { U, S, V } = found;
  expectOrthonormal(U, 'UᵀU = I');
  expectOrthonormal(V, 'VᵀV = I');
  expect([...S]).toEqual([...S].sort((a, b) => b - a));
  expect(Math.min(0, ...S)).toBe(0);
  expect(frobenius(minus(product(found), m)), 'U diag(S) Vᵀ = M').toBeLessThanOrEqual(units(m) * size);
}
const law = (m: Matrix): void => {
  const found = svd(m);
  const p = Math.min(m.rows, m.columns);
  const { U, S, V } = found;
  expect([U.rows, U.columns, S.length, V.rows, V.columns]).toEqual([m.rows, p, p, m.columns, p]);
  expectSvd(found, m);
  const alone = singularValues(m);
  S.forEach((s, i) => expect(Math.abs(s - alone[i]!)).toBeLessThanOrEqual(units(m) * (S[0] ?? 0)));
};
const orthogonal = (n: number, seed: number): Matrix => qr(randomMatrix(n, n, seed)).Q;

describe('svd', () => {
  it('M = U diag(S) Vᵀ with orthonormal U and V: any shape, any rank, rows and columns of any size', () => {
    fc.assert(fc.property(matrices(), law), runs(300));
  });

  it('of larger matrices, of zeros, of none', () => {
    for (const [m, n] of [
      [70, 40],
      [40, 70],
      [64, 64],
      [90, 1],
      [1, 90],
      [0, 3],
      [3, 0],
    ] as const)
      // prettier-ignore
      law(randomMatrix(m, n, m * n));
    for (const [m, n] of [[1, 1], [5, 3], [3, 5], [6, 6]] as const) law(matrix(m, n, () => 0)); // prettier-ignore
    law(matrix(20, 20, () => 1));
    law(times(randomMatrix(60, 3, 1), randomMatrix(3, 50, 2)));
    law(matrix(30, 30, (i, j) => 1 / (i + j + 1))); // Hilbert's: σ falls below rounding
    // Kahan's: pivoting does not see that it is nearly singular
    law(matrix(30, 30, (i, j) => Math.sin(1.2) ** i * (i === j ? 1 : i < j ? -Math.cos(1.2) : 0)));
  });

  it('finds a spectrum that was put in', () => {
    for (const [m, n, spectrum] of [
      [8, 8, [8, 7, 6, 5, 4, 3, 2, 1]],
      [12, 5, [3, 1e-3, 1e-6, 1e-9, 1e-12]],
      [5, 12, [1, 1, 1, 0.5, 0.5]], // equal ones: vectors are not unique, values are
      [9, 7, [4, 2, 0, 0, 0, 0, 0]],
      [6, 6, [1, 1, 1, 1, 1, 1]],
    ] as const) {
      const M = times(times(orthogonal(m, 3), diagonal(spectrum, m, n)), orthogonal(n, 5));
      const { S } = svd(M);
      spectrum.forEach((s, i) => expect(Math.abs(S[i]! - s)).toBeLessThanOrEqual(units(M) * spectrum[0]));
    }
  });

  it('of whole numbers: diagonals, permutations and signs exactly, and 2 x 2 by the formula', () => {
    expect([...svd(diagonal([3, -7, 0, 5], 4, 6)).S]).toEqual([7, 5, 3, 0]);
    expect([...svd(matrix(3, 3, [0, 2, 0, 0, 0, -4, 9, 0, 0])).S]).toEqual([9, 4, 2]);
    expect([...svd(matrix(1, 2, [3, 4])).S]).toEqual([5]);
    fc.assert(
      fc.property(fc.array(fc.integer({ min: -99, max: 99 }), { minLength: 4, maxLength: 4 }), (v) => {
        const [a, b, c, d] = v as [number, number, number, number];
        // σ₁ ± σ₂ are the lengths of these
        const [sum, difference] = [Math.hypot(a + d, b - c), Math.hypot(a - d, b + c)];
        const [most, least] = svd(matrix(2, 2, v)).S;
        expect(Math.abs(most! - (sum + difference) / 2)).toBeLessThanOrEqual(20 * U53 * most!);
        expect(Math.abs(least! - Math.abs(sum - difference) / 2)).toBeLessThanOrEqual(20 * U53 * most!);
      }),
      runs(100),
    );
  });

  it('tiny values of graded columns to nearly all their digits, in whatever order they come', () => {
    const n = 6;
    const R = matrix(n, n, (i, j) => (i === j ? 1 : j > i ? 0.5 : 0));
    for (const size of [(i: number) => -10 * i, (i: number) => 10 * i, (i: number) => 7 * (i % 2 ? i : -i)]) {
      const powers = Array.from({ length: n }, (_, i) => size(i));
      const D = diagonal(powers.map((p) => 2 ** (3 * p)));
      for (const left of [R, turned(R)]) {
        // det M = Π σ = Π D, since R is triangular with ones
        const bits = [...svd(times(left, D)).S].reduce((sum, s) => sum + Math.log2(s), 0);
        expect(Math.abs(bits - 3 * powers.reduce((a, b) => a + b))).toBeLessThan(1e-12);
      }
    }
  });

  it('what is too small to square beside the largest entry counts as zero, and its vectors are orthonormal all the same', () => {
    for (const step of [-10, -20, -40, 40]) {
      const M = times(randomMatrix(30, 15, 9), diagonal(Array.from({ length: 15 }, (_, j) => 10 ** (step * (j - 7)) || 0))); // prettier-ignore
      for (const m of [M, turned(M)]) law(m);
    }
    // σ² = 2^-1072 has one digit: its vector would have, too
    for (const small of [2 ** -536.4, 2 ** -530.7, 2 ** -499]) {
      law(times(orthogonal(3, 2), diagonal([1, small, 0])));
      law(turned(times(orthogonal(3, 4), diagonal([1, small, small / 3]))));
    }
  });

  it('is homogeneous, also near the ends of f64', () => {
    const M = randomMatrix(7, 5, 11);
    const { S } = svd(M);
    for (const unit of [2 ** 1000, 2 ** -950, -(2 ** 3)]) {
      const found = svd(scaled(M, unit));
      expectSvd(found, scaled(M, unit));
      expect([...found.S]).toEqual([...S].map((s) => s * Math.abs(unit)));
    }
  });

  it('is invariant under rotations on either side and under turning', () => {
    const M = randomMatrix(8, 6, 7);
    const { S } = svd(M);
    for (const other of [times(orthogonal(8, 1), M), times(M, orthogonal(6, 2)), turned(M)])
      svd(other).S.forEach((s, i) => expect(Math.abs(s - S[i]!)).toBeLessThanOrEqual(units(M) * S[0]!));
  });

  it('a column of it: M v = σ u, Mᵀ u = σ v', () => {
    const M = randomMatrix(9, 4, 3);
    const { U, S, V } = svd(M);
    const near = (a: Matrix, b: Matrix): void => expect(frobenius(minus(a, b))).toBeLessThan(1e-14);
    near(times(M, V), times(U, diagonal(S)));
    near(times(turned(M), U), times(V, diagonal(S)));
  });

  it('refuses what is not a number', async () => {
    const bad = matrix(2, 3, [1, 2, NaN, 3, 4, 5]);
    expect(await failure(() => svd(turned(bad)))).toBe(
      'svd: the matrix [3, 2] has an entry that is not a finite number',
    );
    expect(await failure(() => singularValues(bad))).toMatch(/^singularValues: /);
  });
});

test('lowRank, Eckart and Young: its distance is what the values beyond r leave, and nothing of rank r is nearer', () => {
  fc.assert(
    fc.property(
      matrices({ min: 2 }),
      fc.integer({ min: 0, max: 8 }),
      fc.integer({ min: 1 }),
      (M, r, seed) => {
        const found = svd(M);
        const best = lowRank(found, r);
        const rest = Math.hypot(...found.S.slice(r));
        const noise = units(M) * frobenius(M);
        expect(Math.abs(frobenius(minus(M, best)) - rest)).toBeLessThanOrEqual(noise);
        expect(rankOf(best)).toBeLessThanOrEqual(r);
        const random = stream(seed);
        const other = times(matrix(M.rows, r, () => random() - 0.5), matrix(r, M.columns, () => random() - 0.5)); // prettier-ignore
        for (const near of [other, minus(best, scaled(other, 0)), scaled(best, 1.01)])
          expect(frobenius(minus(M, near))).toBeGreaterThanOrEqual(rest - noise);
      },
    ),
    runs(200),
  );
});

describe('svdOfProduct', () => {
  it('is that of B A, whatever r is beside the sides', () => {
    const side = fc.integer({ min: 1, max: 12 });
    fc.assert(
      fc.property(side, side, side, fc.boolean(), fc.integer({ min: 1 }), (d, r, k, flat, seed) => {
        const [B, A] = [randomMatrix(d, r, seed), randomMatrix(r, k, seed + 1)];
        if (flat) B.data.forEach((_, i) => (B.data[i] = i % r === 0 ? 0 : B.data[i]!)); // a zero column
        const found = svdOfProduct(B, A);
        const p = Math.min(d, r, k);
        expect([found.U.rows, found.U.columns, found.S.length]).toEqual([d, p, p]);
        expect([found.V.rows, found.V.columns]).toEqual([k, p]);
        expectSvd(found, times(B, A), frobenius(B) * frobenius(A));
        const dense = singularValues(times(B, A));
        for (let i = 0; i < p; i++)
          expect(Math.abs(found.S[i]! - dense[i]!)).toBeLessThanOrEqual(
            (40 + 8 * Math.max(d, r, k)) * U53 * frobenius(B) * frobenius(A),
          );
      }),
      runs(200),
    );
  });
  it('of B = 0, as training starts: zeros, and vectors all the same', () => {
    const found = svdOfProduct(matrix(6, 3, () => 0), randomMatrix(3, 5, 1)); // prettier-ignore
    expect([...found.S]).toEqual([0, 0, 0]);
    expectSvd(
      found,
      matrix(6, 5, () => 0),
    );
  });
  it('refuses factors that do not fit', async () => {
    expect(
      await failure(() =>
        svdOfProduct(
          matrix(2, 3, () => 1),
          matrix(2, 2, () => 1),
        ),
      ),
    ).toBe('svdOfProduct: inner dimensions differ: [2, 3] x [2, 2]');
  });
});

describe('rankOf', () => {
  it('is the rank by elimination in whole numbers', () => {
    const whole = fc.integer({ min: -3, max: 3 });
    const ranks = new Set<number>();
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 6 }), fc.integer({ min: 0, max: 6 }), fc.integer({ min: 1, max: 6 }),
        fc.array(whole, { minLength: 72, maxLength: 72 }),
        (m, inner, n, v) => {
          const M = times(matrix(m, inner, v.slice(0, m * inner)), matrix(inner, n, v.slice(36, 36 + inner * n)));
          const rank = exactRank(bigRows(M));
          ranks.add(rank);
          expect(rankOf(M)).toBe(rank);
          expect(rankOf(turned(M))).toBe(rank);
        },
      ), // prettier-ignore
      runs(300),
    );
    expect(ranks.size, 'ranks that were drawn').toBeGreaterThan(4);
  });
  it('counts what exceeds a tolerance', () => {
    const M = diagonal([4, 2, 1]);
    expect([5, 4, 3, 1, 0.5, 0].map((t) => rankOf(M, t))).toEqual([0, 0, 1, 2, 3, 3]);
    expect(rankOf(diagonal([1, 2 ** -48, 2 ** -49], 3, 9)), 'by default 9 · 2^-52').toBe(2);
    expect(rankOf(matrix(3, 3, () => 0))).toBe(0);
    expect(rankOf(matrix(0, 3, []))).toBe(0);
  });
});
