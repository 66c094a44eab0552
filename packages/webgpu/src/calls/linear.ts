import {
  type FusedKernel,
  isContiguous,
  type LoraLinearAttrs,
  permuteView,
  reshapeView,
  sizeOf,
  type View,
} from '@bax/core';
import type { Gpu } from '../gpu.ts';
import type { GpuTensorBuffer } from '../memory.ts';
import { copyInto, fill, freshView } from './map.ts';
import { lowRankMatmul, matmul } from './matmul.ts';
import { along } from './parts.ts';

const up4 = (n: number): number => Math.ceil(n / 4) * 4;

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
 * y = W x + b + Σ s B (A z) in one pass over y: with t = s A z of all branches side by side, and u = Bᵀ of each below the
 * others, in its columns and 0 elsewhere, it is one product with longer rows, [x t] [W; u].
 */
export const loraLinear = (gpu: Gpu): Record<string, FusedKernel> => ({
  loraLinear(inputs, [y], attrs) {
    const { places } = attrs as LoraLinearAttrs;
    const [x, weight] = inputs;
    const branches = places.map((place, i) => {
      const [z, A, B] = inputs.slice(2 + 3 * i, 5 + 3 * i);
      return { ...place, z, A, B };
    });
    const bias = inputs.at(2 + 3 * places.length);
    const [n, k] = weight.shape;
    const m = sizeOf(x.shape.slice(0, -1));
    const rows = (v: View, width: number): View | undefined => reshapeView(v, [m, width]);
    const flat = rows(x, k);
    const seen = branches.map(({ z }) => rows(z, k));
    if (m * n * k === 0 || !flat || seen.includes(undefined) || !isContiguous(y)) return false;
    if (!inputs.every((v) => v.buffer.type === 'f32' && gpu.fits(v))) return false;

    const ranks = branches.map(({ A }) => A.shape[0]);
    const r = ranks.reduce((sum, rank) => sum + rank, 0);
    const [t, u] = [freshView(gpu, [m, up4(r)], 'f32'), freshView(gpu, [up4(r), up4(n)], 'f32')];
    if (r % 4 !== 0) fill(gpu, along(t, 1, r, up4(r) - r), 0);
    if (r % 4 !== 0 || branches.some(({ length }) => length !== n)) fill(gpu, u, 0);
    let at = 0;
    branches.forEach(({ A, B, start, length, scale }, i) => {
      matmul(gpu, seen[i]!, permuteView(A, [1, 0]), along(t, 1, at, ranks[i]), { scale });
      copyInto(gpu, permuteView(B, [1, 0]), along(along(u, 0, at, ranks[i]), 1, start, length));
      at += ranks[i];
    });
    const out = reshapeView(y, [m, n])!;
    const b = permuteView(weight, [1, 0]);
    const done = lowRankMatmul(gpu, {
      a: flat,
      b,
      out,
      m,
      n,
      k,
      scale: 1,
      accumulate: false,
      low: { t, u },
      bias,
    });
    for (const { buffer } of [t, u]) gpu.memory.free(buffer as GpuTensorBuffer);
    return done;
  },
});
