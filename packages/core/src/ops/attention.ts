import { positions } from '../create.ts';
import { apply, applyAll, defineOp, type Draw, type Op, type Sample } from '../op.ts';
import type { Key } from '../rng.ts';
import { composite } from '../scope.ts';
import { broadcastShapes, sameShape, showShape, type Shape } from '../shape.ts';
import type { Tensor } from '../tensor.ts';
import { fail, like, wantFloat, wantIndex, wantSameDtype } from './check.ts';
import { add, le, mul, sub, where } from './elementwise.ts';
import { dropout } from './dropout.ts';
import { matmul } from './matmul.ts';
import { sum } from './reduce.ts';
import { softmax } from './softmax.ts';
import { reshape, transpose } from './view.ts';

export interface AttentionAttrs {
  readonly causal: boolean;
  readonly scale: number;
}
/** A score so low that e^score is 0; finite, since WGSL has no infinity. */
const MASKED = -1e30;

/** Splits the query heads into groups that share a key-value head: [B, H, T, D] → [B, Hkv, H / Hkv, T, D]. */
const grouped = (q: Tensor, kvHeads: number): Tensor =>
  reshape(q, [q.shape[0]!, kvHeads, q.shape[1]! / kvHeads, q.shape[2]!, q.shape[3]!]);

/** What is broadcast to [B, H, Tq, Tk], as something broadcast to [B, Hkv, G, Tq, Tk]. */
function byHead(m: Tensor, kvHeads: number): Tensor {
  if (m.rank < 3) return m;
  const [heads, tq, tk] = m.shape.slice(-3) as [number, number, number];
  const split = heads === 1 ? [1, 1] : [kvHeads, heads / kvHeads];
  return reshape(m, [m.rank === 4 ? m.shape[0]! : 1, ...split, tq, tk]);
}

/** `scores` [B, Hkv, G, Tq, Tk] with `value` wherever a query must not look. */
function hide(scores: Tensor, value: number, mask: Tensor | undefined, causal: boolean): Tensor {
  const [kvHeads, tq, tk] = [scores.shape[1]!, scores.shape[3]!, scores.shape[4]!];
  let y = mask ? where(byHead(mask, kvHeads), scores, value) : scores;
  if (causal) {
    const [row, column] = [positions([tq, tk], 0, y.backend), positions([tq, tk], 1, y.backend)];
    y = where(le(sub(column, tk - tq), row), y, value); // aligned at the bottom right: the last query sees every key
  }
  return y;
}

/** softmax(scale · q kᵀ), masked: [B, Hkv, G, Tq, Tk]. */
function weights(
  q: Tensor,
  k: Tensor,
  mask: Tensor | undefined,
  { causal, scale }: AttentionAttrs,
  bias?: Tensor,
): Tensor {
  const kvHeads = k.shape[1]!;
  const scores = mul(matmul(grouped(q, kvHeads), transpose(grouped(k, kvHeads))), scale); // [B, Hkv, G, Tq, Tk]
  return softmax(hide(bias ? add(scores, byHead(bias, kvHeads)) : scores, MASKED, mask, causal));
}

const attend = (p: Tensor, q: Tensor, v: Tensor): Tensor =>
  reshape(matmul(p, grouped(v, v.shape[1]!)), [...q.shape.slice(0, 3), v.shape[3]!]);

const ungroup = (x: Tensor, like: Tensor): Tensor => reshape(x, like.shape);
/** A gradient [B, Hkv, G, T, D] summed over the query heads of each group. */
const overGroup = (x: Tensor, like: Tensor): Tensor => ungroup(sum(x, 2), like);

function fits(name: string, m: Tensor, full: Shape): void {
  const both = broadcastShapes(m.shape, full);
  if (!both || !sameShape(both, full))
    fail('attention', `${name} ${showShape(m.shape)} does not broadcast to ${showShape(full)}`);
}

type Input = Sample<AttentionAttrs>['inputs'][number];
function anyHeads(draw: Draw): Sample<AttentionAttrs> {
  const [b, kvHeads, group, d] = [
    draw.integer(1, 2),
    draw.integer(1, 2),
    draw.integer(1, 2),
    draw.integer(1, 4),
  ];
  const tq = draw.integer(1, 4);
  const [tk, h] = [tq + draw.integer(0, 2), kvHeads * group];
  const mask = draw.pick([[tq, tk], [tk], [h, 1, tk], [b, 1, 1, tk], [1, h, tq, tk]]);
  const inputs = [
    { shape: [b, h, tq, d] },
    { shape: [b, kvHeads, tk, d] },
    { shape: [b, kvHeads, tk, draw.integer(1, 4)] },
    { shape: mask, dtype: 'i32' as const, range: [0, 1] as const },
  ];
  return {
    inputs: inputs.slice(0, draw.integer(3, 4)),
    attrs: { causal: draw.integer(0, 1) === 1, scale: 1 / Math.sqrt(d) },
  };
}

/**
 * ∂q, ∂k and ∂v of attention, from g and its inputs: with P the weights, dP = g vᵀ and dS = scale · P ∘ (dP − rowsum(dP ∘ P)),
 * ∂q = dS k, ∂k = dSᵀ q, ∂v = Pᵀ g, the latter two summed over the query heads that share a key head.
 */
export const attentionGradOp: Op<AttentionAttrs> = defineOp({
  name: 'attentionGrad',
  domain(draw) {
    const { inputs, attrs } = anyHeads(draw);
    const [q, , v] = inputs as [Input, Input, Input];
    return { inputs: [{ shape: [...q.shape.slice(0, 3), v.shape[3]!] }, ...inputs], attrs };
  },
  out: ([, q, k, v]) => [q!, k!, v!].map(({ shape, dtype }) => ({ shape, dtype })),
  compose([g, q, k, v, mask], attrs) {
    const p = weights(q!, k!, mask, attrs);
    const gGrouped = grouped(g!, k!.shape[1]!);
    const dp = matmul(gGrouped, transpose(grouped(v!, v!.shape[1]!)));
    const dSoftmax = mul(mul(p, sub(dp, sum(mul(dp, p), -1, { keepDims: true }))), attrs.scale);
    // P is 0 where a key is hidden, but in a row that sees no key at all: its P are equal, whatever q and k are.
    const dScores = mask ? hide(dSoftmax, 0, mask, attrs.causal) : dSoftmax;
    return [
      ungroup(matmul(dScores, grouped(k!, k!.shape[1]!)), q!),
      overGroup(matmul(transpose(dScores), grouped(q!, k!.shape[1]!)), k!),
      overGroup(matmul(transpose(p), gGrouped), v!),
    ];
  },
  fused: 'attentionGrad',
});

export const attentionOp: Op<AttentionAttrs> = defineOp({
  name: 'attention',
  domain: anyHeads,
  out([q, k, v, mask], { causal }) {
    const shapes = `q ${showShape(q!.shape)}, k ${showShape(k!.shape)}, v ${showShape(v!.shape)}`;
    for (const x of [q!, k!, v!]) {
      wantFloat('attention', x);
      wantSameDtype('attention', q!, x);
      if (x.rank !== 4) fail('attention', `needs [batch, heads, time, depth]: ${shapes}`);
    }
    const [b, heads, tq, d] = q!.shape as [number, number, number, number];
    const [bk, kvHeads, tk, dk] = k!.shape as [number, number, number, number];
    if (bk !== b || dk !== d || !sameShape(k!.shape.slice(0, 3), v!.shape.slice(0, 3)))
      fail('attention', `batch, key time or depth differ: ${shapes}`);
    if (kvHeads === 0 || heads % kvHeads !== 0)
      fail('attention', `${heads} query heads are not a multiple of ${kvHeads} key heads: ${shapes}`);
    if (causal && tk < tq) fail('attention', `causal needs at least as many keys as queries: ${shapes}`);
    if (mask) wantIndex('attention', mask, 'mask');
    if (mask) fits('mask', mask, [b, heads, tq, tk]);
    return like(q!, [b, heads, tq, v!.shape[3]!]);
  },
  compose: ([q, k, v, mask], attrs) => attend(weights(q!, k!, mask, attrs), q!, v!),
  vjp: ({ g, x, attrs, index, shared }) =>
    index === 3 ? undefined : shared(() => applyAll(attentionGradOp, [g, ...x], attrs))[index],
  fused: 'attention',
});

export interface AttentionOptions {
  /** A query sees the keys up to its own position, counted from the end (so that it fits a cache). Default false. */
  readonly causal?: boolean;
  /** i32, broadcast to [B, H, Tq, Tk]: 0 hides a key. A query all of whose keys are hidden gives the mean of v. */
  readonly mask?: Tensor;
  /** Added to the scores, broadcast to [B, H, Tq, Tk]. It may be tracked. */
  readonly bias?: Tensor;
  /** Default 1 / √D. */
  readonly scale?: number;
  /** Applied to the attention weights. */
  readonly dropout?: { readonly p: number; readonly key: Key };
}

/**
 * softmax(scale · q kᵀ + bias) v for q [B, H, Tq, D], k [B, Hkv, Tk, D], v [B, Hkv, Tk, Dv] → [B, H, Tq, Dv]; H is a
 * multiple of Hkv, whose heads serve H / Hkv query heads each. https://arxiv.org/abs/1706.03762 §3.2
 */
export function attention(q: Tensor, k: Tensor, v: Tensor, options: AttentionOptions = {}): Tensor {
  const { causal = false, mask, bias, dropout: drop } = options;
  const attrs = { causal, scale: options.scale ?? 1 / Math.sqrt(q.shape.at(-1) ?? 1) };
  const inputs = mask ? [q, k, v, mask] : [q, k, v];
  if (!bias && !drop) return apply(attentionOp, inputs, attrs);
  attentionOp.out(inputs, attrs); // the same checks; then the composition itself goes on the tape
  if (bias) fits('bias', bias, [...q.shape.slice(0, 3), k.shape[2]!]);
  return composite(() => {
    const p = weights(q, k, mask, attrs, bias);
    return attend(drop ? dropout(p, drop) : p, q, v);
  });
}
