import type { LoraConfig } from '../lora/config.ts';
import type { JsonObject } from './json.ts';

export interface PeftFacts {
  readonly lora: Required<LoraConfig>;
  readonly modules: ReadonlyMap<string, { readonly r: number; readonly alpha: number }>;
  readonly targets: readonly string[];
  /** Paths of modules that are trained whole. */
  readonly modulesToSave: readonly string[];
  readonly fanInFanOut: boolean;
  readonly baseModel: string | null;
  readonly taskType: string | null;
}

/** adapter_config.json for an adapter; modules whose r or α differ from the first one's are named in the patterns. */
export function peftConfig({ lora, modules, targets, modulesToSave, ...facts }: PeftFacts): JsonObject {
  const first = [...modules.values()][0] ?? lora;
  const others = (of: 'r' | 'alpha'): JsonObject =>
    Object.fromEntries(
      [...modules]
        .filter(([, m]) => m[of] !== first[of])
        .map(([path, m]) => [`^${path.replaceAll('.', '\\.')}`, m[of]]), // from the start: PEFT takes ends of paths, too
    );
  return {
    alpha_pattern: others('alpha'),
    auto_mapping: null,
    base_model_name_or_path: facts.baseModel,
    bias: lora.bias,
    fan_in_fan_out: facts.fanInFanOut,
    inference_mode: true,
    // What was taken out of W is in the factors here, so that W needs no change.
    init_lora_weights: lora.init === 'gaussian' || lora.init === 'orthogonal' ? lora.init : true,
    lora_alpha: first.alpha,
    lora_dropout: lora.dropout,
    modules_to_save: modulesToSave.length > 0 ? [...modulesToSave] : null,
    peft_type: 'LORA',
    r: first.r,
    rank_pattern: others('r'),
    target_modules: [...targets],
    task_type: facts.taskType,
    use_dora: lora.dora,
    use_rslora: lora.rslora,
  };
}
