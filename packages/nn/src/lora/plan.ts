import { BaxError, bytesOf, showShape } from '@bax/core';
import type { Module } from '../module.ts';
import { loraConfig, type LoraConfig } from './config.ts';
import { LoraLinear } from './lora-linear.ts';
import { resolveTargets, type Target } from './targets.ts';

/** One pair of A [r, in] and B [out, r] to be. */
export interface LoraPlanEntry extends Target {
  readonly in: number;
  readonly out: number;
  readonly r: number;
  readonly alpha: number;
  /** r · (in + out). */
  readonly parameters: number;
  readonly bytes: number;
}

/** What `attachLora` will do, before it does it. */
export interface LoraPlan {
  readonly config: Required<LoraConfig>;
  readonly entries: readonly LoraPlanEntry[];
  /** Trainable numbers: Σ r · (in + out). [LoRA §5.1] */
  readonly parameters: number;
  readonly bytes: number;
  /** Numbers in the model, tied ones counted once. */
  readonly modelParameters: number;
  /** A table for people. */
  toString(): string;
}

/**
 * A dry run: which layers get an adapter, of what shape and size. Changes nothing.
 * @throws if a pattern matches nothing, r exceeds min(in, out) of a target, or the model has an adapter already.
 */
export function planLora(model: Module, given: LoraConfig = {}): LoraPlan {
  for (const [path, module] of model.namedModules())
    if (module instanceof LoraLinear)
      throw new BaxError(
        `planLora: ${path} has an adapter already; give the base, or the model that merge() makes`,
      );
  const config = loraConfig(given);
  const { r, alpha } = config;
  return planOf(model, config, resolveTargets(model, config.targets).map((target) => ({ target, r, alpha }))); // prettier-ignore
}

/** A plan from targets that are already resolved, each with a rank of its own: what a saved adapter asks for. */
export function planOf(
  model: Module,
  config: Required<LoraConfig>,
  chosen: readonly { readonly target: Target; readonly r: number; readonly alpha: number }[],
): LoraPlan {
  const entries = chosen.map(({ target, r, alpha }): LoraPlanEntry => {
    const [inFeatures, out] = [target.layer.inFeatures, target.slice?.length ?? target.layer.outFeatures];
    if (r > Math.min(inFeatures, out))
      throw new BaxError(
        `planLora: r = ${r} exceeds min(in, out) = ${Math.min(inFeatures, out)} of ${target.path} [${out}, ${inFeatures}]; B A cannot have a higher rank than W`,
      );
    const parameters = r * (inFeatures + out);
    return {
      ...target,
      in: inFeatures,
      out,
      r,
      alpha,
      parameters,
      bytes: parameters * bytesOf(target.layer.weight.dtype),
    };
  });
  entries.forEach((a, i) => {
    const b = entries.slice(i + 1).find((other) => overlap(a, other));
    if (b)
      throw new BaxError(
        `planLora: ${a.path} and ${b.path} are adapted both, and share outputs of ${a.modulePath}; choose one`,
      );
  });
  const sum = (of: (entry: LoraPlanEntry) => number): number =>
    entries.reduce((n, entry) => n + of(entry), 0);
  const plan = {
    config,
    entries,
    parameters: sum((e) => e.parameters),
    bytes: sum((e) => e.bytes),
    modelParameters: model.parameterCount,
  };
  return { ...plan, toString: () => show(plan) };
}

const overlap = (a: LoraPlanEntry, b: LoraPlanEntry): boolean => {
  const [from, to] = [a.slice?.start ?? 0, b.slice?.start ?? 0];
  return a.modulePath === b.modulePath && from < to + b.out && to < from + a.out;
};

function show({ entries, parameters, bytes, modelParameters }: Omit<LoraPlan, 'toString'>): string {
  const width = Math.max(...entries.map((e) => e.path.length));
  const lines = entries.map(
    (e) =>
      `${e.path.padEnd(width)}  W ${showShape([e.out, e.in])}  A ${showShape([e.r, e.in])}  B ${showShape([e.out, e.r])}  ${e.parameters}`,
  );
  const share = ((100 * parameters) / modelParameters).toFixed(2);
  return [
    ...lines,
    `${entries.length} targets, ${parameters} trainable parameters (${bytes} bytes), ${share} % of the model's ${modelParameters}`,
  ].join('\n');
}
