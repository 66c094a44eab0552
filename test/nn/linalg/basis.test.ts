import fc from 'fast-check';
import { expect, it } from 'vitest';
import { addCombined, along, orthogonalise } from '../../../packages/nn/src/linalg/basis.ts';
import { columnsOf, dot } from '../../../packages/nn/src/linalg/qr.ts';
import { linalg } from '@bax/nn';
import { runs } from '../../support/runs.ts';
import { randomMatrix } from './support.ts';

const { qr, matrix, times, turned } = linalg;

it('along and addCombined are products with a matrix and with its transpose: exact of whole numbers, any shape', () => {
  const side = fc.integer({ min: 1, max: 11 });
  fc.assert(
    fc.property(side, side, fc.integer({ min: 1 }), fc.integer({ min: -3, max: 3 }), (m, n, seed, s) => {
      const whole = (rows: number, columns: number, more: number): linalg.Matrix => {
        const { data } = randomMatrix(rows, columns, seed + more);
        return matrix(rows, columns, data.map((x) => Math.round(9 * x) + 0)); // prettier-ignore
      };
      const [M, x, y] = [whole(m, n, 0), whole(n, 1, 1), whole(m, 1, 2)];
      const rows = columnsOf(turned(M));
      expect(along(rows, x.data)).toEqual(times(M, x).data);
      const back = times(turned(M), y).data;
      expect(addCombined(Float64Array.from(x.data), rows, y.data, s)).toEqual(x.data.map((v, i) => v + (s * back[i]! + 0))); // prettier-ignore
    }),
    runs(200),
  );
});

it('orthogonalise: what is left is a unit vector at right angles to the basis, however little it is; its length', () => {
  const basis = columnsOf(qr(randomMatrix(40, 20, 1)).Q);
  const across = Float64Array.from(randomMatrix(40, 1, 2).data);
  orthogonalise(across, basis);
  for (const length of [1e3, 1, 1e-3, 1e-6, 1e-9]) {
    const x = across.map((v) => length * v);
    addCombined(x, basis, randomMatrix(20, 1, 3).data);
    expect(Math.abs(orthogonalise(x, basis) - length)).toBeLessThan(1e-14 * Math.max(1, length));
    expect(Math.abs(dot(x, x) - 1)).toBeLessThan(1e-14);
    for (const v of basis) expect(Math.abs(dot(x, v))).toBeLessThan(1e-15);
  }
  for (const x of [new Float64Array(40), Float64Array.from(randomMatrix(40, 1, 4).data)])
    expect(orthogonalise(x, [...columnsOf(qr(randomMatrix(40, 40, 5)).Q)])).toBe(0);
});
