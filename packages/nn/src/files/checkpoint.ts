/** Training state in one file, replaced whole or not at all: parameters, optimiser state, and where the run stands. */
import { assign, BaxError, fromHost, sameShape, showShape, type Tensor } from '@bax/core';
import type { Optimizer } from '../optim/optimizer.ts';
import { isJsonObject, parseJson } from './json.ts';
import { openSafetensors, type Safetensors } from './safetensors.ts';
import { writeSafetensors, type TensorToWrite } from './safetensors-write.ts';
import type { WritableFolder } from './source.ts';

const FILE = 'checkpoint.safetensors';

export interface RunState {
  /** Steps done. */
  readonly step: number;
  /** Loss of each step, in nats. */
  readonly losses: readonly number[];
  /** Seconds spent so far, over all its runs. */
  readonly seconds: number;
  /** What the run was started with; a checkpoint of another run is refused. */
  readonly settings: string;
}

/**
 * Writes `checkpoint.safetensors`: with `loadCheckpoint` and `train`'s `startStep` a run goes on bit for bit, whenever and
 * however it was interrupted.
 */
export async function saveCheckpoint(
  folder: WritableFolder,
  parameters: ReadonlyMap<string, Tensor>,
  optimizer: Optimizer,
  state: RunState,
): Promise<void> {
  const entry = (name: string, t: Tensor): TensorToWrite => ({
    name,
    dtype: 'F32',
    shape: t.shape,
    data: () => t.data() as Promise<Float32Array>,
  });
  const tensors = [
    ...[...parameters].map(([name, t]) => entry(`parameter/${name}`, t)),
    ...[...optimizer.stateTensors()].map(([name, t]) => entry(`optimizer/${name}`, t)),
  ];
  await writeSafetensors(folder, FILE, tensors, {
    metadata: { run: JSON.stringify(state) },
    atLeastOne: true,
  });
}

/**
 * Fills parameters and optimiser from the folder's checkpoint; undefined if it has none.
 * @throws if it belongs to another run or is broken; then nothing was changed.
 */
export async function loadCheckpoint(
  folder: WritableFolder,
  parameters: ReadonlyMap<string, Tensor>,
  optimizer: Optimizer,
  settings: string,
): Promise<RunState | undefined> {
  if (!(await folder.has(FILE))) return undefined;
  const file = await openSafetensors(await folder.open(FILE));
  const read: Tensor[] = [];
  const readLike = async (prefix: string, own: ReadonlyMap<string, Tensor>): Promise<Map<string, Tensor>> => {
    const found = new Map<string, Tensor>();
    for (const [name, like] of own) {
      const values = await file.readFloat(`${prefix}/${name}`);
      const { shape } = file.tensors.get(`${prefix}/${name}`)!;
      if (!sameShape(shape, like.shape))
        throw new BaxError(`${file.name}: ${name} is ${showShape(shape)}, not ${showShape(like.shape)}`);
      const t = fromHost(values, shape, 'f32', { backend: like.backend });
      read.push(t);
      found.set(name, t);
    }
    return found;
  };
  try {
    const state = runState(file);
    if (state.settings !== settings)
      throw new BaxError(
        `${file.name} belongs to a run with other settings: ${state.settings}; this one has ${settings}. Use another --out, or delete it`,
      );
    const saved = await readLike('parameter', parameters);
    optimizer.load(await readLike('optimizer', optimizer.stateTensors()), state.step);
    for (const [name, t] of parameters) assign(t, saved.get(name)!);
    return state;
  } finally {
    for (const t of read) t.dispose();
    await file.close();
  }
}

function runState({ name, metadata }: Safetensors): RunState {
  const where = `${name}: metadata 'run'`;
  const json = parseJson(metadata['run'] ?? '{}', { where, maxBytes: 1 << 26 });
  const { step, losses, seconds, settings } = isJsonObject(json) ? json : {};
  if (
    !(Array.isArray(losses) && losses.every((loss) => typeof loss === 'number')) ||
    step !== losses.length ||
    typeof seconds !== 'number' ||
    typeof settings !== 'string'
  )
    throw new BaxError(`${where} does not say where a run stands; delete the file to start anew`);
  return { step, losses, seconds, settings };
}
