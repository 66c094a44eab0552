/** Reads adapters that PEFT or `saveAdapter` wrote: adapter_config.json and adapter_model.safetensors. */
import { BaxError, fromHost, keep, sameShape, showShape } from '@bax/core';
import { attachFactors, type LoraModel } from '../lora/attach.ts';
import { loraConfig } from '../lora/config.ts';
import { planOf } from '../lora/plan.ts';
import { targetsOf, type Target } from '../lora/targets.ts';
import type { Module } from '../module.ts';
import { isJsonObject, parseJson } from './json.ts';
import {
  ADAPTER_CONFIG,
  ADAPTER_WEIGHTS,
  PEFT_PREFIX,
  readPeftConfig,
  type PeftConfig,
} from './peft-config.ts';
import { mustStillSay } from './peft-pair.ts';
import { block, checkBlocks, checkSlices, readSlices, SLICES_KEY } from './peft-slices.ts';
import { openSafetensors, type Safetensors } from './safetensors.ts';
import type { Folder } from './source.ts';

const MAX_BYTES = 1 << 20;

export interface LoadedAdapter<M extends Module> {
  readonly lora: LoraModel<M>;
  /** Keys of adapter_config.json that bax does not know, and that were ignored. */
  readonly unknownKeys: readonly string[];
  /** What deserves a look: e.g. every B is zero, so that the adapter changes nothing. */
  readonly warnings: readonly string[];
}

/**
 * Loads an adapter that PEFT or `saveAdapter` wrote and attaches it to `model`. All or nothing.
 * @throws if a file is missing, broken or replaced meanwhile, the configuration asks for maths that bax has not, a target matches nothing,
 * or a tensor is missing, left over or misshaped; the message names it.
 */
export async function loadAdapter<M extends Module>(
  model: M,
  folder: Folder,
  { signal }: { readonly signal?: AbortSignal | undefined } = {},
): Promise<LoadedAdapter<M>> {
  for (const name of [ADAPTER_CONFIG, ADAPTER_WEIGHTS])
    if (!(await folder.has(name)))
      throw new BaxError(`loadAdapter: ${folder.name} is not an adapter: it has no ${name}`);
  const where = `${folder.name}/${ADAPTER_CONFIG}`;
  const text = await folder.readText(ADAPTER_CONFIG, MAX_BYTES);
  const json = parseJson(text, { where, maxBytes: MAX_BYTES });
  if (!isJsonObject(json)) throw new BaxError(`${where}: expected a JSON object`);
  const config = readPeftConfig(json, where);
  const file = await openSafetensors(await folder.open(ADAPTER_WEIGHTS));
  try {
    await mustStillSay(folder, text);
    return await attachFile(model, config, file, signal);
  } finally {
    await file.close();
  }
}

async function attachFile<M extends Module>(
  model: M,
  config: PeftConfig,
  file: Safetensors,
  signal: AbortSignal | undefined,
): Promise<LoadedAdapter<M>> {
  const stored = storedModules(file);
  const layers = targetsOf(model).filter(({ slice }) => !slice);
  const meant = layers.filter(({ path }) => config.targets(path));
  for (const { path } of meant)
    if (!stored.has(path))
      throw new BaxError(`loadAdapter: ${file.name} has no tensors for ${path}, which target_modules names`);
  const slices = readSlices(file);
  const stray = Object.keys(slices).find((path) => !stored.has(path));
  if (stray !== undefined)
    throw new BaxError(
      `loadAdapter: ${file.name}: metadata '${SLICES_KEY}' records slices of ${stray}, of which the file holds no tensors`,
    );
  const chosen: { target: Target; r: number; alpha: number }[] = [];
  for (const path of stored) {
    const layer = layers.find((l) => l.path === path);
    if (!layer)
      throw new BaxError(
        `loadAdapter: ${file.name} holds tensors for ${path}, which the model has not as a linear layer`,
      );
    if (!meant.includes(layer))
      throw new BaxError(
        `loadAdapter: ${file.name} holds tensors for ${path}, which target_modules does not name`,
      );
    const { r, alpha } = config.rankOf(path);
    const shapeOf = (factor: 'A' | 'B'): readonly number[] =>
      file.tensors.get(`${PEFT_PREFIX}${path}.lora_${factor}.weight`)!.shape;
    const { inFeatures: k, outFeatures: out } = layer.layer;
    if (!sameShape(shapeOf('A'), [r, k]))
      throw new BaxError(
        `loadAdapter: lora_A of ${path} is ${showShape(shapeOf('A'))}, expected [r, in] = ${showShape([r, k])}`,
      );
    if (!sameShape(shapeOf('B'), [out, r]))
      throw new BaxError(
        `loadAdapter: lora_B of ${path} is ${showShape(shapeOf('B'))}, expected [out, r] = ${showShape([out, r])}`,
      );
    const own = slices[path];
    if (!own) chosen.push({ target: layer, r, alpha });
    else {
      checkSlices(path, own, layer, { r, alpha });
      for (const s of own)
        chosen.push({
          target: {
            ...layer,
            path: `${path}.${s.name}`,
            slice: { name: s.name, start: s.start, length: s.length },
          },
          r: s.r,
          alpha: s.alpha,
        });
    }
  }
  const dtype = layers[0]!.layer.weight.dtype as 'f32' | 'f64';
  const data = new Map<string, Float32Array | Float64Array>();
  for (const path of stored) {
    signal?.throwIfAborted();
    for (const f of ['A', 'B'])
      data.set(`${path}.${f}`, await readFactor(file, `${PEFT_PREFIX}${path}.lora_${f}.weight`, dtype));
  }
  const plan = planOf(
    model,
    {
      ...loraConfig({ dropout: config.dropout }),
      r: config.r,
      alpha: config.alpha,
      targets: chosen.map(({ target }) => target.path),
    },
    chosen,
  );
  for (const path of stored) if (slices[path]) checkBlocks(path, slices[path], data.get(`${path}.B`)!);
  const lora = attachFactors(model, plan, ({ modulePath, slice, layer, in: k }, factor, shape) => {
    const whole = data.get(`${modulePath}.${factor}`)!;
    const values = slice ? block(whole, slices[modulePath]!, slice.name, factor, k) : whole;
    return keep(fromHost(values, shape, dtype, { backend: layer.weight.backend }));
  });
  const zero = [...data]
    .filter(([name]) => name.endsWith('.B'))
    .every(([, values]) => values.every((v) => v === 0));
  return {
    lora,
    unknownKeys: config.unknownKeys,
    warnings: zero ? ['every B is zero: this adapter was never trained and changes nothing'] : [],
  };
}

/** The modules of which A and B are there. @throws on a tensor that is neither, or one without its partner. */
function storedModules(file: Safetensors): Set<string> {
  const found = new Set<string>();
  for (const name of file.tensors.keys()) {
    const match = /^base_model\.model\.(.+)\.lora_([AB])\.weight$/.exec(name);
    if (!match)
      throw new BaxError(`loadAdapter: ${file.name}: '${name}' is not a LoRA tensor that bax knows`);
    const partner = `${PEFT_PREFIX}${match[1]}.lora_${match[2] === 'A' ? 'B' : 'A'}.weight`;
    if (!file.tensors.has(partner))
      throw new BaxError(`loadAdapter: ${file.name} has '${name}' but lacks '${partner}'`);
    found.add(match[1]!);
  }
  if (found.size === 0)
    throw new BaxError(
      `loadAdapter: ${file.name} is empty: it holds no tensor, so loading it would silently give the base model`,
    );
  return found;
}

async function readFactor(
  file: Safetensors,
  name: string,
  dtype: 'f32' | 'f64',
): Promise<Float32Array | Float64Array> {
  const values =
    file.tensors.get(name)!.dtype === 'F64'
      ? Float64Array.from(await file.readFloat(name, 'f64'))
      : await file.readFloat(name, dtype);
  if (!values.every(Number.isFinite))
    throw new BaxError(`loadAdapter: ${file.name}: '${name}' holds values that are not finite`);
  return dtype === 'f32' ? Float32Array.from(values) : Float64Array.from(values);
}
