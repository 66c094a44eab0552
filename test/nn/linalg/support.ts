import { linalg, type Matrix } from '@bax/nn';
import fc from 'fast-check';
import { expect } from 'vitest';
import { largest } from '../support/numbers.ts';

const { matrix, plus, scaled, times, turned } = linalg;

export const U53 = 2 ** -53;

export const eye = (n: number): Matrix => matrix(n, n, (i, j) => (i === j ? 1 : 0));
export const minus = (a: Matrix, b: Matrix): Matrix => plus(a, scaled(b, -1));
/** diag(values) as [rows, columns]. */
export const diagonal = (values: ArrayLike<number>, rows = values.length, columns = rows): Matrix =>
  matrix(rows, columns, (i, j) => (i === j ? (values[i] ?? 0) : 0));

/** max |UᵀU − I|. */
export const askew = (U: Matrix): number => largest(minus(times(turned(U), U), eye(U.columns)).data);

/** Rounding grows with the number of rotations or reflections that meet an entry: measured 1 to 30 units, for sides of 1 to 300. */
export const units = (m: Matrix): number => (20 + 4 * Math.max(m.rows, m.columns)) * U53;

export const expectOrthonormal = (U: Matrix, what: string): void => {
  expect(askew(U), what).toBeLessThanOrEqual(units(U));
};

/** A matrix of given shape: of any rank, whole or real numbers, rows and columns of any size (2^±60) or of one. */
export const matrices = ({ min = 1, max = 9 } = {}): fc.Arbitrary<Matrix> =>
  fc
    .record({
      rows: fc.integer({ min, max }),
      columns: fc.integer({ min, max }),
      inner: fc.integer({ min: 0, max }),
      whole: fc.boolean(),
      graded: fc.constantFrom(0, 0, 3, 60),
      seed: fc.integer({ min: 1 }),
    })
    .map(({ rows, columns, inner, whole, graded, seed }) => {
      const random = stream(seed);
      const draw = (m: number, n: number): Matrix =>
        matrix(m, n, () => (whole ? Math.round(random() * 8 - 4) : random() * 2 - 1));
      const grade = (n: number): Float64Array =>
        Float64Array.from({ length: n }, () => 2 ** Math.round((random() - 0.5) * 2 * graded));
      const flat = inner >= Math.min(rows, columns) ? draw(rows, columns) : times(draw(rows, inner), draw(inner, columns)); // prettier-ignore
      return times(times(diagonal(grade(rows)), flat), diagonal(grade(columns)));
    });

/** Numbers in [0, 1), the same for the same seed. Marsaglia's xorshift. */
export function stream(seed: number): () => number {
  let state = seed | 0 || 1;
  return () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) / 2 ** 32;
  };
}
export const randomMatrix = (rows: number, columns: number, seed: number): Matrix => {
  const random = stream(seed);
  for (let i = 0; i < 8; i++) random();
  return matrix(rows, columns, () => random() * 2 - 1);
};
