/** The names of tensors in adapter_model.safetensors, and what they mean. */
import { BaxError } from '@bax/core';
import type { Safetensors } from './safetensors.ts';

export const ADAPTER_CONFIG = 'adapter_config.json';
export const ADAPTER_WEIGHTS = 'adapter_model.safetensors';
/** Before each module's path. */
const PREFIX = 'base_model.model.';

/** What PEFT stores of one adapted module. */
export type Part = 'A' | 'B' | 'magnitude';
export const partName = (path: string, part: Part, embedding: boolean): string => {
  if (part === 'magnitude') return `${PREFIX}${path}.lora_magnitude_vector`;
  return `${PREFIX}${path}.${embedding ? `lora_embedding_${part}` : `lora_${part}.weight`}`;
};
/** Of a parameter that is trained whole; a bias of an adapted module lies in its base layer. */
export const fullName = (path: string, adapted: boolean): string =>
  PREFIX + (adapted ? path.replace(/\.([^.]+)$/, '.base_layer.$1') : path);

export interface StoredModule {
  readonly embedding: boolean;
  readonly magnitude: boolean;
}
/** What the file holds, by path. */
export interface Stored {
  readonly modules: ReadonlyMap<string, StoredModule>;
  /** Parameters that were trained whole, by their path in the model: the tensor's name. */
  readonly full: ReadonlyMap<string, string>;
  /** Weights of adapted modules, which PEFT adds where a vocabulary may have changed. */
  readonly baseWeights: ReadonlyMap<string, string>;
}

const FACTOR = /^(.+)\.lora_(?:(embedding)_([AB])|([AB])\.weight)$/;

/** @throws on a name that is none of PEFT's, a factor without its partner, or an empty file. */
export function readNames(file: Safetensors): Stored {
  const modules = new Map<string, { embedding: boolean; magnitude: boolean }>();
  const [full, baseWeights] = [new Map<string, string>(), new Map<string, string>()];
  const magnitudes: string[] = [];
  const others: string[] = [];
  for (const name of file.tensors.keys()) {
    if (!name.startsWith(PREFIX)) throw unknown(file, name);
    const rest = name.slice(PREFIX.length);
    const factor = FACTOR.exec(rest);
    if (factor) {
      const [, path, embedding] = factor as unknown as [string, string, string | undefined];
      const partner = partName(path, (factor[3] ?? factor[4]) === 'A' ? 'B' : 'A', embedding !== undefined);
      if (!file.tensors.has(partner))
        throw new BaxError(`loadAdapter: ${file.name} has '${name}' but lacks '${partner}'`);
      if (modules.get(path)?.embedding === (embedding === undefined)) throw unknown(file, name);
      modules.set(path, { embedding: embedding !== undefined, magnitude: false });
    } else if (rest.endsWith('.lora_magnitude_vector'))
      magnitudes.push(rest.slice(0, -'.lora_magnitude_vector'.length));
    else if (rest.includes('.lora_') || rest.startsWith('lora_')) throw unknown(file, name);
    else others.push(rest);
  }
  for (const path of magnitudes) {
    const module = modules.get(path);
    if (!module)
      throw new BaxError(`loadAdapter: ${file.name} has a magnitude of ${path}, but not its A and B`);
    module.magnitude = true;
  }
  for (const rest of others) {
    if (/\.original_module\./.test(rest)) continue; // the base's own: PEFT stores biases of saved modules three times
    const path = rest.replace(/\.(base_layer|modules_to_save)\.([^.]+)$/, '.$2');
    const owner = path.slice(0, path.lastIndexOf('.'));
    if (modules.has(owner) && path.endsWith('.weight')) baseWeights.set(path, PREFIX + rest);
    else if (!full.has(path) || !rest.includes('.modules_to_save.')) full.set(path, PREFIX + rest);
  }
  if (modules.size + full.size === 0)
    throw new BaxError(
      `loadAdapter: ${file.name} is empty: it holds no tensor, so loading it would silently give the base model`,
    );
  return { modules, full, baseWeights };
}

const unknown = (file: Safetensors, name: string): BaxError =>
  new BaxError(`loadAdapter: ${file.name}: '${name}' is not a LoRA tensor that bax knows`);
