import { linalg, spectrum } from '@bax/nn';
import fc from 'fast-check';
import { expect, it } from 'vitest';
import { runs } from '../../support/runs.ts';
import { diagonal, matrices, randomMatrix } from '../linalg/support.ts';

const { frobenius, matrix, qr, scaled, svdOfProduct, times } = linalg;

it('n equal values have effective and stable rank n; others in between, by hand', () => {
  for (const n of [1, 2, 5]) {
    const { rank, effectiveRank, stableRank } = spectrum(diagonal(Array(n).fill(3), 6, 7));
    expect([rank, stableRank]).toEqual([n, n]);
    expect(effectiveRank).toBeCloseTo(n, 12);
  }
  const { values, frobenius: norm, effectiveRank, stableRank } = spectrum(diagonal([1, 2, 1]));
  expect([...values]).toEqual([2, 1, 1]);
  expect(norm).toBeCloseTo(Math.sqrt(6), 14);
  expect(effectiveRank).toBeCloseTo(2 ** 1.5, 14); // entropy of 1/2, 1/4, 1/4: 3/2 bits
  expect(stableRank).toBe(1.5);
});

it('1 ≤ stable ≤ Σσ/σ₁ ≤ effective ≤ rank, whatever the scale and the axes', () => {
  fc.assert(
    fc.property(matrices(), fc.constantFrom(1, -7, 2 ** 300, 2 ** -300), (M, c) => {
      fc.pre(frobenius(M) > 0);
      const { values, rank, effectiveRank, stableRank } = spectrum(scaled(M, c));
      const ladder = [1, stableRank!, values.reduce((a, b) => a + b) / values[0]!, effectiveRank!];
      ladder.slice(1).forEach((x, i) => expect(x).toBeGreaterThanOrEqual(ladder[i]! - 1e-12));
      expect(effectiveRank!).toBeLessThan(rank + 1e-9); // what is below rounding has entropy, too
      const turnedBy = spectrum(times(qr(randomMatrix(M.rows, M.rows, 1)).Q, scaled(M, c)));
      expect(Math.abs(turnedBy.effectiveRank! - effectiveRank!)).toBeLessThan(1e-9);
    }),
    runs(200),
  );
});

it('of zero: rank 0 and no effective rank; of a product: at most as many values as its inner side', () => {
  const { rank, effectiveRank, stableRank, frobenius: norm } = spectrum(matrix(3, 2, () => 0));
  expect([rank, effectiveRank, stableRank, norm]).toEqual([0, undefined, undefined, 0]);
  expect(spectrum(svdOfProduct(randomMatrix(6, 2, 1), randomMatrix(2, 9, 2))).values).toHaveLength(2);
});

it('prints itself', () => {
  expect(String(spectrum(diagonal([4, 2, 0])))).toBe(
    'σ 4.00e+0 2.00e+0 0.00e+0; rank 2, effective 1.89, stable 1.25',
  );
  expect(String(spectrum(matrix(1, 1, [0])))).toBe(
    'σ 0.00e+0; rank 0, effective undefined, stable undefined',
  );
});
