/** The checkpoints of a run: written, turned over, and found again. */
import { BaxError } from '@bax/core';
import {
  ownTensors, readCheckpoint, restore, type RunState, storedTensors, writeCheckpoint,
} from '../files/checkpoint.ts'; // prettier-ignore
import { isJsonObject, type JsonObject, parseJson } from '../files/json.ts';
import { differences } from '../files/json-differences.ts';
import { openSafetensors, type Safetensors } from '../files/safetensors.ts';
import { faultOf } from '../files/sealed.ts';
import type { ByteSource } from '../files/source.ts';
import type { CheckpointOptions, TrainBatch, TrainOptions } from './options.ts';

const NAME = /^checkpoint-(0|[1-9]\d{0,14})\.safetensors$/;
const nameOf = (steps: number): string => `checkpoint-${steps}.safetensors`;
const MOST_LINES = 12;

export interface Checkpoints {
  /** Where the run stood; undefined at its beginning. */
  readonly found: RunState | undefined;
  /** Resolves when the checkpoint is durable, and older ones than are kept are gone. */
  save(state: RunState): Promise<void>;
}

/**
 * Fills parameters and optimiser from the newest checkpoint that is whole.
 * @throws if it is that of another run; then nothing was changed.
 */
export async function openCheckpoints<B extends TrainBatch>(
  options: TrainOptions<B>,
  { folder, keep = 2, settings = {}, onResume = warn }: CheckpointOptions,
): Promise<Checkpoints> {
  const { optimizer, clip, accumulate = 1, seed = 0 } = options;
  const run = asJson({ optimizer: optimizer.settings, clip, accumulate, seed, settings });
  /** The steps of those that are known to be whole, the newest last. */
  const whole: number[] = [];
  const broken: string[] = [];
  const stepsThere = async (): Promise<number[]> =>
    (await folder.list())
      .flatMap((name) => NAME.exec(name)?.slice(1).map(Number) ?? [])
      .sort((a, b) => a - b);

  async function resume(source: ByteSource, steps: number): Promise<RunState> {
    const file = await openSafetensors(source);
    const state = await readCheckpoint(file);
    if (state.losses.length !== steps)
      throw new BaxError(
        `${file.name} is the checkpoint of ${state.losses.length} steps, under another name`,
      );
    mustAgree(file, [
      ...differences(state.run, run),
      ...differences(storedTensors(file), ownTensors(optimizer)),
      ...otherRates(state.rates, options),
    ]);
    await restore(file, optimizer, state.stepCount);
    return state;
  }
  async function newest(): Promise<RunState | undefined> {
    for (const steps of (await stepsThere()).reverse()) {
      const source = await folder.open(nameOf(steps));
      try {
        const fault = await faultOf(source);
        if (fault === undefined) {
          const state = await resume(source, steps);
          whole.push(steps);
          return state;
        }
        broken.push(`${source.name} is not whole: ${fault}`);
      } finally {
        await source.close();
      }
    }
    return undefined;
  }

  const found = await newest();
  if (found || broken.length > 0)
    onResume({ steps: found?.losses.length ?? 0, losses: found?.losses ?? [], seconds: found?.seconds ?? 0, broken }); // prettier-ignore
  return {
    found,
    async save(state) {
      const steps = state.losses.length;
      await writeCheckpoint(folder, nameOf(steps), optimizer, state, run);
      whole.push(steps);
      const oldest = whole.at(-keep);
      if (oldest === undefined) return;
      for (const old of await stepsThere()) if (old < oldest) await folder.remove(nameOf(old));
    },
  };
}

const warn: NonNullable<CheckpointOptions['onResume']> = ({ steps, broken }) => {
  const where = steps === 0 ? 'the beginning' : `step ${steps}`;
  for (const line of broken) console.warn(`train: ${line}; training goes on from ${where}`);
};

/** As it will be read again. */
function asJson(run: object): JsonObject {
  const where = 'train: the settings of checkpoints';
  let text: string;
  try {
    text = JSON.stringify(run);
  } catch (cause) {
    throw new BaxError(`${where} are not JSON: ${String(cause)}`, { cause });
  }
  const json = parseJson(text, { where, maxBytes: 1 << 23, maxDepth: 60 });
  if (isJsonObject(json)) return json;
  throw new BaxError(`${where} are no object`);
}

/** The steps that were made must have had the learning rates that they would have now. */
function otherRates<B extends TrainBatch>(rates: readonly number[], options: TrainOptions<B>): string[] {
  const { optimizer, schedule = () => optimizer.lr, steps } = options;
  const lines = rates.length > steps ? [`steps was ${rates.length} or more, is ${steps}`] : [];
  // A cosine may differ in its last bits between two engines.
  const isNear = (a: number, b: number): boolean => Math.abs(a - b) <= 2 ** -40 * Math.abs(a);
  const step = rates.findIndex((rate, i) => !isNear(rate, schedule(i)));
  if (step >= 0) lines.push(`the learning rate of step ${step + 1} was ${rates[step]}, is ${schedule(step)}`);
  return lines;
}

function mustAgree(file: Safetensors, lines: readonly string[]): void {
  if (lines.length === 0) return;
  const more = lines.length > MOST_LINES ? [`and ${lines.length - MOST_LINES} more`] : [];
  const all = [...lines.slice(0, MOST_LINES), ...more].map((line) => `\n  ${line}`).join('');
  throw new BaxError(
    `train: ${file.name} is of another run, and nothing was changed; give checkpoints another folder, or delete these to begin anew${all}`,
  );
}
