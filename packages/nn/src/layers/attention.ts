import {
  assign,
  attention,
  BaxError,
  foldIn,
  isRecording,
  keep,
  permute,
  reshape,
  slice,
  within,
  zeros,
  type DType,
  type Backend,
  type Tensor,
} from '@bax/core';
import { Module, type Context } from '../module.ts';
import { dropped } from './dropped.ts';
import type { Projection } from './linear.ts';

/** The keys and values of the tokens seen so far, so that each new token costs one row. */
export class KeyValueCache {
  /** Tokens held. */
  length = 0;
  readonly capacity: number;
  readonly layers: { readonly k: Tensor; readonly v: Tensor }[];

  constructor(
    layers: number,
    shape: readonly [batch: number, heads: number, capacity: number, depth: number],
    dtype: DType,
    backend: Backend,
  ) {
    this.capacity = shape[2];
    this.layers = Array.from({ length: layers }, () => ({
      k: keep(zeros(shape, { dtype, backend })),
      v: keep(zeros(shape, { dtype, backend })),
    }));
  }
  dispose(): void {
    for (const { k, v } of this.layers) [k, v].forEach((t) => t.dispose());
  }
}

export interface AttentionContext extends Context {
  readonly cache?: KeyValueCache | undefined;
  /** i32 [B, 1, 1, T]: 0 hides a token (padding) from every query. */
  readonly mask?: Tensor | undefined;
}

/** Multi-head causal self-attention with a fused query-key-value layer. https://arxiv.org/abs/1706.03762 §3.2.2 */
export class CausalSelfAttention extends Module {
  c_attn: Projection;
  c_proj: Projection;
  readonly heads: number;
  readonly dropout: { readonly attention: number; readonly residual: number };

  constructor(
    qkv: Projection,
    proj: Projection,
    heads: number,
    dropout: { readonly attention: number; readonly residual: number } = { attention: 0, residual: 0 },
  ) {
    super();
    const width = qkv.outFeatures / 3;
    if (!Number.isInteger(width / heads))
      throw new BaxError(`attention: ${heads} heads do not divide a width of ${width}`);
    this.c_attn = qkv;
    this.c_proj = proj;
    this.heads = heads;
    this.dropout = dropout;
    qkv.slices = {
      q: { start: 0, length: width },
      k: { start: width, length: width },
      v: { start: 2 * width, length: width },
    };
  }

  /** x [B, T, d] → [B, T, d]. `layer` is this layer's place in the cache. */
  forward(x: Tensor, context: AttentionContext = {}, layer = 0): Tensor {
    return within(this.path, () => {
      const [batch, time, d] = x.shape as [number, number, number];
      const qkv = reshape(this.c_attn.forward(x, context), [batch, time, 3, this.heads, d / this.heads]);
      const [q, k, v] = [0, 1, 2].map((i) =>
        permute(reshape(slice(qkv, 2, i, i + 1), [batch, time, this.heads, d / this.heads]), [0, 2, 1, 3]),
      ) as [Tensor, Tensor, Tensor]; // [B, H, T, D]
      const seen = context.cache ? remember(context.cache, layer, k, v) : { k, v };
      const p = this.dropout.attention;
      const drop =
        context.key && p > 0 ? { dropout: { p, key: foldIn(context.key, `${this.path}.weights`) } } : {};
      const y = attention(q, seen.k, seen.v, {
        causal: true,
        ...(context.mask ? { mask: context.mask } : {}),
        ...drop,
      });
      const joined = reshape(permute(y, [0, 2, 1, 3]), [batch, time, d]);
      return dropped(this.c_proj.forward(joined, context), this.dropout.residual, this, context);
    });
  }
}

function remember(cache: KeyValueCache, layer: number, k: Tensor, v: Tensor): { k: Tensor; v: Tensor } {
  if (isRecording() && (k.tracked || v.tracked))
    throw new BaxError(
      'cache: keys and values would lose their gradients in it; run the model inside noGrad()',
    );
  const held = cache.layers[layer]!;
  const [from, to] = [cache.length, cache.length + k.shape[2]!];
  if (to > cache.capacity)
    throw new BaxError(`cache: ${to} tokens do not fit into a cache of ${cache.capacity}`);
  assign(slice(held.k, 2, from, to), k);
  assign(slice(held.v, 2, from, to), v);
  return { k: slice(held.k, 2, 0, to), v: slice(held.v, 2, 0, to) };
}
