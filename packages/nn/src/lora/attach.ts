import type { Tensor } from '@bax/core';
import type { Module } from '../module.ts';
import { wantBase } from './want-base.ts';
import { type Adapter, adapterFrom, createAdapter, type RandomStart } from './adapter.ts';
import { LoraModel } from './lora-model.ts';
import { checkPlan, type LoraPlan, type LoraPlanEntry } from './plan.ts';

/** A model with one adapter, active under the name 'default'. */
export function withAdapter<M extends Module>(model: M, adapter: Adapter, name = 'default'): LoraModel<M> {
  const lora = new LoraModel(model);
  lora.add(name, adapter);
  lora.activate(name);
  return lora;
}

/** The same with an adapter that nobody else has: where the model does not take it, it is freed. */
export function withOwn<M extends Module>(model: M, adapter: Adapter): LoraModel<M> {
  try {
    return withAdapter(model, adapter);
  } catch (error) {
    adapter.dispose();
    throw error;
  }
}

/**
 * Attaches a new adapter: A random from `key`, another stream for each target, B zero, or as the plan's `init` says.
 * @throws if the plan was made for another model, or the model has an adapter already.
 */
export async function attachLora<M extends Module>(
  model: M,
  plan: LoraPlan,
  options: RandomStart,
): Promise<LoraModel<M>> {
  wantBase('attachLora', model);
  checkPlan(model, plan);
  return withOwn(model, await createAdapter(plan, options));
}

/** Makes A or B of a target. */
export type FactorSource = (
  entry: LoraPlanEntry,
  factor: 'A' | 'B',
  shape: readonly [number, number],
) => Tensor;

/** Attaches an adapter whose factors come from `get`: from another program, or from a test. If it is refused, they are freed. */
export function attachFactors<M extends Module>(model: M, plan: LoraPlan, get: FactorSource): LoraModel<M> {
  wantBase('attachLora', model);
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
    return withOwn(model, adapter);
  } catch (error) {
    for (const t of made) t.dispose();
    throw error;
  }
}
