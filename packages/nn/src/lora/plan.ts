import { BaxError, bytesOf, showShape, type Tensor } from '@bax/core';
import { Embedding } from '../layers/embedding.ts';
import type { Module } from '../module.ts';
import { wantBase } from './want-base.ts';
import { loraConfig, loraScale, takesFrom, takesFromW, type LoraConfig } from './config.ts';
import { fullyTrained } from './full.ts';
import { resolveTargets, listOf, type Target } from './targets.ts';

/** One pair of A [r, in] and B [out, r] to be. */
export interface LoraPlanEntry extends Target {
  readonly in: number;
  readonly out: number;
  readonly r: number;
  readonly alpha: number;
  /** Numbers that are trained: r · (in + out), or r · out where A is frozen, and `out` more with DoRA. */
  readonly parameters: number;
  /** Of all its tensors, what PiSSA and OLoRA take out of W among them. */
  readonly bytes: number;
}

/** What `attachLora` will do, before it does it. */
export interface LoraPlan {
  readonly config: Required<LoraConfig>;
  readonly entries: readonly LoraPlanEntry[];
  /** The base's parameters of which the adapter trains whole copies: biases, modules to save. By path. */
  readonly full: ReadonlyMap<string, Tensor>;
  /** Numbers that are trained: Σ r · (in + out) [LoRA §5.1], DoRA's lengths, and what is trained whole; a frozen A is not. */
  readonly parameters: number;
  /** Of all tensors of the adapter. */
  readonly bytes: number;
  /** Numbers in the model, tied ones counted once. */
  readonly modelParameters: number;
  /** A table for people. */
  toString(): string;
}

/**
 * A dry run: which layers get an adapter, of what shape and size. Changes nothing.
 * @throws if a pattern matches nothing, r exceeds min(in, out) of a target, or the model has an adapter already or is no
 * more than a layer.
 */
export function planLora(model: Module, given: LoraConfig = {}): LoraPlan {
  wantBase('planLora', model);
  const config = loraConfig(given);
  const targets = resolveTargets(model, config);
  const ranks = patternsOf('rankPattern', config.rankPattern, targets);
  const alphas = patternsOf('alphaPattern', config.alphaPattern, targets);
  const chosen = targets.map((target) => ({
    target,
    r: ranks(target.path) ?? config.r,
    alpha: alphas(target.path) ?? config.alpha,
  }));
  const plan = planOf(model, config, chosen);
  for (const { path, out, in: k, r, layer } of plan.entries) {
    if (r > Math.min(k, out))
      throw new BaxError(
        `planLora: r = ${r} exceeds min(in, out) = ${Math.min(k, out)} of ${path} [${out}, ${k}]; B A cannot have a higher rank than W`,
      );
    if (config.freezeA && layer instanceof Embedding)
      throw new BaxError(
        `planLora: freezeA: A of the embedding ${path} begins at zero, so that nothing could be learned with it frozen; leave out one of them`,
      );
    if (config.init === 'orthogonal' && r % 2 !== 0 && !(layer instanceof Embedding))
      throw new BaxError(`planLora: r = ${r} of ${path} is odd; init 'orthogonal' gives each half of r its own directions`); // prettier-ignore
  }
  return plan;
}

/** A plan from targets that are already resolved, each with a rank of its own: what a saved adapter asks for. */
export function planOf(
  model: Module,
  config: Required<LoraConfig>,
  chosen: readonly { readonly target: Target; readonly r: number; readonly alpha: number }[],
): LoraPlan {
  const entries = chosen.map(({ target, r, alpha }): LoraPlanEntry => {
    const [k, out] = [target.layer.inFeatures, target.slice?.length ?? target.layer.outFeatures];
    const [A, B, m] = [r * k, r * out, config.dora ? out : 0];
    const parameters = (config.freezeA ? 0 : A) + B + m;
    const taken = takesFrom(config.init, target.layer) ? A + B : 0;
    const bytes = (A + B + m + taken) * bytesOf(target.layer.weight.dtype);
    return { ...target, in: k, out, r, alpha, parameters, bytes };
  });
  entries.forEach((a, i) => {
    const b = entries.slice(i + 1).find((other) => overlap(a, other));
    if (b)
      throw new BaxError(
        `planLora: ${a.path} and ${b.path} are adapted both, and share outputs of ${a.modulePath}; choose one`,
      );
  });
  const full = fullyTrained(model, config, entries);
  const whole = [...full.values()];
  const sum = (of: (entry: LoraPlanEntry) => number): number =>
    entries.reduce((n, entry) => n + of(entry), 0);
  const plan = {
    config,
    entries,
    full,
    parameters: sum((e) => e.parameters) + whole.reduce((n, t) => n + t.size, 0),
    bytes: sum((e) => e.bytes) + whole.reduce((n, t) => n + t.size * bytesOf(t.dtype), 0),
    modelParameters: model.parameterCount,
  };
  return { ...plan, toString: () => show(plan) };
}

/** @throws unless the plan was made for this very model. */
export function checkPlan(model: Module, { entries }: Partial<LoraPlan> = {}): void {
  if (!entries) throw new BaxError('attachLora: give it a plan, planLora(model, config)');
  const found = model.namedModules();
  for (const { modulePath, layer } of entries)
    if (found.get(modulePath) !== layer)
      throw new BaxError(
        `attachLora: the plan was made for another model: its ${modulePath} is another layer`,
      );
}

/** PEFT's rule: the first key that is a pattern for the path, or for its end after a dot. @throws if a key fits no target. */
function patternsOf(
  field: 'rankPattern' | 'alphaPattern',
  values: Readonly<Record<string, number>>,
  targets: readonly Target[],
): (path: string) => number | undefined {
  const patterns = Object.entries(values).map(([key, value]): [RegExp, number] => {
    const pattern = patternOf(field, key);
    if (!targets.some(({ path }) => pattern.test(path)))
      throw new BaxError(
        `planLora: ${field}: no target matches '${key}'; the targets are ${listOf(targets.map((t) => t.path))}`,
      );
    return [pattern, value];
  });
  return (path) => patterns.find(([pattern]) => pattern.test(path))?.[1];
}

function patternOf(field: string, key: string): RegExp {
  try {
    return new RegExp(`^(?:.*\\.)?(?:${key})$`);
  } catch (error) {
    const why = (error as SyntaxError).message.split(': ').at(-1)!;
    throw new BaxError(`planLora: ${field}: '${key}' is no pattern: ${why}`);
  }
}

const overlap = (a: LoraPlanEntry, b: LoraPlanEntry): boolean => {
  const [from, to] = [a.slice?.start ?? 0, b.slice?.start ?? 0];
  return a.modulePath === b.modulePath && from < to + b.out && to < from + a.out;
};

function show({
  config,
  entries,
  full,
  parameters,
  bytes,
  modelParameters,
}: Omit<LoraPlan, 'toString'>): string {
  const width = Math.max(...entries.map((e) => e.path.length), ...[...full.keys()].map((p) => p.length));
  const lines = entries.map(
    (e) =>
      `${e.path.padEnd(width)}  W ${showShape([e.out, e.in])}  A ${showShape([e.r, e.in])}  B ${showShape([e.out, e.r])}${config.dora ? `  m ${showShape([e.out])}` : ''}  ${e.parameters}`,
  );
  const whole = [...full].map(([path, t]) => `${path.padEnd(width)}  trained whole ${showShape(t.shape)}`);
  const scales = [...new Set(entries.map((e) => loraScale(e.alpha, e.r, config.rslora)))];
  const kind = [
    config.rslora ? `rsLoRA: scale α/√r = ${scales.map((s) => +s.toPrecision(4)).join(', ')}` : '',
    config.dora ? 'DoRA' : '',
    config.freezeA ? 'A is frozen' : '',
    takesFromW(config.init) ? `init ${config.init}: what A and B start with is taken out of W` : '',
  ].filter(Boolean);
  const share = ((100 * parameters) / modelParameters).toFixed(2);
  return [
    ...lines,
    ...whole,
    ...kind,
    `${entries.length} targets, ${parameters} trainable parameters (${bytes} bytes), ${share} % of the model's ${modelParameters}`,
  ].join('\n');
}
