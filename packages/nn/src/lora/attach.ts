import type { Key, Tensor } from '@bax/core';
import type { Module } from '../module.ts';
import { type Adapter, adapterFrom, createAdapter } from './adapter.ts';
import { LoraModel } from './lora-model.ts';
import { checkPlan, type LoraPlan, type LoraPlanEntry } from './plan.ts';

/** A model with one adapter, active under the name 'default'. */
export function withAdapter<M extends Module>(model: M, adapter: Adapter, name = 'default'): LoraModel<M> {
  const lora = new LoraModel(model);
  lora.add(name, adapter);
  lora.activate(name);
  return lora;
}

/**
 * Attaches a new adapter: A random from `key`, another stream for each target, B zero, or as the plan's `init` says.
 * @throws if the plan was made for another model, or the model has an adapter already.
 */
export async function attachLora<M extends Module>(
  model: M,
  plan: LoraPlan,
  { key }: { readonly key: Key },
): Promise<LoraModel<M>> {
  const lora = new LoraModel(model);
  checkPlan(model, plan);
  lora.add('default', await createAdapter(plan, { key }));
  lora.activate('default');
  return lora;
}

/** Makes A or B of a target. */
export type FactorSource = (
  entry: LoraPlanEntry,
  factor: 'A' | 'B',
  shape: readonly [number, number],
) => Tensor;

/** Attaches an adapter whose factors come from `get`: from another program, or from a test. */
export function attachFactors<M extends Module>(model: M, plan: LoraPlan, get: FactorSource): LoraModel<M> {
  const lora = new LoraModel(model);
  checkPlan(model, plan);
  const made: Tensor[] = [];
  const own = (t: Tensor): Tensor => {
    made.push(t);
    return t;
  };
  try {
    const adapter = adapterFrom(plan, {
      factors: (entry) => ({
        A: own(get(entry, 'A', [entry.r, entry.in])),
        B: own(get(entry, 'B', [entry.out, entry.r])),
      }),
    });
    lora.add('default', adapter);
  } catch (error) {
    for (const t of made) t.dispose();
    throw error;
  }
  lora.activate('default');
  return lora;
}
