import { linalg } from '@bax/nn';
import fc from 'fast-check';
import { expect, it } from 'vitest';
import { addVectors, boundOf, valueOf } from '../../../packages/nn/src/linalg/bidiagonal.ts';
import { fromColumns, type Columns } from '../../../packages/nn/src/linalg/qr.ts';
import { runs } from '../../support/runs.ts';
import { diagonal, expectOrthonormal, minus, randomMatrix } from './support.ts';

const { frobenius, matrix, svd, times, turned } = linalg;

it('all values, and their vectors: of any entries that are not zero, with values that are tiny or nearly equal', () => {
  const size = fc.oneof(fc.integer({ min: 1, max: 2 }), fc.double({ min: 0.1, max: 1, noNaN: true }), fc.constantFrom(1e-4, 1e-8, 1e-13)); // prettier-ignore
  const entry = fc.tuple(size, fc.boolean()).map(([x, negative]) => (negative ? -x : x));
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: 12 }),
      fc.array(entry, { minLength: 23, maxLength: 23 }),
      (n, all) => {
        const entries = all.slice(0, 2 * n - 1);
        const B = matrix(n, n, (i, j) => (j === i ? entries[2 * i]! : j === i + 1 ? entries[2 * i + 1]! : 0));
        const { S } = svd(B);
        const top = boundOf(entries);
        expect(top).toBeGreaterThanOrEqual(S[0]! * (1 - 1e-15));
        const [left, right]: [Columns, Columns] = [[], []];
        const values = Float64Array.from(S, (s, i) => {
          const value = valueOf(entries, i, top, top * 2 ** -60);
          expect(Math.abs(value - s)).toBeLessThanOrEqual(1e-14 * top);
          addVectors(entries, value, randomMatrix(2 * n, 1, i + 1).data, left, right);
          return value;
        });
        const [U, V] = [fromColumns(left, n), fromColumns(right, n)];
        expectOrthonormal(V, 'V');
        expectOrthonormal(U, 'U');
        expect(frobenius(minus(times(B, V), times(U, diagonal(values))))).toBeLessThanOrEqual(1e-13 * top);
        expect(frobenius(minus(times(turned(B), U), times(V, diagonal(values))))).toBeLessThanOrEqual(1e-13 * top); // prettier-ignore
      },
    ),
    runs(300),
  );
});
