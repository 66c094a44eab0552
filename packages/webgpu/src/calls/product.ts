/** A product of matrices, and what every kernel for it is told. */
import type { collapse, View } from '@bax/core';
import { innermostFirst } from './views.ts';

export interface Product {
  readonly a: View;
  /** The one factor that the fast kernels widen as they read: a weight, see `canBeB`. */
  readonly b: View;
  readonly out: View;
  readonly m: number;
  readonly n: number;
  readonly k: number;
  readonly scale: number;
  readonly accumulate: boolean;
  /** Terms beyond those of a and b: t [m, r] u [r, n], of a product without a batch. */
  readonly low?: { readonly t: View; readonly u: View } | undefined;
  /** [n], added to each row. */
  readonly bias?: View | undefined;
}

/** Whether the fast kernels read it as it is held. */
export const canBeB = ({ buffer: { type } }: View): boolean =>
  type === 'f32' || type === 'f16' || type === 'bf16';

/** With so few rows (generation) or columns a tile would be mostly empty. */
export const FEW_ROWS = 4;

/** Lengths of the batch's axes, and a's, b's and out's strides along them. */
export type Batch = ReturnType<typeof collapse>;
/** Axes of the batch that a kernel walks. */
export const BATCH_AXES = 4;
export const NO_BATCH: Batch = { shape: [], strides: [[], [], []] };

/** Strides of a, b and out along the batch's axes as a kernel's parameters, in units of so many elements. */
export const batchStrides = ({ strides }: Batch, unit: number): number[][] =>
  strides.map((s) => innermostFirst(unit === 1 ? s : s.map((x) => x / unit), 0));
