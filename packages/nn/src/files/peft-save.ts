/** Writes adapters as PEFT does: adapter_config.json and adapter_model.safetensors. */
import { BaxError, type Tensor } from '@bax/core';
import { fingerprint } from '../fingerprint.ts';
import { Conv1D } from '../layers/conv1d.ts';
import { Embedding } from '../layers/embedding.ts';
import { matrix, type Matrix } from '../linalg/index.ts';
import type { Adapter } from '../lora/adapter.ts';
import type { LoraBranch } from '../lora/branch.ts';
import type { Adaptable } from '../lora/changed-rows.ts';
import { takesFromW } from '../lora/config.ts';
import { savedModules } from '../lora/full.ts';
import type { LoraModel } from '../lora/lora-model.ts';
import { matches, targetsOf } from '../lora/targets.ts';
import type { Module } from '../module.ts';
import { type HostBranch, type PeftModule, rowLengths, toBlocks } from './peft-blocks.ts';
import { peftConfig } from './peft-config-write.ts';
import { ADAPTER_WEIGHTS, fullName, partName } from './peft-names.ts';
import { writePair } from './peft-pair.ts';
import { type BranchRecord, writeRecord } from './peft-record.ts';
import { writeSafetensors, type TensorToWrite } from './safetensors-write.ts';
import { checkFolder, type WritableFolder } from './source.ts';

export interface SaveAdapterOptions {
  /** Which adapter, where the model has several. */
  readonly adapter?: string | undefined;
  /** What PEFT shall call the base model: a Hub name or a directory. */
  readonly baseModel?: string | undefined;
  /** Before anything is written. */
  readonly signal?: AbortSignal | undefined;
}
export interface SavedAdapter {
  /** Bytes of adapter_model.safetensors. */
  readonly bytes: number;
  /** Numbers trained: those of the adapter as it is held here. */
  readonly trained: number;
  /** Numbers in the file. More than `trained` where slices of a fused layer were written as one block with zeros. */
  readonly stored: number;
}

/** A module as it goes into the file. */
interface Entry extends PeftModule {
  readonly path: string;
  readonly embedding: boolean;
  readonly magnitude: Float64Array | undefined;
}

/**
 * Writes an adapter as it is at the call, in F32 whatever it is held in, so that PEFT loads it to the same logits; whether it is active and its
 * weight are not saved. What PiSSA and OLoRA took out of W is written with it, as a plain adapter of twice the rank for the
 * base as it was. The weights come first and the configuration last, each replaced whole or not at all, and never the weights
 * under an old configuration that is another: a process that is killed in between leaves weights alone, which nobody takes
 * for an adapter.
 * @throws if a value is not finite, or the model has several adapters and none is named; then nothing was written.
 */
export async function saveAdapter<M extends Module>(
  lora: LoraModel<M>,
  folder: WritableFolder,
  { adapter: name, baseModel, signal }: SaveAdapterOptions = {},
): Promise<SavedAdapter> {
  checkFolder('saveAdapter', folder);
  const adapter = lora.adapter(name).copy();
  try {
    return await saveCopy(adapter, lora.base, folder, { baseModel, signal });
  } finally {
    adapter.dispose();
  }
}

async function saveCopy(
  adapter: Adapter,
  base: Module,
  folder: WritableFolder,
  { baseModel, signal }: SaveAdapterOptions,
): Promise<SavedAdapter> {
  const entries = await entriesOf(adapter, base, signal);
  const tensors = entries.flatMap(tensorsOf);
  const adapted = new Set(entries.map(({ path }) => path));
  for (const [path, t] of adapter.full) {
    const key = fullName(path, adapted.has(path.slice(0, path.lastIndexOf('.'))));
    tensors.push({ name: key, dtype: 'F32', shape: t.shape, data: await valuesOf(path, t) });
  }
  const { config } = adapter;
  const layers = base.namedModules();
  const linears = entries.filter(({ embedding }) => !embedding);
  const json = peftConfig({
    lora: config,
    modules: new Map(entries.map(({ path, r, alpha }) => [path, { r, alpha }])),
    targets: shortTargets(base, [...adapted]),
    modulesToSave: savedModules(base, config.modulesToSave),
    fanInFanOut: linears.length > 0 && linears.every(({ path }) => layers.get(path) instanceof Conv1D),
    baseModel: baseModel ?? null,
    taskType: 'config' in base ? 'CAUSAL_LM' : null,
  });
  const slices = Object.fromEntries(
    entries.flatMap(({ path, records }): [string, readonly BranchRecord[]][] =>
      records ? [[path, records]] : [],
    ),
  );
  const record = {
    slices,
    ...(takesFromW(config.init) ? { init: config.init as 'pissa' | 'olora' } : {}),
    ...(config.freezeA ? { freezeA: true } : {}),
    ...optional('base', await fingerprint(base)),
  };
  signal?.throwIfAborted();
  const metadata = { format: 'pt', ...writeRecord(record) };
  const bytes = await writePair(folder, JSON.stringify(json, null, 2), async (into) =>
    writeSafetensors(into, ADAPTER_WEIGHTS, tensors, { metadata, atLeastOne: true }),
  );
  return {
    bytes,
    trained: adapter.parameterCount,
    stored: tensors.reduce((n, { shape }) => n + shape.reduce((a, b) => a * b, 1), 0),
  };
}

const optional = <T>(key: string, value: T | undefined): Record<string, T> =>
  value === undefined ? {} : { [key]: value };

/** The adapter's modules in the model's order, on the host. */
async function entriesOf(adapter: Adapter, base: Module, signal: AbortSignal | undefined): Promise<Entry[]> {
  const entries: Entry[] = [];
  for (const [path, layer] of base.namedModules()) {
    const branches = [...adapter.branches.values()].filter(({ place }) => place.modulePath === path);
    if (branches.length === 0) continue;
    signal?.throwIfAborted();
    branches.sort((a, b) => a.start - b.start);
    const hosts = await Promise.all(branches.map(hostBranch));
    const blocks = toBlocks(path, (layer as Adaptable).outFeatures, branches.map((branch, i) => ({ branch, host: hosts[i]! }))); // prettier-ignore
    const magnitude = await magnitudeOf(path, branches, layer as Adaptable);
    entries.push({ ...blocks, path, embedding: layer instanceof Embedding, magnitude });
  }
  return entries;
}

async function hostBranch(branch: LoraBranch): Promise<HostBranch> {
  const onHost = async (factor: 'A' | 'B' | 'A0' | 'B0'): Promise<Matrix | undefined> => {
    const t = branch[factor];
    return t && matrix(t.shape[0]!, t.shape[1]!, await valuesOf(branch.place.modulePath, t, factor));
  };
  const [A, B, A0, B0] = await Promise.all((['A', 'B', 'A0', 'B0'] as const).map(onHost));
  return { A: A!, B: B!, A0, B0 };
}

/** DoRA's m for all outputs: rows that no slice changes keep W's lengths. */
async function magnitudeOf(
  path: string,
  branches: readonly LoraBranch[],
  layer: Adaptable,
): Promise<Float64Array | undefined> {
  if (!branches[0]!.magnitude) return undefined;
  const whole = branches.reduce((n, b) => n + b.length, 0) === layer.outFeatures;
  const lengths = whole ? new Float64Array(layer.outFeatures) : await rowLengths(layer);
  for (const { magnitude, start } of branches)
    lengths.set(await valuesOf(path, magnitude!, 'magnitude'), start);
  return lengths;
}

/** @throws unless every value is finite as it will be stored: f32 may overflow where f64 did not. */
async function valuesOf(path: string, t: Tensor, what?: string): Promise<Float32Array> {
  const values = Float32Array.from(await t.data());
  if (!values.every(Number.isFinite))
    throw new BaxError(
      `saveAdapter: ${what ? `${what} of ` : ''}${path} holds values that are not finite; nothing was written`,
    );
  return values;
}

function tensorsOf({ path, embedding, A, B, magnitude }: Entry): TensorToWrite[] {
  const tensor = (part: 'A' | 'B' | 'magnitude', shape: readonly number[], data: Float64Array): TensorToWrite => ({
    name: partName(path, part, embedding),
    dtype: 'F32',
    shape,
    data: Float32Array.from(data),
  }); // prettier-ignore
  return [
    tensor('A', [A.rows, A.columns], A.data),
    tensor('B', [B.rows, B.columns], B.data),
    ...(magnitude ? [tensor('magnitude', [magnitude.length], magnitude)] : []),
  ];
}

/** The last names of the paths if they mean just these modules, else the whole paths. */
function shortTargets(model: Module, paths: readonly string[]): string[] {
  const short = [...new Set(paths.map((path) => path.split('.').at(-1)!))].sort();
  const meant = targetsOf(model).filter(
    ({ slice, path }) => !slice && short.some((name) => matches(name, path)),
  );
  return meant.length === paths.length ? short : [...paths];
}
