/**
 * A checkpoint in one sealed safetensors file:
 *
 *     parameter/<name>           what is trained, in its own dtype
 *     optimizer/<name>.<kind>    the optimiser's state
 *     losses, rates              F64 [steps]: loss and learning rate of each step made
 *     metadata bax               { version, stepCount, seconds, run }
 */
import { assign, BaxError, fromHost, showShape, type Tensor } from '@bax/core';
import type { Optimizer } from '../optim/optimizer.ts';
import { isJsonObject, parseJson, type JsonObject } from './json.ts';
import type { Safetensors } from './safetensors.ts';
import { SEAL, writeSealed } from './sealed.ts';
import type { WritableFolder } from './source.ts';

const KEY = 'bax';
const VERSION = 1;
const MAX_BYTES = 1 << 24;

/** Where a run stands. */
export interface RunState {
  /** Of each step made, in nats. */
  readonly losses: readonly number[];
  /** The learning rate of each step made. */
  readonly rates: readonly number[];
  /** Spent in training. */
  readonly seconds: number;
}
export interface Checkpoint extends RunState {
  /** Of the optimiser. */
  readonly stepCount: number;
  /** What the run was made with. */
  readonly run: JsonObject;
}

export async function writeCheckpoint(
  folder: WritableFolder,
  file: string,
  optimizer: Optimizer,
  { losses, rates, seconds }: RunState,
  run: JsonObject,
): Promise<void> {
  const { stepCount } = optimizer;
  const numbers = (name: string, values: readonly number[]) =>
    ({ name, dtype: 'F64', shape: [values.length], data: Float64Array.from(values) }) as const;
  const tensors = [...tensorsOf(optimizer)].map(([name, t]) =>
    t.dtype === 'f64'
      ? ({ name, dtype: 'F64', shape: t.shape, data: async () => (await t.data()) as Float64Array } as const)
      : ({ name, dtype: 'F32', shape: t.shape, data: async () => (await t.data()) as Float32Array } as const),
  );
  await writeSealed(folder, file, [...tensors, numbers('losses', losses), numbers('rates', rates)], {
    [KEY]: JSON.stringify({ version: VERSION, stepCount, seconds, run }),
  });
}

/** What a file says beside its tensors. @throws if it is no checkpoint. */
export async function readCheckpoint(file: Safetensors): Promise<Checkpoint> {
  const where = `${file.name}: metadata '${KEY}'`;
  const json = parseJson(file.metadata[KEY] ?? '{}', { where, maxBytes: MAX_BYTES });
  const { version, stepCount, seconds, run } = isJsonObject(json) ? json : {};
  const isCount = (x: unknown): x is number => typeof x === 'number' && Number.isSafeInteger(x) && x >= 0;
  const isCost = (x: unknown): x is number => typeof x === 'number' && x >= 0 && x < Infinity;
  if (version !== VERSION || !isCount(stepCount) || !isCost(seconds) || !isJsonObject(run))
    throw new BaxError(`${where} is not that of a checkpoint of version ${VERSION}`);
  const numbers = async (name: string): Promise<number[]> => {
    const { dtype, shape = [] } = file.tensors.get(name) ?? {};
    if (dtype !== 'F64' || shape.length !== 1)
      throw new BaxError(`${file.name} is not a checkpoint: '${name}' is no list of F64`);
    const values = await file.readFloat(name, 'f64');
    if (values.every(Number.isFinite)) return [...values];
    throw new BaxError(`${file.name}: '${name}' holds values that are not finite`);
  };
  const [losses, rates] = [await numbers('losses'), await numbers('rates')];
  if (losses.length !== rates.length)
    throw new BaxError(`${file.name} has ${losses.length} losses and ${rates.length} learning rates`);
  return { losses, rates, seconds, stepCount, run };
}

/** The tensors that a file holds of a run, each with its dtype and shape. */
export const storedTensors = ({ tensors }: Safetensors): Record<string, string> =>
  Object.fromEntries(
    [...tensors]
      .filter(([name]) => !['losses', 'rates', SEAL].includes(name))
      .map(([name, { dtype, shape }]) => [name, `${dtype} ${showShape(shape)}`]),
  );
/** Those that it would hold of this one. */
export const ownTensors = (optimizer: Optimizer): Record<string, string> =>
  Object.fromEntries(
    [...tensorsOf(optimizer)].map(([name, t]) => [name, `${t.dtype.toUpperCase()} ${showShape(t.shape)}`]),
  );

/** Fills parameters and state, all or nothing, from a file whose tensors are the optimiser's own. */
export async function restore(file: Safetensors, optimizer: Optimizer, stepCount: number): Promise<void> {
  const read = new Map<string, Tensor>();
  try {
    for (const [name, { dtype, backend }] of tensorsOf(optimizer)) {
      const stored = await file.read(name);
      if (stored.dtype !== 'F32' && stored.dtype !== 'F64')
        throw new BaxError(`${file.name}: '${name}' is ${stored.dtype}, no float that is trained`);
      read.set(name, fromHost(stored.data, stored.shape, dtype, { backend }));
    }
    const state = [...optimizer.stateTensors().keys()].map(
      (name) => [name, read.get(`optimizer/${name}`)!] as const,
    );
    optimizer.load(new Map(state), stepCount);
    for (const [name, t] of optimizer.namedParams) assign(t, read.get(`parameter/${name}`)!);
  } finally {
    for (const t of read.values()) t.dispose();
  }
}

/** What is trained and the state, under the names of the file. */
const tensorsOf = (optimizer: Optimizer): Map<string, Tensor> =>
  new Map([
    ...[...optimizer.namedParams].map(([name, t]) => [`parameter/${name}`, t] as const),
    ...[...optimizer.stateTensors()].map(([name, t]) => [`optimizer/${name}`, t] as const),
  ]);
