/** The definition of a product, one element at a time: the oracle of matmul. */
import type { DType, MatmulOptions } from '@bax/core';
import { gamma } from '../bounds.ts';
import { type Block, type Lab, set } from './lab.ts';
import { round, roundoffOf } from './numbers.ts';
import { places } from './strided.ts';

/**
 * What `out` must hold, one product after the other. Sums of small integers are exact in any order. In real mode k terms
 * are multiplied, summed, scaled and added to `out`, in any order: within γ of Σ |a| |b|. Higham, §3.1
 */
export function product(
  lab: Lab,
  a: Block,
  b: Block,
  out: Block,
  { scale = 1, accumulate = false }: MatmulOptions,
  real: boolean,
): void {
  const type = out.view.buffer.type as DType;
  const [x, y] = [lab.values(a), lab.values(b)];
  const [m, k, n] = [...a.at.shape.slice(-2), b.at.shape.at(-1)!];
  const bound = real ? gamma(k + 4, roundoffOf(type, lab.u)) * (type === 'f64' ? 2 : 1) : 0; // the oracle is f64, too
  /** The first place of each of the batch. */
  const batch = ({ at }: Block): Int32Array =>
    places({ ...at, shape: at.shape.slice(0, -2), strides: at.strides.slice(0, -2) });
  const [ofA, ofB, ofOut] = [batch(a), batch(b), batch(out)];
  const [[aRow, aColumn], [bRow, bColumn], [row, column]] = [a, b, out].map(({ at }) => at.strides.slice(-2));
  ofOut.forEach((first, t) => {
    for (let i = 0; i < m; i++) {
      for (let j = 0; j < n; j++) {
        const target = first + i * row + j * column;
        const before = accumulate ? out.data[target] : 0;
        let [p, q, sum, size] = [ofA[t] + i * aRow, ofB[t] + j * bColumn, 0, 0];
        if (type === 'i32')
          for (let h = 0; h < k; h++, p += aColumn, q += bRow) sum = (sum + Math.imul(x[p], y[q])) | 0;
        else
          for (let h = 0; h < k; h++, p += aColumn, q += bRow) {
            const term = x[p] * y[q];
            sum += term;
            size += Math.abs(term);
          }
        const scaled = type === 'i32' ? Math.imul(sum, scale) : sum * scale;
        const allowed = bound * (Math.abs(scale) * size + Math.abs(before)) + (real ? 2 ** -100 : 0);
        set(out, target, round[type](scaled + before), allowed);
      }
    }
  });
}
