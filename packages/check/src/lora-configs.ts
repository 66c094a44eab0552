/** Random LoRA configurations for a model: those that it takes, and those that it must refuse. */
import { BaxError } from '@bax/core';
import {
  Embedding,
  type LoraConfig,
  type LoraInit,
  type Module,
  resolveTargets,
  type Target,
  targetsOf,
} from '@bax/nn';
import fc from 'fast-check';

export interface LoraConfigOptions {
  /** The largest rank. Default 8. */
  readonly maxRank?: number;
  /** Adapt tied layers (an output head that is the embedding) too; merging them needs `untie`. Default false. */
  readonly tied?: boolean;
  /** Draw dropout. Default false: with it a pass that is given a key is random. */
  readonly dropout?: boolean;
  /** Draw what is not the plain LoRA of the paper: rsLoRA, DoRA, LoRA-FA, biases, starts that take part of W. Default false. */
  readonly variants?: boolean;
}

type Targets = Required<LoraConfig>['targets'];

/** The last name of a path, which a pattern may be: `c_attn`. */
const lastName = ({ path }: Target): string => path.split('.').at(-1)!;
/** A pattern that means one target. */
const onlyThis = ({ path }: Target): RegExp => new RegExp(path.replace(/[.*+?^${}()|[\]\\]/g, '\\$&'));
const largestRank = ({ layer, slice }: Target): number =>
  Math.min(layer.inFeatures, slice?.length ?? layer.outFeatures);

/** The targets that may be adapted, by the layer that they are a part of. */
function layersOf(model: Module, tied: boolean): Target[][] {
  const isTied = new Set(Object.entries(model.tied).flat().map((name) => name.replace(/\.weight$/, ''))); // prettier-ignore
  const layers = new Map<string, Target[]>();
  for (const target of targetsOf(model))
    if (tied || !isTied.has(target.modulePath))
      layers.set(target.modulePath, [...(layers.get(target.modulePath) ?? []), target]);
  return [...layers.values()];
}

/** What the patterns mean; nothing, if that is more than what may be adapted, or a layer both whole and by its slices. */
function meaning(model: Module, targets: Targets, allowed: ReadonlySet<string>): Target[] {
  try {
    const meant = resolveTargets(model, { targets });
    return meant.every(({ path }) => allowed.has(path)) ? meant : [];
  } catch {
    return [];
  }
}

/**
 * Configurations that `planLora(model, config)` takes: targets as paths, last names, regular expressions or 'all-linear',
 * layers and embeddings whole or some of their slices, r from 1 to what they allow, α with an exact scale and without.
 */
export function loraConfigs(model: Module, options: LoraConfigOptions = {}): fc.Arbitrary<LoraConfig> {
  const { maxRank = 8, tied = false, dropout = false, variants = false } = options;
  const layers = layersOf(model, tied);
  const allowed = new Set(layers.flat().map(({ path }) => path));
  if (layers.length === 0)
    throw new BaxError('loraConfigs: the model has no linear layer that may be adapted');
  return fc.gen().map((g): LoraConfig => {
    const of = (most: number): number => g(fc.nat, { max: most });
    const chosen = Array.from({ length: 1 + of(2) }, () => {
      const [whole, ...slices] = layers[of(layers.length - 1)]!;
      return slices.length > 0 && of(1) === 1 ? slices[of(slices.length - 1)]! : whole!;
    });
    const named = chosen.map((target) => [target.path, lastName(target), onlyThis(target)][of(2)]!);
    const drawn: Targets = of(5) === 5 ? 'all-linear' : named;
    const isValid = meaning(model, drawn, allowed).length > 0;
    const targets: Targets = isValid ? drawn : [onlyThis(chosen[0]!)];
    const meant = meaning(model, targets, allowed);
    const r = 1 + of(Math.min(maxRank, ...meant.map(largestRank)) - 1);
    const alpha = [r, 2 * r, r / 2, 4 * r, 5, 0.3][of(5)]!;
    const plain = { r, alpha, targets, ...(dropout ? { dropout: [0, 0.1, 0.5][of(2)]! } : {}) };
    const embeddings = meant.some(({ layer }) => layer instanceof Embedding);
    const inits: LoraInit[] = ['kaiming', 'gaussian'];
    if (!variants) return { ...plain, init: inits[of(1)]! };
    if (r % 2 === 0) inits.push('orthogonal');
    inits.push('pissa', 'olora');
    const variant = [{}, { rslora: true }, { dora: true }, embeddings ? {} : { freezeA: true }][of(3)]!;
    return { ...plain, ...variant, init: inits[of(inits.length - 1)]!, bias: (['none', 'lora_only', 'all'] as const)[of(2)]! }; // prettier-ignore
  });
}

/** A configuration that must be refused, and how the message begins. */
export interface InvalidLoraConfig {
  readonly config: LoraConfig;
  readonly refused: string;
}

/** Configurations that `planLora(model, config)` must refuse with a `BaxError` whose message begins with `refused`. */
export function invalidLoraConfigs(model: Module): fc.Arbitrary<InvalidLoraConfig> {
  const all = targetsOf(model);
  const ranks = [0, -1, 1.5, NaN, Infinity].map((r) => [{ r }, `lora: r is ${r}; `] as const);
  const alphas = [0, -2, NaN, Infinity].map((alpha) => [{ alpha }, `lora: alpha is ${alpha}; `] as const);
  const dropouts = [1, -0.1, NaN, 2].map((dropout) => [{ dropout }, `lora: dropout is ${dropout}; `] as const); // prettier-ignore
  const blocks = [-1, 0.5].map((block) => [{ layersToTransform: [block] }, `lora: layersToTransform has ${block}; `] as const); // prettier-ignore
  const none = [[], ['no_such_layer'], [/.*\.no_such_layer/]].map((targets) => [{ targets }, targets.length === 0 ? 'lora: targets must be' : 'planLora: no module matches'] as const); // prettier-ignore
  const large = all.map((target) => {
    const r = largestRank(target) + 1;
    return [{ targets: [onlyThis(target)], r }, `planLora: r = ${r} exceeds min(in, out) = ${r - 1} of ${target.path} `] as const; // prettier-ignore
  });
  const both = all.flatMap(
    ({ path, modulePath, slice }) =>
    slice ? [[{ targets: [modulePath, path], r: 1 }, `planLora: ${modulePath} is targeted whole and by its slice '${slice.name}'`] as const] : [], // prettier-ignore
  );
  return fc
    .constantFrom<(readonly [LoraConfig, string])[]>(
      ...ranks,
      ...alphas,
      ...dropouts,
      ...blocks,
      ...none,
      ...large,
      ...both,
    ) // prettier-ignore
    .map(([config, refused]) => ({ config, refused }));
}
