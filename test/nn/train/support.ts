/** A run as small as can be, with everything that a checkpoint must hold. */
import { dropout, foldIn, key, mean, mul, randn, sub, type Tensor } from '@bax/core';
import {
  adamW, crc32, memoryFolder, type Optimizer, sgd, train, type TrainBatch, type TrainOptions, type TrainResult, warmupLinear,
  type WritableFolder,
} from '@bax/nn'; // prettier-ignore
import { expect } from 'vitest';
import { hashes } from '../support/hash.ts';

export const STEPS = 7;
export interface Rows extends TrainBatch {
  readonly x: Tensor;
  readonly y: Tensor;
}
export interface Run {
  readonly optimizer: Optimizer;
  train(options?: Partial<TrainOptions<Rows>>): Promise<TrainResult>;
  bits(): Promise<unknown>;
}
export type Make = (params: Map<string, Tensor>) => Optimizer;
export const momentum: Make = (params) => sgd(params, { momentum: 0.9, weightDecay: 0.1 });
export const adam: Make = (params) => adamW(params, { betas: [0.8, 0.9] });

/** Least squares with dropout, on weights w [3, 2] and b [2]. `start` is the key of the first weights. */
export function newRun({
  make = momentum,
  dtype = 'f32' as 'f32' | 'f64',
  start = 1,
  names = ['w', 'b'],
} = {}): Run {
  const normal = (shape: number[], k: number): Tensor => randn(shape, { key: foldIn(key(start), k), dtype });
  const [w, b] = [normal([3, 2], 0), normal([2], 1)];
  const optimizer = make(new Map([[names[0]!, w], [names[1]!, b]])); // prettier-ignore
  return {
    optimizer,
    train: async (options) =>
      train<Rows>({
        batches: (step, micro) => ({
          x: randn([2 + micro, 3], { key: foldIn(key(5), 10 * step + micro), dtype }),
          y: randn([2 + micro, 2], { key: foldIn(key(6), 10 * step + micro), dtype }),
          validTokens: 2 + micro,
        }),
        loss: ({ x, y }, { key }) => {
          const error = sub(dropout(x.matmul(w), { p: 0.3, key }).add(b), y);
          return mean(mul(error, error));
        },
        schedule: warmupLinear({ lr: 0.1, steps: STEPS, warmup: 2 }),
        clip: 1,
        accumulate: 2,
        seed: 3,
        steps: STEPS,
        optimizer,
        ...options,
      }),
    bits: async () => ({
      params: await hashes(optimizer.namedParams),
      state: await hashes(optimizer.stateTensors()),
      count: optimizer.stepCount,
    }),
  };
}

/** A folder that says what is done to it. */
export function loggedFolder(): WritableFolder & { readonly log: string[] } {
  const folder = memoryFolder({}, 'runs');
  const log: string[] = [];
  return {
    ...folder,
    log,
    async write(name, chunks, bytes) {
      const written = await folder.write(name, chunks, bytes);
      log.push(`write ${name}`);
      return written;
    },
    async remove(name) {
      log.push(`remove ${name}`);
      return folder.remove(name);
    },
  };
}
export const file = (steps: number): string => `checkpoint-${steps}.safetensors`;
/** What an uninterrupted run of seven steps comes to. */
export async function unstopped(
  options: Parameters<typeof newRun>[0] = {},
): Promise<{ losses: number[]; bits: unknown }> {
  const run = newRun(options);
  const { losses } = await run.train();
  expect(new Set(losses).size).toBe(STEPS);
  return { losses, bits: await run.bits() };
}
/** A folder with the checkpoints of 2, 4, 5 steps, where the run was stopped. */
export async function stopped(
  options: Parameters<typeof newRun>[0] = {},
  settings = {},
): Promise<WritableFolder> {
  const folder = memoryFolder({}, 'runs');
  const stop = new AbortController();
  const onStep = ({ step }: { step: number }): void => void (step === 4 && stop.abort());
  await newRun(options).train({
    signal: stop.signal,
    onStep,
    checkpoints: { folder, every: 2, keep: 3, settings },
  });
  expect(await folder.list()).toEqual([2, 4, 5].map(file));
  return folder;
}
export const bytesOf = async (folder: WritableFolder, name: string): Promise<Uint8Array> => {
  const source = await folder.open(name);
  return source.read(0, source.size);
};

/** The same with a checksum that fits, where it has room for one. */
export function sealed(bytes: Uint8Array): Uint8Array {
  const own = bytes.slice();
  if (own.length >= 4) new DataView(own.buffer).setUint32(own.length - 4, crc32(own.subarray(0, -4)), true);
  return own;
}
