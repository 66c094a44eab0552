import {
  type FusedKernel,
  type LoraLinearAttrs,
  permuteView,
  reshapeView,
  sizeOf,
  type View,
} from '@bax/core';
import type { Gpu } from '../gpu.ts';
import { borrow } from './borrow.ts';
import { lowRankMatmul, matmul } from './matmul.ts';
import { along } from './views.ts';

/** y = W x + b, the bias added as the product is stored. */
export const linear = (gpu: Gpu): Record<string, FusedKernel> => ({
  linear([x, weight, bias], [y]) {
    const [n, k] = weight.shape;
    const m = sizeOf(x.shape.slice(0, -1));
    const a = reshapeView(x, [m, k]);
    const out = reshapeView(y, [m, n]);
    if (!bias || m * n * k === 0 || !a || !out) return false; // a product like any other
    const b = permuteView(weight, [1, 0]);
    return lowRankMatmul(gpu, { a, b, out, m, n, k, scale: 1, accumulate: false, bias });
  },
});

/**
 * y = W x + b + Σ s B (A z). A branch on all outputs joins W's product as its last terms, with t = s A z: one pass over y on
 * GPUs. Branches on slices add to their slices alone, so that the others keep their very bits.
 */
export const loraLinear = (gpu: Gpu): Record<string, FusedKernel> => ({
  loraLinear(inputs, [y], attrs) {
    const { places } = attrs as LoraLinearAttrs;
    const [x, weight] = inputs;
    const [n, k] = weight.shape;
    const m = sizeOf(x.shape.slice(0, -1));
    const rows = (v: View, width: number): View | undefined => reshapeView(v, [m, width]);
    const branches = places.map((place, i) => {
      const [z, A, B] = inputs.slice(2 + 3 * i, 5 + 3 * i);
      return { ...place, z: rows(z, k), A: permuteView(A, [1, 0]), B: permuteView(B, [1, 0]) };
    });
    const bias = inputs.at(2 + 3 * places.length);
    const [a, out] = [rows(x, k), rows(y, n)];
    if (m * n * k === 0 || !a || !out || branches.some(({ z }) => !z)) return false;
    const b = permuteView(weight, [1, 0]);
    const plain = { a, b, out, m, n, k, scale: 1, accumulate: false, bias };
    return borrow(gpu, (fresh) => {
      const scaled = branches.map(({ z, A, scale }) => {
        const t = fresh([m, A.shape[1]], 'f32');
        matmul(gpu, z!, A, t, { scale });
        return t;
      });
      const whole = branches.length === 1 && branches[0].length === n;
      const low = whole ? { t: scaled[0], u: branches[0].B } : undefined;
      if (!lowRankMatmul(gpu, { ...plain, low })) return false;
      if (!whole)
        branches.forEach(({ B, start, length }, i) => {
          matmul(gpu, scaled[i], B, along(out, 1, start, length), { accumulate: true });
        });
      return true;
    });
  },
});
