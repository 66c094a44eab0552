/** A training run that is killed and started again: called by tests, and a program of its own, `node survivor.mjs '{…}'`. */
import { createHash } from 'node:crypto';
import { fileURLToPath } from 'node:url';
import { type Backend, key, setBackend, type Tensor } from '@bax/core';
import { cpu } from '@bax/cpu';
import {
  adamW, attachLora, createGpt2, gpt2Config, type Optimizer, planLora, randomWindows, sgd, train, warmupCosine,
} from '@bax/nn'; // prettier-ignore
import { openFolder } from '@bax/nn/node';
import { wasm } from '@bax/wasm';
import { webgpu } from '@bax/webgpu';

export const BACKENDS = {
  cpu: async (): Promise<Backend> => cpu(),
  wasm: async (): Promise<Backend> => wasm({ threads: 1 }),
  webgpu: async (): Promise<Backend> => webgpu({ software: true }),
};
export type BackendName = keyof typeof BACKENDS;

export interface Job {
  /** An adapter with AdamW at two rates, or all parameters with momentum. */
  readonly trained: 'adapter' | 'all';
  readonly steps: number;
  /** Where its checkpoints lie, one a step; without, there are none. */
  readonly path?: string;
  /** How many of them. Default that of train. */
  readonly keep?: number;
}
/** All that is the same if all bits are. */
export interface Outcome {
  /** Where it began. */
  readonly began: number;
  readonly losses: readonly number[];
  /** SHA-256 of the trained parameters and of the optimiser's state. */
  readonly hash: string;
  readonly stepCount: number;
}

const TOKENS = Int32Array.from({ length: 400 }, (_, i) => (i * i + 3 * i) % 11);
const config = gpt2Config({
  n_layer: 1, n_embd: 8, n_head: 2, n_positions: 8, vocab_size: 11, bos_token_id: null, eos_token_id: null,
  resid_pdrop: 0.1, embd_pdrop: 0.1, attn_pdrop: 0.1,
}); // prettier-ignore

/** Dropout, micro-batches of unequal weight, clipping, a schedule; recorded steps where there are. */
export async function run(backend: Backend, { trained, steps, path, keep }: Job): Promise<Outcome> {
  setBackend(backend);
  const base = createGpt2(config, { key: key(1) });
  const plan = planLora(base, { targets: ['q', 'c_proj', 'c_fc'], r: 2, alpha: 4, dropout: 0.2 });
  const lora = await attachLora(base, plan, { key: key(2) });
  const model = trained === 'adapter' ? lora.model : base;
  const optimizer = trained === 'adapter' ? adapterOptimizer(lora.parameters()) : sgd(base.namedParameters(), { momentum: 0.9, nesterov: true, weightDecay: 0.01 }); // prettier-ignore
  let began = 0;
  const { losses } = await train({
    batches(step, micro) {
      const windows = randomWindows(TOKENS, step, { context: 8, batch: 2, seed: 5 + micro });
      return { ...windows, validTokens: windows.validTokens - (step % 3) * micro };
    },
    loss: ({ ids, targets }, { key }) => model.loss(ids, targets, { key }),
    optimizer,
    schedule: warmupCosine({ lr: 0.05, warmup: 2, steps, final: 0.001 }),
    clip: 0.5,
    accumulate: 2,
    seed: 7,
    steps,
    replay: true,
    ...(path === undefined
      ? {}
      : {
          checkpoints: {
            folder: await openFolder(path, { create: true }),
            every: 1,
            ...(keep === undefined ? {} : { keep }),
            settings: { trained, data: 'squares' },
            onResume: ({ steps, broken }) => {
              if (broken.length > 0) throw new Error(broken.join());
              began = steps;
            },
          },
        }),
  });
  const hash = createHash('sha256');
  for (const t of [...optimizer.params, ...optimizer.stateTensors().values()]) {
    const { buffer, byteOffset, byteLength } = await t.data();
    hash.update(new Uint8Array(buffer, byteOffset, byteLength));
  }
  return { began, losses, hash: hash.digest('hex'), stepCount: optimizer.stepCount };
}

function adapterOptimizer(factors: ReadonlyMap<string, Tensor>): Optimizer {
  const those = (letter: string) => new Map([...factors].filter(([name]) => name.endsWith(letter)));
  const groups = [{ params: those('A') }, { params: those('B'), lrRatio: 4, weightDecay: 0 }];
  return adamW(groups, { betas: [0.9, 0.95], weightDecay: 0.1 });
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const { backend, jobs } = JSON.parse(process.argv[2]!) as { backend: BackendName; jobs: Job[] };
  const opened = await BACKENDS[backend]();
  const outcomes: Outcome[] = [];
  for (const job of jobs) outcomes.push(await run(opened, job));
  console.log(JSON.stringify(outcomes));
  process.exit(0);
}
