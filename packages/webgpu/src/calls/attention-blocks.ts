/**
 * Attention of some queries at a time, as products and a softmax between them: the scores of a block of queries and all keys
 * that it sees are in memory, never those of all queries. It takes any depth. Keys behind the last that a causal block
 * sees are left out. The backward pass computes the weights anew.
 */
import type { View } from '@bax/core';
import type { Gpu } from '../gpu.ts';
import { attentionWeights, attentionWeightsGrad } from '../wgsl.generated.ts';
import type { Attention } from './attention-lengths.ts';
import { borrow, type Fresh } from './borrow.ts';
import { matmul } from './matmul.ts';
import { along, transposed } from './views.ts';

/** Queries of a block, at most. */
const BLOCK = 128;
/** Threads of a workgroup. */
const SIZE = { software: 8, other: 64 };

/** Whether the scores of one query fit into a binding. */
export const takes = (gpu: Gpu, a: Attention): boolean => queriesOfBlock(gpu, a) > 0;

/** As many as a binding holds the scores of. */
function queriesOfBlock(gpu: Gpu, { batch, heads, keys }: Attention): number {
  return Math.min(BLOCK, Math.floor(gpu.maxBinding / (batch * heads * vectors(keys) * 16)));
}
const vectors = (length: number): number => Math.ceil(length / 4);

interface Block {
  readonly start: number;
  readonly rows: number;
  /** How many keys it sees. */
  readonly seen: number;
  readonly first: boolean;
}
/** The last block first: it sees all keys. */
function* blocksOf(gpu: Gpu, a: Attention): Generator<Block> {
  const { queries, keys } = a;
  const most = queriesOfBlock(gpu, a);
  const count = Math.ceil(queries / most);
  for (let i = count - 1; i >= 0; i--) {
    const start = i * most;
    const rows = Math.min(most, queries - start);
    // A query whose mask hides all that is before it weighs all keys alike, those after it too.
    const seen = a.causal && !a.mask ? keys - queries + start + rows : keys;
    yield { start, rows, seen, first: i === count - 1 };
  }
}

/** y = softmax(scale · q kᵀ) v. */
export function attend(gpu: Gpu, a: Attention, q: View, k: View, v: View, y: View): void {
  for (const block of blocksOf(gpu, a)) {
    const { start, rows, seen } = block;
    borrow(gpu, (fresh) => {
      const w = weights(gpu, a, block, q, k, scores(fresh, a, block));
      matmul(gpu, w, shared(a, along(v, 2, 0, seen)), grouped(a, along(y, 2, start, rows)));
    });
  }
}

/**
 * With W the weights, dW = g vᵀ and dS = scale · W ∘ (dW − rowsum(dW ∘ W)): ∂q = dS k, ∂k = dSᵀ q, ∂v = Wᵀ g, the latter
 * two summed over the query heads of a group.
 */
export function attendGrad(
  gpu: Gpu,
  a: Attention,
  [g, q, k, v]: readonly View[],
  [dq, dk, dv]: readonly View[],
): void {
  for (const block of blocksOf(gpu, a)) {
    const { start, rows, seen, first } = block;
    const rowsOf = (x: View): View => grouped(a, along(x, 2, start, rows));
    const keysOf = (x: View): View => along(x, 2, 0, seen);
    borrow(gpu, (fresh) => {
      const w = weights(gpu, a, block, q, k, scores(fresh, a, block));
      const d = scores(fresh, a, block);
      matmul(gpu, rowsOf(g), transposed(shared(a, keysOf(v))), d);
      overGroup(gpu, w, rowsOf(g), keysOf(dv), !first);
      weightsGrad(gpu, a, block, w, d);
      matmul(gpu, d, shared(a, keysOf(k)), rowsOf(dq));
      overGroup(gpu, d, rowsOf(q), keysOf(dk), !first);
    });
  }
}

/** out (+)= Σ over the heads of a group of xᵀ rows, as its transpose rowsᵀ x: so x, the largest, is read as it lies. */
function overGroup(gpu: Gpu, x: View, rows: View, out: View, accumulate: boolean): void {
  for (let i = 0; i < x.shape[2]; i++)
    matmul(gpu, transposed(member(rows, i)), member(x, i), transposed(out), {
      accumulate: accumulate || i > 0,
    });
}

/** Memory for the scores of a block: [B, Hkv, H / Hkv, rows, seen], whose rows are whole vectors of four. */
function scores(fresh: Fresh, { batch, heads, kvHeads }: Attention, { rows, seen }: Block): View {
  const full = fresh([batch, kvHeads, heads / kvHeads, rows, vectors(seen) * 4], 'f32');
  return { ...full, shape: full.shape.with(4, seen) };
}

/** The weights, in memory for the scores. */
function weights(gpu: Gpu, a: Attention, block: Block, q: View, k: View, s: View): View {
  const { start, rows, seen } = block;
  const queries = grouped(a, along(q, 2, start, rows));
  matmul(gpu, queries, transposed(shared(a, along(k, 2, 0, seen))), s, { scale: a.scale });
  const { params, variant, workgroups, mask } = rowwise(gpu, a, block, q);
  gpu.about(q, k);
  gpu.run(attentionWeights, variant, [mask, gpu.bind(s)], params, workgroups);
  return s;
}

function weightsGrad(gpu: Gpu, a: Attention, block: Block, w: View, d: View): void {
  const { params, variant, workgroups, mask } = rowwise(gpu, a, block, w);
  gpu.about(w);
  const bound = [mask, gpu.bind(w), gpu.bind(d)];
  gpu.run(attentionWeightsGrad, variant, bound, { ...params, scale: a.scale }, workgroups);
}

/** What both kernels are told. Where there is no mask, `other` takes its binding. */
function rowwise(gpu: Gpu, a: Attention, { start, rows, seen }: Block, other: View) {
  const { mask } = a;
  const count = a.batch * a.heads * rows;
  const size = gpu.tuning.software ? SIZE.software : SIZE.other;
  const bound = gpu.bind(mask ? along(mask, 2, start, rows) : other);
  const params = {
    mask: mask?.strides ?? [],
    maskAt: mask ? bound.base : 0,
    heads: a.heads,
    queries: rows,
    keys: seen,
    row: vectors(seen),
    behind: a.keys - a.queries + start,
    causal: a.causal ? 1 : 0,
    masked: mask ? 1 : 0,
    count,
  };
  const variant = { constants: { SIZE: size } };
  return { params, variant, workgroups: Math.ceil(count / size), mask: bound };
}

/** [B, H, T, D] → [B, Hkv, H / Hkv, T, D]. */
function grouped({ heads, kvHeads }: Attention, x: View): View {
  const group = heads / kvHeads;
  const [b, h, t, d] = x.strides;
  return { ...x, shape: [x.shape[0], kvHeads, group, ...x.shape.slice(2)], strides: [b, h * group, h, t, d] };
}
/** [B, Hkv, T, D] → [B, Hkv, H / Hkv, T, D]: the heads of a group see the same. */
function shared({ heads, kvHeads }: Attention, x: View): View {
  return { ...x, shape: x.shape.toSpliced(2, 0, heads / kvHeads), strides: x.strides.toSpliced(2, 0, 0) };
}
/** One head of each group: [B, Hkv, H / Hkv, T, D] → [B, Hkv, T, D]. */
function member(x: View, i: number): View {
  const one = along(x, 2, i, 1);
  return { ...one, shape: one.shape.toSpliced(2, 1), strides: one.strides.toSpliced(2, 1) };
}
