import { BaxError } from '@bax/core';
import { activationOf } from '../layers/mlp.ts';

/** GPT-2's config.json, with Hugging Face's names. Sizes count elements. */
export interface Gpt2Config {
  readonly vocab_size: number;
  readonly n_positions: number;
  readonly n_embd: number;
  readonly n_layer: number;
  readonly n_head: number;
  /** The MLP's inner width; null means 4 · n_embd. */
  readonly n_inner: number | null;
  readonly activation_function: string;
  readonly layer_norm_epsilon: number;
  readonly initializer_range: number;
  readonly resid_pdrop: number;
  readonly embd_pdrop: number;
  readonly attn_pdrop: number;
  readonly tie_word_embeddings: boolean;
  readonly bos_token_id: number | null;
  readonly eos_token_id: number | null;
}

/** GPT-2 small's, https://huggingface.co/openai-community/gpt2 */
const defaults: Gpt2Config = {
  vocab_size: 50257,
  n_positions: 1024,
  n_embd: 768,
  n_layer: 12,
  n_head: 12,
  n_inner: null,
  activation_function: 'gelu_new',
  layer_norm_epsilon: 1e-5,
  initializer_range: 0.02,
  resid_pdrop: 0.1,
  embd_pdrop: 0.1,
  attn_pdrop: 0.1,
  tie_word_embeddings: true,
  bos_token_id: 50256,
  eos_token_id: 50256,
};

/** Options that change the computation and that bax has not: only these values are taken. */
const only: Readonly<Record<string, unknown>> = {
  scale_attn_weights: true,
  scale_attn_by_inverse_layer_idx: false,
  add_cross_attention: false,
};

/**
 * Fills in the defaults and checks every field.
 * @throws if a field is missing its kind or range, or asks for maths that bax has not; the message names it.
 */
export function gpt2Config(given: Readonly<Record<string, unknown>>, where = 'config.json'): Gpt2Config {
  const bad = (message: string): never => {
    throw new BaxError(`${where}: ${message}`);
  };
  if (given['model_type'] !== undefined && given['model_type'] !== 'gpt2')
    bad(`model_type is ${JSON.stringify(given['model_type'])}; this loader reads 'gpt2'`);
  for (const [name, value] of Object.entries(only))
    if (given[name] !== undefined && given[name] !== value)
      bad(`${name}: ${JSON.stringify(given[name])} is not supported, only ${JSON.stringify(value)}`);
  const own = Object.fromEntries(
    Object.keys(defaults).flatMap((name) => (given[name] === undefined ? [] : [[name, given[name]]])),
  );
  const config = { ...defaults, ...own } as Gpt2Config;
  for (const name of ['vocab_size', 'n_positions', 'n_embd', 'n_layer', 'n_head', 'n_inner'] as const) {
    const value = config[name];
    if (name === 'n_inner' && value === null) continue;
    if (!Number.isSafeInteger(value) || value! < 1 || value! > 2 ** 24)
      bad(`${name} is ${JSON.stringify(value)}, not a size from 1 to 2^24`);
  }
  for (const name of ['resid_pdrop', 'embd_pdrop', 'attn_pdrop'] as const)
    if (!(typeof config[name] === 'number' && config[name] >= 0 && config[name] < 1))
      bad(`${name} is ${JSON.stringify(config[name])}, not a probability in [0, 1)`);
  for (const name of ['layer_norm_epsilon', 'initializer_range'] as const)
    if (!(typeof config[name] === 'number' && config[name] >= 0 && config[name] < 10))
      bad(`${name} is ${JSON.stringify(config[name])}`);
  for (const name of ['bos_token_id', 'eos_token_id'] as const)
    if (config[name] !== null && !Number.isSafeInteger(config[name]))
      bad(`${name} is ${JSON.stringify(config[name])}, not a token`);
  if (typeof config.tie_word_embeddings !== 'boolean') bad('tie_word_embeddings is neither true nor false');
  if (config.n_embd % config.n_head !== 0)
    bad(`n_head (${config.n_head}) does not divide n_embd (${config.n_embd})`);
  try {
    activationOf(config.activation_function);
  } catch (error) {
    bad((error as BaxError).message);
  }
  return config;
}
