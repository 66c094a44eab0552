/** Reads adapters that PEFT or `saveAdapter` wrote: adapter_config.json and adapter_model.safetensors. */
import { BaxError, fromHost, hostArray, keep, sameShape, type Tensor } from '@bax/core';
import { fingerprint } from '../fingerprint.ts';
import { Embedding } from '../layers/embedding.ts';
import { matrix, type Matrix } from '../linalg/index.ts';
import { wantBase } from '../lora/want-base.ts';
import { type Adapter, adapterFrom } from '../lora/adapter.ts';
import { withOwn } from '../lora/attach.ts';
import type { BranchParts } from '../lora/branch.ts';
import { loraScale, takesFromW } from '../lora/config.ts';
import { parametersAt } from '../lora/full.ts';
import { takenFrom } from '../lora/init.ts';
import type { LoraModel } from '../lora/lora-model.ts';
import { type LoraPlanEntry, planOf } from '../lora/plan.ts';
import { targetsOf } from '../lora/targets.ts';
import type { Module } from '../module.ts';
import { isJsonObject, parseJson } from './json.ts';
import { checkLengths, fromBlocks, type HostBranch } from './peft-blocks.ts';
import { checkFull, choose, layersOf, recordsOf } from './peft-check.ts';
import { type PeftConfig, readPeftConfig } from './peft-config.ts';
import { ADAPTER_CONFIG, ADAPTER_WEIGHTS, partName, readNames } from './peft-names.ts';
import { mustStillSay } from './peft-pair.ts';
import { readRecord } from './peft-record.ts';
import { openSafetensorsIn, type Safetensors } from './safetensors.ts';
import { checkFolder, type Folder } from './source.ts';

const MAX_BYTES = 1 << 20;

export interface ReadAdapterOptions {
  readonly signal?: AbortSignal | undefined;
  /** Load it also if it was trained on another base; a warning says so. */
  readonly anyBase?: boolean | undefined;
}
export interface ReadAdapter {
  readonly adapter: Adapter;
  /** Keys of adapter_config.json that bax does not know, and that were ignored. */
  readonly unknownKeys: readonly string[];
  /** What deserves a look: e.g. every B is zero, so that the adapter changes nothing. */
  readonly warnings: readonly string[];
}
export interface LoadedAdapter<M extends Module> extends Omit<ReadAdapter, 'adapter'> {
  readonly lora: LoraModel<M>;
}

/**
 * Loads an adapter that PEFT or `saveAdapter` wrote and attaches it to `model`. All or nothing.
 * @throws if the model has an adapter already, a file is missing, broken or replaced meanwhile, the configuration asks for maths that bax has not, a target
 * matches nothing, a tensor is missing, left over or misshaped, or the adapter was trained on another base; the message names it.
 */
export async function loadAdapter<M extends Module>(
  model: M,
  folder: Folder,
  options: ReadAdapterOptions = {},
): Promise<LoadedAdapter<M>> {
  const { adapter, ...found } = await readAdapter(model, folder, options);
  return { lora: withOwn(model, adapter), ...found };
}

/** The adapter alone, for `add` and `swap` of a `LoraModel` whose base is `model`. @throws as `loadAdapter` does. */
export async function readAdapter(
  model: Module,
  folder: Folder,
  options: ReadAdapterOptions = {},
): Promise<ReadAdapter> {
  wantBase('loadAdapter', model);
  checkFolder('loadAdapter', folder);
  for (const name of [ADAPTER_CONFIG, ADAPTER_WEIGHTS])
    if (!(await folder.has(name)))
      throw new BaxError(`loadAdapter: ${folder.name} is not an adapter: it has no ${name}`);
  const where = `${folder.name}/${ADAPTER_CONFIG}`;
  const text = await folder.readText(ADAPTER_CONFIG, MAX_BYTES);
  const json = parseJson(text, { where, maxBytes: MAX_BYTES });
  if (!isJsonObject(json)) throw new BaxError(`${where}: expected a JSON object`);
  const config = readPeftConfig(json, where);
  const file = await openSafetensorsIn(folder, ADAPTER_WEIGHTS);
  try {
    await mustStillSay(folder, text);
    return await readFile(model, config, file, options);
  } finally {
    await file.close();
  }
}

async function readFile(
  model: Module,
  config: PeftConfig,
  file: Safetensors,
  { signal, anyBase = false }: ReadAdapterOptions,
): Promise<ReadAdapter> {
  const [stored, record] = [readNames(file), readRecord(file)];
  const layers = layersOf(model, config, stored, file, record);
  const chosen = layers.flatMap((layer) => choose(layer, config, stored, file, record));
  const warnings: string[] = [];
  const bad = (message: string): never => {
    throw new BaxError(`loadAdapter: ${file.name}${message}`);
  };
  const saved = [...model.namedModules().keys()].filter((path) =>
    config.modulesToSave.some((name) => path.endsWith(name)),
  );
  const lora = {
    ...config.lora,
    modulesToSave: saved,
    targets: chosen.map(({ target }) => target.path),
    freezeA: record.freezeA ?? false,
    ...(record.init ? { init: record.init } : {}),
  };
  const plan = planOf(model, lora, chosen);
  checkFull(model, plan.full, stored, file, bad);
  const base = record.base === undefined ? undefined : await fingerprint(model);
  if (record.base !== undefined && base === undefined)
    warnings.push('whether it was trained on this base could not be checked: there is no WebCrypto here');
  else if (record.base !== base) {
    const why = `was trained on another base model: its weights are ${record.base}, these ${base}`;
    if (!anyBase) bad(` ${why}. Load the base that it was trained on, or pass { anyBase: true }`);
    warnings.push(`this adapter ${why}`);
  }

  const dtype = targetsOf(model)[0]!.layer.weight.dtype as 'f32' | 'f64';
  const read = async (name: string): Promise<Float64Array> => readValues(file, name, dtype, signal);
  const parameters = new Map(parametersAt(model));
  for (const [path, name] of stored.baseWeights) {
    const own = parameters.get(path);
    const fits = own && sameShape(own.shape, file.tensors.get(name)!.shape);
    const values = fits && (await own.data());
    if (!values || !(await read(name)).every((v, i) => v === values[i])) bad(` holds ${name}, which is not the base's ${path}: its vocabulary was changed, perhaps; bax adapts the base as it is`); // prettier-ignore
  }
  const parts = new Map<
    string,
    { readonly host: HostBranch; readonly magnitude: Float64Array | undefined }
  >();
  let changes = false;
  for (const layer of layers) {
    const { path } = layer;
    const { embedding, magnitude } = stored.modules.get(path)!;
    const pair = async (part: 'A' | 'B'): Promise<Matrix> => {
      const name = partName(path, part, embedding);
      const [rows, columns] = file.tensors.get(name)!.shape as [number, number];
      return matrix(rows, columns, await read(name));
    };
    const [A, B] = [await pair('A'), await pair('B')];
    changes ||= (embedding ? A : B).data.some((v) => v !== 0);
    const m = magnitude ? await read(partName(path, 'magnitude', embedding)) : undefined;
    const own = recordsOf(layer, config, record);
    if (m && !anyBase) await checkLengths(path, own, layer.layer, m);
    fromBlocks(path, own, A, B).forEach((host, i) => {
      const { start, length, name } = own[i]!;
      parts.set(name === '' ? path : `${path}.${name}`, { host, magnitude: m?.slice(start, start + length) });
    });
  }
  const full = new Map<string, Float64Array>();
  for (const path of plan.full.keys()) full.set(path, await read(stored.full.get(path)!));
  const takenOut = new Map<string, { A: Matrix; B: Matrix }>();
  if (takesFromW(config.lora.init))
    // PEFT saved what was trained alone: what its base had lost is computed again
    for (const entry of plan.entries)
      if (!(entry.layer instanceof Embedding))
        takenOut.set(entry.path, await takenFrom(entry, lora.init, loraScale(entry.alpha, entry.r, lora.rslora))); // prettier-ignore

  const put = (values: Float64Array, shape: readonly number[], { backend }: Tensor): Tensor => {
    const data = hostArray(dtype, values.length);
    data.set(values);
    return keep(fromHost(data, shape, dtype, { backend }));
  };
  const adapter = adapterFrom(plan, {
    factors(entry: LoraPlanEntry): BranchParts {
      const { host, magnitude } = parts.get(entry.path)!;
      const { weight } = entry.layer;
      const up = ({ rows, columns, data }: Matrix): Tensor => put(data, [rows, columns], weight);
      const { A: A0, B: B0 } = takenOut.get(entry.path) ?? { A: host.A0, B: host.B0 };
      return {
        A: up(host.A),
        B: up(host.B),
        ...(magnitude ? { magnitude: put(magnitude, [magnitude.length], weight) } : {}),
        ...(A0 && B0 ? { taken: { A: up(A0), B: up(B0) } } : {}),
      };
    },
    full: (path, own) => put(full.get(path)!, own.shape, own),
  });
  if (layers.length > 0 && !changes && plan.full.size === 0 && !lora.dora)
    warnings.push('every B is zero: this adapter was never trained and changes nothing');
  return { adapter, unknownKeys: config.unknownKeys, warnings };
}

async function readValues(
  file: Safetensors,
  name: string,
  dtype: 'f32' | 'f64',
  signal: AbortSignal | undefined,
): Promise<Float64Array> {
  signal?.throwIfAborted();
  const wide = file.tensors.get(name)!.dtype === 'F64';
  const values = wide ? await file.readFloat(name, 'f64') : await file.readFloat(name, dtype);
  if (!values.every(Number.isFinite))
    throw new BaxError(`loadAdapter: ${file.name}: '${name}' holds values that are not finite`);
  return Float64Array.from(values);
}
