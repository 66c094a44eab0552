/** Attention and its gradients: which kernels do it, by the adapter and by the lengths alone. */
import { type AttentionAttrs, type FusedKernel, sizeOf, type View } from '@bax/core';
import type { Gpu } from '../gpu.ts';
import * as blocks from './attention-blocks.ts';
import type { Attention } from './attention-lengths.ts';
import * as tiles from './attention-tiles.ts';
import { borrow } from './borrow.ts';
import { apart } from './map.ts';

export const attention = (gpu: Gpu): Record<string, FusedKernel> => ({
  attention(inputs, outputs, attrs) {
    const a = attentionOf(gpu, inputs, attrs as AttentionAttrs);
    if (!a) return false;
    return borrow(gpu, (fresh) => {
      const [q, k, v] = apart(gpu, fresh, inputs, outputs);
      formOf(gpu, a).attend(gpu, a, q, k, v, outputs[0]);
      return true;
    });
  },
  attentionGrad(inputs, outputs, attrs) {
    const a = attentionOf(gpu, inputs.slice(1), attrs as AttentionAttrs);
    if (!a) return false;
    return borrow(gpu, (fresh) => {
      const [g, q, k, v] = apart(gpu, fresh, inputs, outputs);
      formOf(gpu, a).attendGrad(gpu, a, [g, q, k, v], outputs);
      return true;
    });
  },
});

/** Tiles are for workgroups whose threads run side by side; on a software adapter products are by far the fastest. */
const formOf = (gpu: Gpu, a: Attention): typeof blocks | typeof tiles =>
  !gpu.tuning.software && tiles.takes(gpu, a) ? tiles : blocks;

/** Undefined for what the composed form does: other dtypes, nothing at all, more than a binding holds. */
function attentionOf(
  gpu: Gpu,
  [q, k, v, mask]: readonly View[],
  { causal, scale }: AttentionAttrs,
): Attention | undefined {
  const [batch, heads, queries, depth] = q.shape;
  const [, kvHeads, keys, width] = v.shape;
  const fine = (x: View): boolean => sizeOf(x.shape) > 0 && gpu.fits(x);
  if (![q, k, v].every((x) => x.buffer.type === 'f32' && fine(x))) return undefined;
  if (mask && (mask.buffer.type !== 'i32' || !fine(mask))) return undefined;
  const shape = [batch, heads, queries, keys];
  const a = { batch, heads, kvHeads, queries, keys, depth, width, causal, scale };
  const known = { ...a, mask: mask && broadcast(mask, shape) };
  return formOf(gpu, known).takes(gpu, known) ? known : undefined;
}

function broadcast(view: View, shape: readonly number[]): View {
  const missing = shape.length - view.shape.length;
  const strides = shape.map((_, axis) =>
    axis < missing || view.shape[axis - missing] === 1 ? 0 : view.strides[axis - missing],
  );
  return { ...view, shape, strides };
}
