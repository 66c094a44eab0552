/** Reads adapters that PEFT or `saveAdapter` wrote: adapter_config.json and adapter_model.safetensors. */
import { BaxError, sameShape } from '@bax/core';
import { fingerprint } from '../fingerprint.ts';
import { matrix, type Matrix } from '../linalg/index.ts';
import { wantBase } from '../lora/want-base.ts';
import { type Adapter, adapterFrom } from '../lora/adapter.ts';
import { withOwn } from '../lora/attach.ts';
import type { BranchParts } from '../lora/branch.ts';
import { loraScale, takesFrom } from '../lora/config.ts';
import { parametersAt } from '../lora/full.ts';
import { keptFrom, keptMatrix } from '../lora/host.ts';
import { takenFrom } from '../lora/init.ts';
import type { LoraModel } from '../lora/lora-model.ts';
import { type LoraPlanEntry, planOf } from '../lora/plan.ts';
import { type Target, targetsOf } from '../lora/targets.ts';
import type { Module } from '../module.ts';
import { isJsonObject, parseJson } from './json.ts';
import { checkLengths, fromBlocks, type HostBranch } from './peft-blocks.ts';
import { checkFull, choose, layersOf, type PeftFiles, recordsOf } from './peft-check.ts';
import { readPeftConfig } from './peft-config.ts';
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
    return await readFiles(
      model,
      { config, file, stored: readNames(file), record: readRecord(file) },
      options,
    );
  } finally {
    await file.close();
  }
}

async function readFiles(
  model: Module,
  files: PeftFiles,
  { signal, anyBase = false }: ReadAdapterOptions,
): Promise<ReadAdapter> {
  const { config, file, stored, record } = files;
  const layers = layersOf(model, files);
  const chosen = layers.flatMap((layer) => choose(layer, files));
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
  checkFull(model, plan.full, files);
  const warnings = await checkBase(model, files, anyBase);

  const dtype = targetsOf(model)[0]!.layer.weight.dtype as 'f32' | 'f64';
  const read = async (name: string): Promise<Float64Array> => readValues(file, name, dtype, signal);
  await checkBaseWeights(model, files, read);
  const branches = new Map<string, BranchValues>();
  for (const layer of layers)
    for (const [path, values] of await branchesOf(layer, files, read, anyBase)) branches.set(path, values);
  const full = new Map<string, Float64Array>();
  for (const path of plan.full.keys()) full.set(path, await read(stored.full.get(path)!));
  const takenOut = new Map<string, { A: Matrix; B: Matrix }>();
  for (const entry of plan.entries)
    if (takesFrom(config.lora.init, entry.layer))
      // PEFT saved what was trained alone: what its base had lost is computed again
      takenOut.set(
        entry.path,
        await takenFrom(entry, lora.init, loraScale(entry.alpha, entry.r, lora.rslora)),
      );

  const adapter = adapterFrom(plan, {
    factors({ path, layer: { weight } }: LoraPlanEntry): BranchParts {
      const { A, B, magnitude, ...own } = branches.get(path)!;
      const { A: A0, B: B0 } = takenOut.get(path) ?? { A: own.A0, B: own.B0 };
      return {
        A: keptMatrix(A, weight),
        B: keptMatrix(B, weight),
        ...(magnitude ? { magnitude: keptFrom(magnitude, [magnitude.length], weight) } : {}),
        ...(A0 && B0 ? { taken: { A: keptMatrix(A0, weight), B: keptMatrix(B0, weight) } } : {}),
      };
    },
    full: (path, own) => keptFrom(full.get(path)!, own.shape, own),
  });
  /** The factors that begin at zero: an embedding's A, else B. */
  const late = [...branches].flatMap(([path, { A, B, A0, B0 }]) =>
    stored.modules.get(path)?.embedding ? [A, A0] : [B, B0],
  );
  const untrained = late.every((factor) => factor?.data.every((v) => v === 0) ?? true);
  if (branches.size > 0 && untrained && full.size === 0 && !lora.dora)
    warnings.push('every B is zero: this adapter was never trained and changes nothing');
  return { adapter, unknownKeys: config.unknownKeys, warnings };
}

/** What to warn of about the base. @throws if the adapter was trained on another, unless any will do. */
async function checkBase(model: Module, { file, record }: PeftFiles, anyBase: boolean): Promise<string[]> {
  if (record.base === undefined) return [];
  const base = await fingerprint(model);
  if (base === undefined)
    return ['whether it was trained on this base could not be checked: there is no WebCrypto here'];
  if (record.base === base) return [];
  const why = `was trained on another base model: its weights are ${record.base}, these ${base}`;
  if (!anyBase)
    throw new BaxError(
      `loadAdapter: ${file.name} ${why}. Load the base that it was trained on, or pass { anyBase: true }`,
    );
  return [`this adapter ${why}`];
}

/** @throws if the file brings weights of a base (PEFT saves resized embeddings) that are not this one's. */
async function checkBaseWeights(model: Module, { file, stored }: PeftFiles, read: Read): Promise<void> {
  const parameters = new Map(parametersAt(model));
  for (const [path, name] of stored.baseWeights) {
    const own = parameters.get(path);
    const fits = own && sameShape(own.shape, file.tensors.get(name)!.shape);
    const values = fits && (await own.data());
    if (!values || !(await read(name)).every((v, i) => v === values[i]))
      throw new BaxError(
        `loadAdapter: ${file.name} holds ${name}, which is not the base's ${path}: its vocabulary was changed, perhaps; bax adapts the base as it is`,
      );
  }
}

/** A branch on the host. */
interface BranchValues extends HostBranch {
  readonly magnitude: Float64Array | undefined;
}
type Read = (name: string) => Promise<Float64Array>;

/** A layer's branches, by path: one, or one for each slice that the file records. */
async function branchesOf(
  layer: Target,
  files: PeftFiles,
  read: Read,
  anyBase: boolean,
): Promise<readonly [string, BranchValues][]> {
  const { path } = layer;
  const { file, stored } = files;
  const { embedding, magnitude } = stored.modules.get(path)!;
  const factor = async (part: 'A' | 'B'): Promise<Matrix> => {
    const name = partName(path, part, embedding);
    const [rows, columns] = file.tensors.get(name)!.shape as [number, number];
    return matrix(rows, columns, await read(name));
  };
  const [A, B] = [await factor('A'), await factor('B')];
  const m = magnitude ? await read(partName(path, 'magnitude', embedding)) : undefined;
  const own = recordsOf(layer, files);
  if (m && !anyBase) await checkLengths(path, own, layer.layer, m);
  return fromBlocks(path, own, A, B).map((branch, i) => {
    const { start, length, name } = own[i]!;
    const values = { ...branch, magnitude: m?.slice(start, start + length) };
    return [name === '' ? path : `${path}.${name}`, values];
  });
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
