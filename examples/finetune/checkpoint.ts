/** Training state in one file, replaced whole or not at all: parameters, optimiser state, and where the run stands. */
import { assign, BaxError, fromHost, type Tensor } from '@bax/core';
import {
  openSafetensors,
  writeSafetensors,
  type Optimizer,
  type TensorToWrite,
  type WritableFolder,
} from '@bax/nn';

const FILE = 'checkpoint.safetensors';

export interface RunState {
  /** Steps done. */
  readonly step: number;
  /** Loss of each step, in nats. */
  readonly losses: readonly number[];
  /** Seconds spent so far, over all sessions. */
  readonly seconds: number;
  /** What the run was started with; a checkpoint of another run is refused. */
  readonly settings: string;
}

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

/** Fills parameters and optimiser from the folder's checkpoint; undefined if it has none. */
export async function loadCheckpoint(
  folder: WritableFolder,
  parameters: ReadonlyMap<string, Tensor>,
  optimizer: Optimizer,
  settings: string,
): Promise<RunState | undefined> {
  if (!(await folder.has(FILE))) return undefined;
  const file = await openSafetensors(await folder.open(FILE));
  try {
    const state = JSON.parse(file.metadata['run'] ?? '{}') as RunState;
    if (state.settings !== settings)
      throw new BaxError(
        `${folder.name}/${FILE} belongs to a run with other settings: ${state.settings}; this one has ${settings}. Use another --out, or delete it`,
      );
    const read = async (name: string, like: Tensor): Promise<Tensor> =>
      fromHost(await file.readFloat(name), like.shape, 'f32', { backend: like.backend });
    for (const [name, t] of parameters) {
      const saved = await read(`parameter/${name}`, t);
      assign(t, saved);
      saved.dispose();
    }
    const restored = new Map<string, Tensor>();
    for (const [name, t] of optimizer.stateTensors()) restored.set(name, await read(`optimizer/${name}`, t));
    optimizer.load(restored, state.step);
    for (const t of restored.values()) t.dispose();
    return state;
  } finally {
    await file.close();
  }
}
