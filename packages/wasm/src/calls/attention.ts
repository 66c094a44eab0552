import type { AttentionAttrs, FusedKernel, View } from '@bax/core';
import { attentionGradKernel, attentionKernel, attentionScratch, scoreRow } from '../kernels/attention.ts';
import type { Machine } from '../machine.ts';
import { withFitting } from './borrow.ts';
import { addressIn, allF32 } from './rows.ts';

/** More scratch than that for each thread is not taken: the composed form runs then. */
const MOST_SCRATCH = 2 ** 28;

/** Unmasked attention of f32. */
export const attention = (machine: Machine): Record<string, FusedKernel> => ({
  attention([q, k, v, mask], [y], attrs) {
    const plan = mask ? undefined : planOf(q, k, v, attrs as AttentionAttrs);
    if (!plan) return false;
    const { batch, heads, args, scratch, work } = plan;
    machine.run(attentionKernel, [...args, ...[q, k, v, y].flatMap(stepsOf), plan.scale], batch * heads, 2 * work, scratch);
    return true;
  },
  attentionGrad([g, q, k, v, mask], outputs, attrs) {
    const plan = mask ? undefined : planOf(q, k, v, attrs as AttentionAttrs);
    if (!plan) return false;
    const { batch, kvHeads, args, scratch, work } = plan;
    // The kernel reads rows of g and q as they lie: their depth must lie in one piece.
    const run = (g: View, q: View): void => {
      const tensors = [g, q, k, v, ...outputs].flatMap(stepsOf);
      machine.run(attentionGradKernel, [...args, ...tensors, plan.scale], batch * kvHeads, 5 * work, scratch);
    };
    withFitting(machine, [g, q], run, (view) => view.strides[3] === 1 || view.shape[3] === 1);
    return true;
  },
}); // prettier-ignore

interface Plan {
  readonly batch: number;
  readonly heads: number;
  readonly kvHeads: number;
  readonly scale: number;
  readonly args: readonly number[];
  readonly scratch: number;
  /** Multiplications of one of the products. */
  readonly work: number;
}

function planOf(q: View, k: View, v: View, { causal, scale }: AttentionAttrs): Plan | undefined {
  const [batch, heads, queries, depth] = q.shape;
  const [, kvHeads, keys, width] = v.shape;
  if (!allF32(q, k, v) || [batch, heads, queries, keys, depth, width].includes(0)) return undefined;
  const { offsets, bytes } = attentionScratch(keys, depth, width);
  if (bytes > MOST_SCRATCH) return undefined;
  const shape = [heads, heads / kvHeads, queries, keys, depth, width, causal ? 1 : 0, scoreRow(keys)];
  const work = (batch * heads * queries * keys * Math.max(depth, width)) / (causal ? 2 : 1);
  return { batch, heads, kvHeads, scale, args: [...shape, ...offsets], scratch: bytes, work };
}

const stepsOf = (v: View): number[] => [addressIn(v), ...v.strides.map((stride) => stride * 4)];
