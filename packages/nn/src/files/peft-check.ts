/** Whether what a weights file holds is what its configuration says, and fits the model: all of it before anything is made. */
import { BaxError, sameShape, showShape, type Tensor } from '@bax/core';
import { Embedding } from '../layers/embedding.ts';
import { takesFromW } from '../lora/config.ts';
import { fullyTrained } from '../lora/full.ts';
import { type Target, targetsOf } from '../lora/targets.ts';
import type { Module } from '../module.ts';
import { checkRecords } from './peft-blocks.ts';
import type { PeftConfig } from './peft-config.ts';
import { partName, type Stored } from './peft-names.ts';
import { type AdapterRecord, type BranchRecord, RECORD_KEY } from './peft-record.ts';
import type { Safetensors } from './safetensors.ts';

/** An adapter's two files, opened: what its configuration says, and what its weights file holds. */
export interface PeftFiles {
  readonly config: PeftConfig;
  readonly file: Safetensors;
  readonly stored: Stored;
  readonly record: AdapterRecord;
}

/** A branch to be. */
interface Chosen {
  readonly target: Target;
  readonly r: number;
  readonly alpha: number;
}

/** The layers that the file has factors for, in the model's order. @throws if they are not those that the configuration means. */
export function layersOf(model: Module, { config, file, stored, record }: PeftFiles): Target[] {
  const bad = (message: string): never => {
    throw new BaxError(`loadAdapter: ${file.name}${message}`);
  };
  const all = targetsOf(model).filter(({ slice }) => !slice);
  const inside = (path: string): boolean => config.modulesToSave.some((name) => path.endsWith(name));
  const meant = all.filter(
    ({ path, layer }) => config.targets(path, layer instanceof Embedding) && !inside(path),
  );
  for (const { path } of meant)
    if (!stored.modules.has(path)) bad(` has no tensors for ${path}, which target_modules names`);
  const stray = Object.keys(record.slices).find((path) => !stored.modules.has(path));
  if (stray !== undefined)
    bad(`: metadata '${RECORD_KEY}' records slices of ${stray}, of which the file holds no tensors`);
  for (const [path, { embedding }] of stored.modules) {
    const found = all.find((layer) => layer.path === path);
    if (!found)
      return bad(` holds tensors for ${path}, which the model has not as a linear layer or an embedding`);
    if (embedding !== found.layer instanceof Embedding)
      bad(` holds tensors for ${path} as ${embedding ? 'an embedding' : 'a linear layer'}, which it is not`);
    if (!meant.includes(found)) bad(` holds tensors for ${path}, which target_modules does not name`);
  }
  return meant;
}

/** The branches of a module, and whether the file's shapes are theirs. */
export function choose(target: Target, files: PeftFiles): Chosen[] {
  const { config, file, stored } = files;
  const { path, layer } = target;
  const { r, alpha } = config.rankOf(path);
  const { embedding, magnitude } = stored.modules.get(path)!;
  const { inFeatures: k, outFeatures: out } = layer;
  const want = (part: 'A' | 'B' | 'magnitude', shape: readonly number[], meaning: string): void => {
    const found = file.tensors.get(partName(path, part, embedding))!.shape;
    if (!sameShape(found, shape))
      throw new BaxError(
        `loadAdapter: ${part === 'magnitude' ? 'the magnitude' : `lora_${part}`} of ${path} is ${showShape(found)}, expected ${meaning} = ${showShape(shape)}`,
      );
  };
  want('A', [r, k], '[r, in]');
  want('B', [out, r], '[out, r]');
  if (magnitude !== config.lora.dora)
    throw new BaxError(
      `loadAdapter: ${file.name} has ${magnitude ? 'a' : 'no'} magnitude of ${path}, and use_dora is ${config.lora.dora}`,
    );
  if (magnitude) want('magnitude', [out], '[out]');
  if (takesFromW(config.lora.init) && r > Math.min(k, out))
    throw new BaxError(
      `loadAdapter: r = ${r} of ${path} exceeds min(in, out) = ${Math.min(k, out)}, of which init ${config.lora.init} has no more directions`,
    );
  const own = recordsOf(target, files);
  const whole = { r, alpha, rslora: config.lora.rslora };
  checkRecords(path, own, target, whole);
  return own.map(({ name, start, length, r, alpha }) => ({
    target: name === '' ? target : { ...target, path: `${path}.${name}`, slice: { name, start, length } },
    r,
    alpha,
  }));
}

/** The branches that a module's pair is made of; where none are recorded, one. */
export function recordsOf({ path, layer }: Target, { config, record }: PeftFiles): readonly BranchRecord[] {
  const { slices } = record;
  if (Object.hasOwn(slices, path)) return slices[path]!;
  const { r, alpha } = config.rankOf(path);
  return [{ name: '', start: 0, length: layer.outFeatures, r, alpha, taken: false }];
}

/** What is trained whole must be there, fit, and be all. */
export function checkFull(
  model: Module,
  wanted: ReadonlyMap<string, Tensor>,
  { file, stored: { full } }: PeftFiles,
): void {
  const bad = (message: string): never => {
    throw new BaxError(`loadAdapter: ${file.name}${message}`);
  };
  for (const [path, { shape }] of wanted) {
    const name = full.get(path);
    if (name === undefined)
      return bad(` lacks ${path}, which ${path.endsWith('.bias') ? 'bias or ' : ''}modules_to_save asks for`);
    const found = file.tensors.get(name)!.shape;
    if (!sameShape(found, shape)) bad(`: ${path} is ${showShape(found)}, the model's ${showShape(shape)}`);
  }
  for (const [path, name] of full)
    if (!wanted.has(path))
      bad(
        fullyTrained(model, { bias: 'all', modulesToSave: [] }, []).has(path)
          ? ` holds ${name}, which neither bias nor modules_to_save names`
          : `: '${name}' is not a LoRA tensor that bax knows, and modules_to_save does not name it`,
      );
}
