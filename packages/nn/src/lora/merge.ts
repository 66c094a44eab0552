import { BaxError, fromHost, type HalfFloat, keep, narrowed, noGrad, scope, type Tensor } from '@bax/core';
import { type Module, transform } from '../module.ts';
import type { Adapter } from './adapter.ts';
import type { Adaptable } from './changed-rows.ts';
import type { LoraEmbedding } from './lora-embedding.ts';
import type { LoraLinear } from './lora-linear.ts';
import { type MergedLayer, type MergeReport, measure, reportOf } from './merge-report.ts';

export interface Merged<M> {
  /** A plain model of the base's class: the same calls, no adapter in it. It shares every tensor that merging did not change. */
  readonly model: M;
  readonly report: MergeReport;
  /** Frees the weights that merging made, and no other: the base and the adapter stay usable. */
  readonly dispose: () => void;
}
export interface MergeOptions {
  /** A merged weight that is tied to another one becomes a weight of its own; without this such a merge is refused. */
  readonly untie?: boolean;
  /**
   * How merged weights are held. W + s B A is computed in f32 (f64 for models of f64) from the widened W and rounded once.
   * Default: f32 also where W is held in f16 or bf16, since rounding it back can cost more than the adapter changes.
   */
  readonly storage?: 'f32' | HalfFloat;
}

/** A `LoraModel` whose adapters are nobody else's. */
interface Mergeable<M> {
  readonly model: M;
  readonly base: M;
  readonly layers: ReadonlyMap<string, LoraLinear | LoraEmbedding>;
  readonly adapters: ReadonlyMap<string, Adapter>;
  readonly active: ReadonlyMap<string, number>;
  readonly enabled: boolean;
}

/**
 * Replaces every layer that an active adapter changes by a plain one with W + Σ w s B A, and puts what they train whole in the
 * place of the base's. The adapters' factors are freed, and what they train whole becomes the model's.
 * @throws if no adapter is active, a tied weight would change, or a result is not finite (or too large for the storage).
 */
export async function mergeLora<M extends Module>(
  lora: Mergeable<M>,
  options: MergeOptions = {},
): Promise<Merged<M>> {
  const adapters = [...lora.adapters.values()];
  const made = adapters.flatMap(({ full }) => [...full.values()]);
  const dispose = (): void => {
    for (const t of made) t.dispose();
  };
  for (const t of made) t.requiresGrad = false;
  try {
    return { ...(await merged(lora, options, made)), dispose };
  } catch (error) {
    dispose();
    throw error;
  } finally {
    for (const { branches } of adapters)
      for (const branch of branches.values()) for (const [, t] of branch.tensors()) t.dispose();
  }
}

/** Keeps an account of the weights that it makes. */
async function merged<M extends Module>(
  lora: Mergeable<M>,
  { untie = false, storage = 'f32' }: MergeOptions,
  made: Tensor[],
): Promise<Omit<Merged<M>, 'dispose'>> {
  const { model: adapted, base, layers } = lora;
  if (!['f32', 'f16', 'bf16'].includes(storage))
    throw new BaxError(`merge: storage is '${String(storage)}'; choose f32, f16 or bf16`);
  if (!lora.enabled)
    throw new BaxError('merge: the adapter is disabled, so merging would give the base; call enable() first');
  if (lora.active.size === 0)
    throw new BaxError('merge: no adapter is active, so merging would give the base; call activate() first');
  const untied = Object.entries(adapted.tied).filter((pair) =>
    pair.some((name) => layers.has(name.replace(/\.weight$/, ''))),
  );
  if (untied.length > 0 && !untie)
    throw new BaxError(
      `merge: ${untied[0]![0]} is tied to ${untied[0]![1]}; merging would change both. Pass { untie: true } to give the head a weight of its own`,
    );
  const plain = new Map<string, Adaptable>();
  const reports: MergedLayer[] = [];
  for (const [path, layer] of layers) {
    const one = await narrow(path, mergedLayer(layer), storage);
    made.push(one.weight);
    plain.set(path, one);
    reports.push(await measure(path, layer, one));
  }
  const model = transform(adapted, { module: (_, path) => plain.get(path) });
  model.tied = Object.fromEntries(Object.entries(adapted.tied).filter(([name]) => !untied.some(([other]) => other === name))); // prettier-ignore
  if (Object.keys(model.tied).length < Object.keys(base.tied).length && 'config' in model)
    Object.assign(model, { config: { ...(model.config as object), tie_word_embeddings: false } });
  return { model, report: reportOf(reports) };
}

function mergedLayer(layer: LoraLinear | LoraEmbedding): Adaptable {
  return scope(() =>
    noGrad(() => {
      const plain = layer.base.withMatrix(layer.mergedMatrix());
      keep(plain.weight);
      return plain;
    }),
  );
}

/** The layer with its weight held in `storage`. @throws if a weight is then no longer finite. */
async function narrow(path: string, layer: Adaptable, storage: 'f32' | HalfFloat): Promise<Adaptable> {
  const { weight } = layer;
  if (storage === 'f32') return layer;
  if (weight.dtype !== 'f32')
    throw new BaxError(`merge: ${path} is ${weight.dtype}, and storage '${storage}' is for models of f32`);
  try {
    const values = await weight.data();
    const held = narrowed(storage, values);
    return Object.assign(layer, { weight: keep(fromHost(held, weight.shape, storage, { backend: weight.backend })) }); // prettier-ignore
  } finally {
    weight.dispose();
  }
}
