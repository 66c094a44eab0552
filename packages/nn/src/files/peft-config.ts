/** adapter_config.json: what PEFT 0.2x writes and reads. What would change the maths and bax has not is refused by name. */
import { BaxError } from '@bax/core';
import { matches } from '../lora/targets.ts';
import type { Json, JsonObject } from './json.ts';

export const ADAPTER_CONFIG = 'adapter_config.json';
export const ADAPTER_WEIGHTS = 'adapter_model.safetensors';
/** Before each module's path in the weights file. */
export const PEFT_PREFIX = 'base_model.model.';

/** A rank and an α for one module. */
interface Rank {
  readonly r: number;
  readonly alpha: number;
}
export interface PeftConfig extends Rank {
  readonly dropout: number;
  readonly unknownKeys: readonly string[];
  /** Whether target_modules means the module at this path. */
  targets(path: string): boolean;
  /** r and α of a module, by rank_pattern and alpha_pattern where they name it. */
  rankOf(path: string): Rank;
}

/** Keys that bax takes into account. */
const USED = [
  'peft_type',
  'r',
  'lora_alpha',
  'lora_dropout',
  'target_modules',
  'fan_in_fan_out',
  'rank_pattern',
  'alpha_pattern',
  'bias',
  'init_lora_weights',
];
/** Keys that say where an adapter comes from or how it is run, but not what it computes. */
const HARMLESS = [
  'alora_invocation_string', 'auto_mapping', 'base_model_name_or_path', 'corda_config', 'ensure_weight_tying', 'eva_config', 'exclude_modules', 'inference_mode', 'layers_pattern',
  'layers_to_transform', 'loftq_config', 'lora_ga_config', 'megatron_config', 'megatron_core', 'peft_version', 'qalora_group_size', 'revision', 'runtime_config', 'task_type', 'velora_config',
]; // prettier-ignore
/** Keys that change what an adapter computes, and the only values that bax takes. */
const REFUSED: Readonly<Record<string, readonly Json[]>> = {
  use_dora: [false], use_rslora: [false], use_qalora: [false], lora_bias: [false], use_bdlora: [null, false],
  modules_to_save: [null], trainable_token_indices: [null], target_parameters: [null], layer_replication: [null],
  alora_invocation_tokens: [null], kasa_config: [null], monteclora_config: [null], arrow_config: [null],
}; // prettier-ignore
/** Initialisations that changed the base weights: their adapters do not fit the original ones. */
const MUTATING = /^(pissa|olora|corda|loftq|lora_ga)/;

/** @throws if the configuration is not LoRA's, is malformed, or asks for maths that bax has not. */
export function readPeftConfig(json: JsonObject, where: string): PeftConfig {
  const bad = (message: string): never => {
    throw new BaxError(`${where}: ${message}`);
  };
  if (json['peft_type'] !== 'LORA')
    bad(`peft_type is ${JSON.stringify(json['peft_type'])}; bax reads "LORA"`);
  for (const [key, taken] of Object.entries(REFUSED)) {
    const value = json[key];
    const isEmpty = Array.isArray(value) && value.length === 0;
    if (value !== undefined && !isEmpty && !taken.includes(value))
      bad(`${key}: ${JSON.stringify(value)} changes what the adapter computes, and bax does not support it`);
  }
  if (json['bias'] !== undefined && json['bias'] !== 'none')
    bad(
      `bias: ${JSON.stringify(json['bias'])} changes what the adapter computes, and bax does not support it`,
    );
  const init = json['init_lora_weights'];
  if (typeof init === 'string' && MUTATING.test(init))
    bad(
      `init_lora_weights: "${init}" changed the base weights; convert the adapter in PEFT first (path_initial_model_for_weight_conversion)`,
    );
  const [r, alpha, dropout] = [json['r'] ?? 8, json['lora_alpha'] ?? 8, json['lora_dropout'] ?? 0];
  if (!isRank(r)) return bad(`r is ${JSON.stringify(r)}; the rank is an integer from 1`);
  if (!isAlpha(alpha))
    return bad(`lora_alpha is ${JSON.stringify(alpha)}; it must be a finite number above 0`);
  if (!(typeof dropout === 'number' && dropout >= 0 && dropout < 1))
    return bad(`lora_dropout is ${JSON.stringify(dropout)}, not a probability in [0, 1)`);
  const ranks = patternsOf(json['rank_pattern'], 'rank_pattern', isRank, bad);
  const alphas = patternsOf(json['alpha_pattern'], 'alpha_pattern', isAlpha, bad);
  const known = new Set([...USED, ...HARMLESS, ...Object.keys(REFUSED)]);
  return {
    r,
    alpha,
    dropout,
    unknownKeys: Object.keys(json).filter((key) => !known.has(key)),
    targets: targetsOf(json['target_modules'], bad),
    rankOf: (path) => ({ r: lookUp(ranks, path) ?? r, alpha: lookUp(alphas, path) ?? alpha }),
  };
}

const isRank = (x: Json): x is number =>
  typeof x === 'number' && Number.isSafeInteger(x) && x >= 1 && x <= 2 ** 20;
const isAlpha = (x: Json): x is number => typeof x === 'number' && x > 0 && x < Infinity;

/** A list of names (each a path, or the end of one), a pattern, or 'all-linear'. */
function targetsOf(value: Json | undefined, bad: (message: string) => never): (path: string) => boolean {
  if (value === 'all-linear') return (path) => path !== 'lm_head';
  if (typeof value === 'string') {
    const pattern = toRegExp(value, 'target_modules', bad);
    return (path) => pattern.test(path);
  }
  if (!Array.isArray(value) || value.length === 0 || !value.every((v) => typeof v === 'string'))
    return bad(`target_modules is ${JSON.stringify(value ?? null)}; it must be a list of names or a pattern`);
  return (path) => value.some((name) => matches(name, path));
}

/** PEFT's rule for the keys of a pattern: a regular expression for the path, or for its end after a dot. */
function patternsOf(
  value: Json | undefined,
  key: string,
  is: (x: Json) => x is number,
  bad: (message: string) => never,
): [RegExp, number][] {
  if (value === undefined || value === null) return [];
  if (typeof value !== 'object' || Array.isArray(value)) return bad(`${key} is not an object`);
  return Object.entries(value).map(([name, x]) => {
    if (!is(x)) return bad(`${key}: ${name} is ${JSON.stringify(x)}`);
    return [toRegExp(`(.*\\.)?(${name})`, key, bad), x];
  });
}
const lookUp = (patterns: readonly [RegExp, number][], path: string): number | undefined =>
  patterns.find(([pattern]) => pattern.test(path))?.[1];

/** From a stranger's file: short, and with too few repetitions, none of them of a group, for a search that takes for ever. */
function toRegExp(source: string, key: string, bad: (message: string) => never): RegExp {
  const count = (of: RegExp): number => source.match(of)?.length ?? 0;
  if (source.length > 500 || count(/\)[*+{]/g) > 0 || count(/[*+{]/g) > 5 || count(/[^(]\?/g) > 4)
    bad(`${key}: the pattern ${JSON.stringify(source.slice(0, 60))} is too long or repeats too much`);
  try {
    return new RegExp(`^(?:${source})$`);
  } catch {
    return bad(`${key}: ${JSON.stringify(source)} is not a pattern`);
  }
}

export interface PeftFacts {
  readonly modules: ReadonlyMap<string, Rank>;
  readonly targets: readonly string[];
  readonly dropout: number;
  readonly fanInFanOut: boolean;
  readonly baseModel: string | null;
}

/** adapter_config.json for an adapter; modules whose r or α differ from the first one's are named in the patterns. */
export function peftConfig({ modules, targets, dropout, fanInFanOut, baseModel }: PeftFacts): JsonObject {
  const [first] = [...modules.values()];
  const others = (of: (rank: Rank) => number): JsonObject =>
    Object.fromEntries(
      [...modules]
        .filter(([, m]) => of(m) !== of(first!))
        .map(([path, m]) => [path.replaceAll('.', '\\.'), of(m)]),
    );
  return {
    alpha_pattern: others((m) => m.alpha),
    auto_mapping: null,
    base_model_name_or_path: baseModel,
    bias: 'none',
    fan_in_fan_out: fanInFanOut,
    inference_mode: true,
    init_lora_weights: true,
    lora_alpha: first!.alpha,
    lora_dropout: dropout,
    modules_to_save: null,
    peft_type: 'LORA',
    r: first!.r,
    rank_pattern: others((m) => m.r),
    target_modules: [...targets],
    task_type: 'CAUSAL_LM',
    use_dora: false,
    use_rslora: false,
  };
}
