/** The small GPT that is trained by us and by the peers, from the same weights on the same batch. */
import { key, scope, tensor, valueAndGrad, type Backend, type Tensor } from '@bax/core';
import { adamW, createGpt2, gpt2Config, type Gpt2, type Optimizer } from '@bax/nn';

export interface GptSize {
  readonly layers: number;
  readonly width: number;
  readonly heads: number;
  readonly context: number;
  readonly batch: number;
  readonly vocab: number;
}

export const SMALL: GptSize = { layers: 4, width: 128, heads: 4, context: 128, batch: 8, vocab: 256 };
export const TINY: GptSize = { layers: 2, width: 32, heads: 2, context: 32, batch: 2, vocab: 64 };

export const showSize = ({ layers, width, heads, context, batch, vocab }: GptSize): string =>
  `${layers} layers, d = ${width}, ${heads} heads, T = ${context}, batch ${batch}, vocabulary ${vocab}`;

/** AdamW's settings, for everyone. */
export const ADAMW = { lr: 1e-3, betas: [0.9, 0.999], eps: 1e-8, weightDecay: 0.01 } as const;
export const LAYER_NORM_EPS = 1e-5;

/** A new model, its output head not tied to the embedding; the same weights each time. */
export const openGpt = (size: GptSize, backend: Backend): Gpt2 =>
  createGpt2(
    gpt2Config({
      n_layer: size.layers,
      n_embd: size.width,
      n_head: size.heads,
      n_positions: size.context,
      vocab_size: size.vocab,
      layer_norm_epsilon: LAYER_NORM_EPS,
      resid_pdrop: 0,
      embd_pdrop: 0,
      attn_pdrop: 0,
      tie_word_embeddings: false,
      bos_token_id: null,
      eos_token_id: null,
    }),
    { key: key(0), backend },
  );

export interface Batch {
  /** [batch · context] */
  readonly ids: Int32Array;
  /** The token that follows at each place. */
  readonly targets: Int32Array;
}

/** Tokens that have something to learn: each follows from the one before, but for some noise. */
export function batchOf({ batch, context, vocab }: GptSize): Batch {
  const [ids, targets] = [new Int32Array(batch * context), new Int32Array(batch * context)];
  let token = 1;
  for (let i = 0; i < ids.length; i++) {
    ids[i] = token;
    token = (5 * token + 3 + (i % 7 === 0 ? i : 0)) % vocab;
    targets[i] = token;
  }
  return { ids, targets };
}

/** One step of AdamW on `params` of the model. */
export interface Trainer {
  readonly optimizer: Optimizer;
  /** Enqueues a step; the loss before it, to be freed by the caller. `seen` is told which pass is done. */
  readonly step: (seen?: (pass: 'forward' | 'backward') => void) => Tensor;
  /** A step, awaited; the loss before it. */
  readonly run: () => Promise<number>;
}

export function trainer(model: Gpt2, params: readonly Tensor[], size: GptSize, backend: Backend): Trainer {
  const optimizer = adamW(params, ADAMW);
  const { ids, targets } = batchOf(size);
  const shape = [size.batch, size.context];
  const place = (tokens: Int32Array): Tensor => tensor(tokens, { shape, backend });
  const step: Trainer['step'] = (seen) =>
    scope(() => {
      const { value, grads } = valueAndGrad(() => {
        const loss = model.loss(place(ids), place(targets));
        seen?.('forward');
        return loss;
      }, params);
      seen?.('backward');
      optimizer.step(grads);
      return value;
    });
  const run = async (): Promise<number> => {
    const loss = step();
    const value = await loss.item();
    loss.dispose();
    return value;
  };
  return { optimizer, step, run };
}
