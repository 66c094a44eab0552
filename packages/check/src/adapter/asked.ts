/** What a model with an adapter is asked, so that its outputs can be compared. */
import { BaxError, cast, concat, fromHost, isFloat, isTensor, noGrad, reshape, scope, type Tensor } from '@bax/core'; // prettier-ignore
import type { LoraModel, Module } from '@bax/nn';
import fc from 'fast-check';
import { kindOf } from '../errors.ts';

/**
 * What a model is asked:
 * - a tensor, or several: each is given to the model's `forward`, floats in the model's dtype;
 * - a function of the model that gives a tensor. Floats of its own it takes through `like`, which has them in the model's
 *   dtype: for gradients the model is computed in f64.
 *
 * It must be deterministic, so without dropout, or with a fixed key.
 */
export type Asked<M extends Module> =
  | Tensor
  | readonly Tensor[]
  | ((model: M, like: (x: Tensor) => Tensor) => Tensor);

/** A random case: the factors of the adapter, and token ids where nothing else is asked. */
export interface Case {
  /** 0: as they are; else moved at random, with this key. */
  readonly factors: number;
  readonly ids: readonly number[] | undefined;
}

/** Asks a model, and gives one flat tensor. */
export type Ask<M extends Module> = (model: M, ids: Case['ids']) => Tensor;

const isList = (asked: object): asked is readonly Tensor[] => Array.isArray(asked);
const isLanguageModel = (model: Module): model is Module & { config: { vocab_size: number; n_positions: number } } => {
  const config: unknown = 'config' in model ? model.config : undefined;
  return typeof config === 'object' && config !== null && 'vocab_size' in config && 'n_positions' in config;
}; // prettier-ignore
const hasForward = (model: Module): model is Module & { forward(x: Tensor): Tensor } =>
  'forward' in model && typeof model.forward === 'function';

/** Whether ids must be drawn, since nothing is asked. */
export const drawsIds = <M extends Module>(lora: LoraModel<M>, asked: Asked<M> | undefined): boolean =>
  asked === undefined && isLanguageModel(lora.base);

/** @throws BaxError if nothing is asked and the model takes no token ids, or it has no `forward`. */
export function askOf<M extends Module>(by: string, lora: LoraModel<M>, asked: Asked<M> | undefined): Ask<M> {
  if (asked === undefined && !isLanguageModel(lora.base))
    throw new BaxError(`${by}: say what the model is asked: an input of its forward, or a function (model) => tensor`); // prettier-ignore
  if (typeof asked !== 'function' && !hasForward(lora.base))
    throw new BaxError(`${by}: the model has no forward(x); give a function (model) => tensor instead`);
  return (model, ids) => {
    const weight = model.parameters().find((p) => isFloat(p.dtype));
    const dtype = weight?.dtype ?? 'f32';
    const like = (x: Tensor): Tensor => (isFloat(x.dtype) && x.dtype !== dtype ? cast(x, dtype) : x);
    if (typeof asked === 'function') {
      const y: unknown = asked(model, like);
      if (!isTensor(y)) throw new BaxError(`${by}: the function gave ${kindOf(y)}, not a tensor; it is synchronous`); // prettier-ignore
      return flat(y);
    }
    if (!hasForward(model)) throw new BaxError(`${by}: the model has no forward(x)`);
    const drawn = (): Tensor => fromHost(Int32Array.from(ids!), [1, ids!.length], 'i32', weight ? { backend: weight.backend } : {}); // prettier-ignore
    const inputs = asked === undefined ? [drawn()] : isList(asked) ? asked : [asked];
    const outputs = inputs.map((x) => flat(model.forward(like(x))));
    return outputs.length === 1 ? outputs[0]! : concat(outputs);
  };
}

const flat = (y: Tensor): Tensor => reshape(y, [y.size]);

/** What the model answers, on the host. */
export async function answer<M extends Module>(ask: Ask<M>, model: M, { ids }: Case): Promise<Float64Array> {
  const y = scope(() => noGrad(() => ask(model, ids)));
  try {
    return Float64Array.from(await y.data());
  } finally {
    y.dispose();
  }
}

const MOST_TOKENS = 8;

/** Random cases: factors moved at random, if wanted, and 2 to 8 tokens. */
export function cases(model: Module, { moves, ids }: { moves: boolean; ids: boolean }): fc.Arbitrary<Case> {
  const { vocab_size, n_positions } = isLanguageModel(model)
    ? model.config
    : { vocab_size: 1, n_positions: 1 };
  const most = Math.min(MOST_TOKENS, n_positions);
  const tokens = fc.array(fc.nat(vocab_size - 1), { minLength: Math.min(2, most), maxLength: most, size: 'max' }); // prettier-ignore
  return fc
    .record({ factors: moves ? fc.nat(999) : fc.constant(0), ids: ids ? tokens : fc.constant(undefined) })
    .map((c) => ({ ...c, toString: () => show(c) }));
}

/** The case that is tried first: the factors as they are. */
export function firstCase(model: Module, ids: boolean): Case {
  const length = isLanguageModel(model) ? Math.min(MOST_TOKENS, model.config.n_positions) : 0;
  const vocabulary = isLanguageModel(model) ? model.config.vocab_size : 1;
  const first = {
    factors: 0,
    ids: ids ? Array.from({ length }, (_, i) => (7 * i + 1) % vocabulary) : undefined,
  };
  return { ...first, toString: () => show(first) } as Case;
}

const show = ({ factors, ids }: Case): string =>
  [factors === 0 ? 'the factors as they are' : `factors moved at random (key ${factors})`, ...(ids ? [`token ids ${ids.join(' ')}`] : [])].join(', '); // prettier-ignore
