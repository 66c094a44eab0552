/** adapter_config.json, read: what PEFT 0.2x writes. What would change the maths and bax has not is refused by name. */
import { BaxError } from '@bax/core';
import type { LoraBias, LoraConfig, LoraInit } from '../lora/config.ts';
import { loraConfig } from '../lora/config.ts';
import type { Json, JsonObject } from './json.ts';
import { patternsOf, targetsOf, namesOf } from './peft-patterns.ts';

/** A rank and an α for one module. */
interface Rank {
  readonly r: number;
  readonly alpha: number;
}
export interface PeftConfig {
  /** As bax would say it, but for targets, exclude, layersToTransform and modulesToSave. */
  readonly lora: Required<LoraConfig>;
  readonly unknownKeys: readonly string[];
  /** Whether it means the module at this path, which is of this kind, as a target. */
  targets(path: string, embedding: boolean): boolean;
  /** r and α of a module, by rank_pattern and alpha_pattern where they name it. */
  rankOf(path: string): Rank;
  /** Names of modules that were trained whole: each means the modules whose path ends so. */
  readonly modulesToSave: readonly string[];
}

/** Keys that bax takes into account. */
const USED = [
  'peft_type', 'r', 'lora_alpha', 'lora_dropout', 'target_modules', 'exclude_modules', 'layers_to_transform', 'layers_pattern',
  'rank_pattern', 'alpha_pattern', 'bias', 'init_lora_weights', 'use_rslora', 'use_dora', 'modules_to_save',
]; // prettier-ignore
/** Keys that say where an adapter comes from or how it is run, but not what it computes. */
const HARMLESS = [
  'alora_invocation_string', 'auto_mapping', 'base_model_name_or_path', 'corda_config', 'ensure_weight_tying', 'eva_config', 'fan_in_fan_out', 'inference_mode',
  'loftq_config', 'lora_ga_config', 'megatron_config', 'megatron_core', 'peft_version', 'qalora_group_size', 'revision', 'runtime_config', 'task_type', 'velora_config',
]; // prettier-ignore
/** Keys that change what an adapter computes, and the only values that bax takes. */
const REFUSED: Readonly<Record<string, readonly Json[]>> = {
  use_qalora: [false], lora_bias: [false], use_bdlora: [null, false], trainable_token_indices: [null], target_parameters: [null], layer_replication: [null],
  alora_invocation_tokens: [null], kasa_config: [null], monteclora_config: [null], arrow_config: [null],
}; // prettier-ignore
/** Initialisations that changed the base weights in ways that cannot be done again: their adapters do not fit the original ones. */
const MUTATING = /^(pissa_|corda|loftq|lora_ga)/i;

/** @throws if the configuration is not LoRA's, is malformed, or asks for maths that bax has not. */
export function readPeftConfig(json: JsonObject, where: string): PeftConfig {
  const bad = (message: string): never => {
    throw new BaxError(`${where}: ${message}`);
  };
  const unsupported = (key: string): never =>
    bad(
      `${key}: ${JSON.stringify(json[key])} changes what the adapter computes, and bax does not support it`,
    );
  if (json['peft_type'] !== 'LORA')
    bad(`peft_type is ${JSON.stringify(json['peft_type'])}; bax reads "LORA"`);
  for (const [key, taken] of Object.entries(REFUSED)) {
    const value = json[key];
    const isEmpty = Array.isArray(value) && value.length === 0;
    if (value !== undefined && !isEmpty && !taken.includes(value)) unsupported(key);
  }
  const flag = (key: string): boolean => {
    const value = json[key] ?? false;
    return typeof value === 'boolean'
      ? value
      : bad(`${key} is ${JSON.stringify(value)}, neither true nor false`);
  };
  const bias = json['bias'] ?? 'none';
  if (!isBias(bias)) return unsupported('bias');
  const [r, alpha, dropout] = [json['r'] ?? 8, json['lora_alpha'] ?? 8, json['lora_dropout'] ?? 0];
  if (!isRank(r)) return bad(`r is ${JSON.stringify(r)}; the rank is an integer from 1`);
  if (!isAlpha(alpha))
    return bad(`lora_alpha is ${JSON.stringify(alpha)}; it must be a finite number above 0`);
  if (!(typeof dropout === 'number' && dropout >= 0 && dropout < 1))
    return bad(`lora_dropout is ${JSON.stringify(dropout)}, not a probability in [0, 1)`);
  const ranks = patternsOf(json['rank_pattern'], 'rank_pattern', isRank, bad);
  const alphas = patternsOf(json['alpha_pattern'], 'alpha_pattern', isAlpha, bad);
  const [rslora, dora] = [flag('use_rslora'), flag('use_dora')];
  const init = initOf(json['init_lora_weights'], bad);
  const known = new Set([...USED, ...HARMLESS, ...Object.keys(REFUSED)]);
  return {
    lora: loraConfig({ r, alpha, dropout, rslora, dora, bias, init }),
    unknownKeys: Object.keys(json).filter((key) => !known.has(key)),
    targets: targetsOf(json, bad),
    rankOf: (path) => ({ r: ranks(path) ?? r, alpha: alphas(path) ?? alpha }),
    modulesToSave: namesOf(json['modules_to_save'], 'modules_to_save', bad),
  };
}

const isRank = (x: Json): x is number =>
  typeof x === 'number' && Number.isSafeInteger(x) && x >= 1 && x <= 2 ** 20;
const isAlpha = (x: Json): x is number => typeof x === 'number' && x > 0 && x < Infinity;
const isBias = (x: Json): x is LoraBias => x === 'none' || x === 'all' || x === 'lora_only';

/** The initialisation as far as it matters when weights are loaded: whether W has lost a part that must be taken out again. */
function initOf(value: Json | undefined, bad: (message: string) => never): LoraInit {
  if (typeof value !== 'string') return 'kaiming';
  if (MUTATING.test(value))
    return bad(
      `init_lora_weights: "${value}" changed the base weights; convert the adapter in PEFT first (path_initial_model_for_weight_conversion)`,
    );
  const name = value.toLowerCase();
  return name === 'pissa' || name === 'olora' || name === 'gaussian' || name === 'orthogonal'
    ? name
    : 'kaiming';
}
