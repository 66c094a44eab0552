import {
  add,
  BaxError,
  crossEntropy,
  foldIn,
  keep,
  ones,
  positions,
  randn,
  reshape,
  slice,
  zeros,
  type Backend,
  type DType,
  type Key,
  type Tensor,
} from '@bax/core';
import { CausalSelfAttention, KeyValueCache, type AttentionContext } from '../layers/attention.ts';
import { Conv1D } from '../layers/conv1d.ts';
import { dropped } from '../layers/dropped.ts';
import { Embedding, type Lookup } from '../layers/embedding.ts';
import { LayerNorm } from '../layers/layer-norm.ts';
import { Linear, type Projection } from '../layers/linear.ts';
import { MLP } from '../layers/mlp.ts';
import { AdaptedLayer } from '../lora/adapted.ts';
import { Module } from '../module.ts';
import type { Gpt2Config } from './gpt2-config.ts';

/** Makes or finds the parameter of a path; `kind` says how it starts when nothing was trained yet. */
export type ParameterSource = (
  path: string,
  shape: readonly number[],
  kind: 'normal' | 'residual' | 'zeros' | 'ones',
) => Tensor;

/** x + attention(norm(x)), then x + mlp(norm(x)). */
export class Gpt2Block extends Module {
  ln_1: LayerNorm;
  attn: CausalSelfAttention;
  ln_2: LayerNorm;
  mlp: MLP;

  constructor(config: Gpt2Config, path: string, get: ParameterSource) {
    super();
    const { n_embd: d, n_inner, layer_norm_epsilon: eps } = config;
    const inner = n_inner ?? 4 * d;
    const conv1d = (name: string, from: number, to: number, kind: 'normal' | 'residual' = 'normal'): Conv1D =>
      new Conv1D(get(`${path}.${name}.weight`, [from, to], kind), get(`${path}.${name}.bias`, [to], 'zeros'));
    const norm = (name: string): LayerNorm =>
      new LayerNorm(
        get(`${path}.${name}.weight`, [d], 'ones'),
        get(`${path}.${name}.bias`, [d], 'zeros'),
        eps,
      );
    this.ln_1 = norm('ln_1');
    this.attn = new CausalSelfAttention(
      conv1d('attn.c_attn', d, 3 * d),
      conv1d('attn.c_proj', d, d, 'residual'),
      config.n_head,
      { attention: config.attn_pdrop, residual: config.resid_pdrop },
    );
    this.ln_2 = norm('ln_2');
    this.mlp = new MLP(
      conv1d('mlp.c_fc', d, inner),
      conv1d('mlp.c_proj', inner, d, 'residual'),
      config.activation_function,
      config.resid_pdrop,
    );
  }

  forward(x: Tensor, context: AttentionContext, layer: number): Tensor {
    const attended = add(x, this.attn.forward(this.ln_1.forward(x), context, layer)); // [B, T, d]
    return add(attended, this.mlp.forward(this.ln_2.forward(attended), context));
  }
}

/** Token and position embeddings, the blocks and the last norm: ids [B, T] → [B, T, d]. */
export class Gpt2Transformer extends Module {
  wte: Lookup;
  wpe: Lookup;
  h: Gpt2Block[];
  ln_f: LayerNorm;
  readonly dropout: number;

  constructor(config: Gpt2Config, wte: Lookup, get: ParameterSource) {
    super();
    const { n_embd: d } = config;
    this.wte = wte;
    this.wpe = new Embedding(get('transformer.wpe.weight', [config.n_positions, d], 'normal'));
    this.h = Array.from(
      { length: config.n_layer },
      (_, i) => new Gpt2Block(config, `transformer.h.${i}`, get),
    );
    this.ln_f = new LayerNorm(
      get('transformer.ln_f.weight', [d], 'ones'),
      get('transformer.ln_f.bias', [d], 'zeros'),
      config.layer_norm_epsilon,
    );
    this.dropout = config.embd_pdrop;
  }

  forward(ids: Tensor, context: AttentionContext = {}): Tensor {
    const time = ids.shape[1]!;
    const start = context.cache?.length ?? 0;
    const place = slice(positions([start + time], 0, ids.backend), 0, start);
    let x = add(this.wte.forward(ids, context), this.wpe.forward(place, context)); // [B, T, d] + [T, d]
    x = dropped(x, this.dropout, this, context);
    this.h.forEach((block, i) => (x = block.forward(x, context, i)));
    if (context.cache) context.cache.length += time;
    return this.ln_f.forward(x);
  }
}

/** GPT-2 with its language-model head, in Hugging Face's names and shapes. */
export class Gpt2 extends Module {
  transformer: Gpt2Transformer;
  /** Its weight is the token embedding itself if `tied` says so. */
  lm_head: Projection;
  readonly config: Gpt2Config;

  /** Parameters come from `get`; see `createGpt2` for a new model and `loadGpt2` for a saved one. */
  constructor(config: Gpt2Config, get: ParameterSource) {
    super();
    this.config = config;
    const wte = new Embedding(get('transformer.wte.weight', [config.vocab_size, config.n_embd], 'normal'));
    this.transformer = new Gpt2Transformer(config, wte, get);
    const tied = config.tie_word_embeddings;
    this.lm_head = new Linear(
      tied ? wte.weight : get('lm_head.weight', [config.vocab_size, config.n_embd], 'normal'),
    );
    if (tied) this.tied = { 'lm_head.weight': 'transformer.wte.weight' };
    this.namedModules();
  }

  /** Where its weights are. */
  get backend(): Backend {
    return this.transformer.ln_f.weight.backend;
  }

  /**
   * ids (i32) [B, T] → logits [B, T, vocab].
   * @throws if ids are no matrix of integers, cached and new tokens exceed n_positions, or `adapters` does not fit the rows or the model.
   */
  forward(ids: Tensor, context: AttentionContext = {}): Tensor {
    this.checkIds(ids, context);
    return this.lm_head.forward(this.transformer.forward(ids, context), context);
  }

  /** Logits of the last position alone: [B, vocab]. What generation needs. */
  lastLogits(ids: Tensor, context: AttentionContext = {}): Tensor {
    this.checkIds(ids, context);
    const hidden = this.transformer.forward(ids, context);
    const last = slice(hidden, 1, hidden.shape[1]! - 1);
    return this.lm_head.forward(reshape(last, [hidden.shape[0]!, hidden.shape[2]!]), context);
  }

  /** The mean cross-entropy in nats of `targets` (i32 [B, T], the token that follows at each place; −100 does not count). */
  loss(ids: Tensor, targets: Tensor, context: AttentionContext = {}): Tensor {
    return crossEntropy(this.forward(ids, context), targets);
  }

  /** An empty cache for `batch` sequences of at most `capacity` tokens. */
  newCache(batch = 1, capacity: number = this.config.n_positions): KeyValueCache {
    const { n_layer, n_head, n_embd } = this.config;
    const { weight } = this.transformer.ln_f;
    return new KeyValueCache(
      n_layer,
      [batch, n_head, Math.min(capacity, this.config.n_positions), n_embd / n_head],
      weight.dtype,
      weight.backend,
    );
  }

  private checkIds(ids: Tensor, { cache, adapters }: AttentionContext): void {
    if (ids.dtype !== 'i32' || ids.rank !== 2)
      throw new BaxError(`gpt2: ids are ${ids.dtype} of rank ${ids.rank}; they must be i32 [batch, time]`);
    if (ids.size === 0) throw new BaxError('gpt2: ids are empty; give at least one token');
    if (adapters && adapters.length !== ids.shape[0])
      throw new BaxError(`gpt2: adapters names ${adapters.length} rows, and ids have ${ids.shape[0]}`);
    const named = adapters?.find((name) => name !== null);
    if (named !== undefined && ![...this.namedModules().values()].some((m) => m instanceof AdaptedLayer))
      throw new BaxError(`gpt2: a row asks for the adapter '${named}', and the model has none`);
    const end = (cache?.length ?? 0) + ids.shape[1]!;
    if (end > this.config.n_positions)
      throw new BaxError(`gpt2: ${end} tokens exceed the model's context of ${this.config.n_positions}`);
    ids.peek()?.forEach((id, i) => {
      if (id < 0 || id >= this.config.vocab_size)
        throw new BaxError(
          `gpt2: token ${id} at position ${i} is outside of the vocabulary of ${this.config.vocab_size}`,
        );
    });
  }
}

export interface CreateGpt2Options {
  readonly key: Key;
  readonly dtype?: DType;
  readonly backend?: Backend;
}

/** A new GPT-2: weights normal with `initializer_range`, those into the residual stream divided by √(2 · n_layer), biases 0. */
export function createGpt2(config: Gpt2Config, { key, ...options }: CreateGpt2Options): Gpt2 {
  const std = config.initializer_range;
  return new Gpt2(config, (path, shape, kind) => {
    if (kind === 'zeros') return keep(zeros(shape, options));
    if (kind === 'ones') return keep(ones(shape, options));
    return keep(
      randn(shape, {
        ...options,
        key: foldIn(key, path),
        std: kind === 'residual' ? std / Math.sqrt(2 * config.n_layer) : std,
      }),
    );
  });
}
