import { add, matmul, mul, slice, type Tensor } from '@bax/core';
import type { Embedding } from '../layers/embedding.ts';
import type { Linear } from '../layers/linear.ts';
import type { LoraBranch } from './branch.ts';

/** A layer that an adapter can be attached to: each has its weight as a `matrix` [out, in]. */
export type Adaptable = Linear | Embedding;

/** A branch that takes part, and how strongly. */
export interface Active {
  readonly branch: LoraBranch;
  readonly weight: number;
}

/**
 * Rows `start` to `end` of W + Σ s B A [end − start, in], for branches that have all of these rows. The products are summed
 * first, so that W's digits are rounded once.
 */
export function changedRows(layer: Adaptable, active: readonly Active[], start: number, end: number): Tensor {
  const deltas = active.flatMap(({ branch, weight }) =>
    branch.products(weight).map(({ A, B, scale }) => {
      const rows = slice(B, 0, start - branch.start, end - branch.start);
      return mul(matmul(rows, A), scale); // [end − start, in]
    }),
  );
  return add(
    slice(layer.matrix, 0, start, end),
    deltas.reduce((a, b) => add(a, b)),
  );
}
