import { BaxError, foldIn, keep, rand, randn, zeros, type Key, type Tensor } from '@bax/core';
import type { Linear } from '../layers/linear.ts';
import { transform, type Module } from '../module.ts';
import type { LoraInit } from './config.ts';
import { LoraBranch, LoraLinear, type AdapterState } from './lora-linear.ts';
import { mergeLora, type MergeOptions, type Merged } from './merge.ts';
import type { LoraPlan, LoraPlanEntry } from './plan.ts';

/** An adapter on a model. The base it was attached to is never changed, by anything. */
export interface LoraModel<M extends Module> {
  /** The model with the adapter: use it like the base. */
  readonly model: M;
  /** The model it was attached to, untouched. */
  readonly base: M;
  readonly plan: LoraPlan;
  readonly layers: ReadonlyMap<string, LoraLinear>;
  /** A and B of every target by path, and nothing else: what an optimiser should be given. */
  parameters(): Map<string, Tensor>;
  /** While disabled, the model computes the base's bits. */
  readonly enabled: boolean;
  enable(): void;
  disable(): void;
  /** Multiplies the adapter's effect: 0 none, 1 as trained. Kept when merging; not saved. */
  setStrength(strength: number): void;
  readonly strength: number;
  /** A new, plain model with W + (α/r) B A in place of W, held in f32 whatever W is held in, and a report of how exact it is. Must be used: nothing else changes. */
  merge(options?: MergeOptions): Promise<Merged<M>>;
  /** Frees A and B and gives back the base. */
  detach(): M;
}

/** Makes A or B of a target. */
export type FactorSource = (
  entry: LoraPlanEntry,
  factor: 'A' | 'B',
  shape: readonly [number, number],
) => Tensor;

/** Attaches a new adapter: A random from `key`, another stream for each target, B zero. */
export function attachLora<M extends Module>(
  model: M,
  plan: LoraPlan,
  { key }: { readonly key: Key },
): LoraModel<M> {
  return attachFactors(model, plan, (entry, factor, shape) => {
    const { dtype, backend } = entry.layer.weight;
    const options = { dtype, backend, key: foldIn(key, entry.path) };
    return keep(factor === 'B' ? zeros(shape, options) : initialA(shape, plan.config.init, options));
  });
}

function initialA(
  shape: readonly [r: number, k: number],
  init: LoraInit,
  options: Parameters<typeof rand>[1],
): Tensor {
  const [r, k] = shape;
  const edge = 1 / Math.sqrt(k);
  return init === 'gaussian'
    ? randn(shape, { ...options, std: 1 / r })
    : rand(shape, { ...options, low: -edge, high: edge });
}

/** Attaches an adapter whose factors come from `get`: from a file, or from a test. */
export function attachFactors<M extends Module>(model: M, plan: LoraPlan, get: FactorSource): LoraModel<M> {
  const found = model.namedModules();
  for (const [path, module] of found)
    if (module instanceof LoraLinear)
      throw new BaxError(
        `attachLora: ${path} has an adapter already; give the base, or the model that merge() makes`,
      );
  for (const { modulePath, layer } of plan.entries)
    if (found.get(modulePath) !== layer)
      throw new BaxError(
        `attachLora: the plan was made for another model: its ${modulePath} is another layer`,
      );
  const state: AdapterState = { enabled: true, strength: 1 };
  const { dropout } = plan.config;
  const owners = new Map<string, { base: Linear; branches: LoraBranch[] }>();
  const made: Tensor[] = [];
  try {
    for (const entry of plan.entries) {
      const { modulePath, layer, slice, alpha, r } = entry;
      const owner = owners.get(modulePath) ?? { base: transform(layer, {}), branches: [] }; // a copy: its path will be another
      owners.set(modulePath, owner);
      made.push(get(entry, 'A', [r, entry.in]));
      made.push(get(entry, 'B', [entry.out, r]));
      const [A, B] = made.slice(-2) as [Tensor, Tensor];
      A.requiresGrad = B.requiresGrad = true; // and nothing else has it: W is frozen since nobody asks for its gradient
      owner.branches.push(new LoraBranch(A, B, { alpha, dropout, slice }));
    }
  } catch (error) {
    for (const t of made) t.dispose();
    throw error;
  }
  const layers = new Map<string, LoraLinear>();
  for (const path of found.keys()) {
    const owner = owners.get(path);
    if (owner) layers.set(path, new LoraLinear(owner.base, owner.branches, state));
  }
  const adapted = transform(model, { module: (_, path) => layers.get(path) });
  return {
    model: adapted,
    base: model,
    plan,
    layers,
    parameters() {
      const named = new Map<string, Tensor>();
      for (const [path, layer] of layers)
        for (const [name, child] of layer.children())
          if (child instanceof LoraBranch)
            named.set(`${path}.${name}.A`, child.A).set(`${path}.${name}.B`, child.B);
      return named;
    },
    get enabled() {
      return state.enabled;
    },
    enable: () => void (state.enabled = true),
    disable: () => void (state.enabled = false),
    get strength() {
      return state.strength;
    },
    setStrength(strength) {
      if (!Number.isFinite(strength))
        throw new BaxError(`lora: strength is ${strength}; it must be a finite number`);
      state.strength = strength;
    },
    merge: (options) => mergeLora(adapted, layers, state, options),
    detach() {
      for (const { branches: all } of layers.values())
        for (const b of all) [b.A, b.B].forEach((t) => t.dispose('when its adapter was detached'));
      return model;
    },
  };
}
