/** train with `replay`: the bits of training without, from one call of the loss for each shape of batch. */
import { assign, keep, key, mean, mul, setBackend, sum, tensor, type Tensor } from '@bax/core';
import {
  adamW, attachLora, createGpt2, gpt2Config, planLora, randomWindows, sgd, train, type TrainBatch, type TrainOptions, warmupCosine,
} from '@bax/nn'; // prettier-ignore
import { webgpu, type WebGpuBackend } from '@bax/webgpu';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { anyAdapter } from '../support/backends.ts';

let gpu: WebGpuBackend;
beforeAll(async () => setBackend((gpu = await webgpu(anyAdapter))));
afterAll(() => gpu.close());

const TOKENS = Int32Array.from({ length: 400 }, (_, i) => (i * i + 3 * i) % 32);
const config = gpt2Config({
  n_layer: 2, n_embd: 32, n_head: 2, n_positions: 16, vocab_size: 32, bos_token_id: null, eos_token_id: null,
  resid_pdrop: 0.1, attn_pdrop: 0, embd_pdrop: 0.1,
}); // prettier-ignore

async function trained(options: { replay: boolean; context: (step: number) => number; accumulate?: number }) {
  const model = createGpt2(config, { key: key(1) });
  const plan = planLora(model, { targets: ['c_attn', 'c_proj', 'c_fc'], r: 4, alpha: 8, dropout: 0.1 });
  const lora = await attachLora(model, plan, { key: key(2) });
  const optimizer = adamW(lora.parameters(), { lr: 0.01 });
  let calls = 0;
  const norms: number[] = [];
  const { losses } = await train({
    batches: (step, micro) => {
      const windows = randomWindows(TOKENS, step, {
        context: options.context(step),
        batch: 2,
        seed: 1 + micro,
      });
      return { ...windows, validTokens: windows.validTokens - (step % 2) * micro }; // weights that differ
    },
    loss: ({ ids, targets }, { key }) => {
      calls++;
      return lora.model.loss(ids, targets, { key });
    },
    optimizer,
    schedule: warmupCosine({ lr: 0.02, steps: 8, warmup: 2 }),
    clip: 0.5,
    steps: 8,
    replay: options.replay,
    onStep: ({ gradNorm }) => void norms.push(gradNorm),
    ...(options.accumulate ? { accumulate: options.accumulate } : {}),
  });
  const state = [...optimizer.stateTensors().values(), ...lora.parameters().values()];
  return { calls, losses, norms, values: await Promise.all(state.map(async (t) => [...(await t.data())])) };
}

it.each([
  ['one shape', () => 16, undefined, 1],
  ['micro-batches', () => 16, 3, 3],
  ['another shape from step 4 on', (step: number) => (step < 4 ? 8 : 16), undefined, 2],
  ['two shapes in turn', (step: number) => (step % 2 ? 8 : 16), undefined, 2],
  ['a shape for each step', (step: number) => 8 + step, undefined, 8],
] as const)('%s: the same bits', async (_, context, accumulate, recorded) => {
  const [eager, replayed] = [
    await trained({ replay: false, context, ...(accumulate ? { accumulate } : {}) }),
    await trained({ replay: true, context, ...(accumulate ? { accumulate } : {}) }),
  ];
  expect(eager.calls).toBe(8 * (accumulate ?? 1));
  expect({ ...replayed, calls: 0 }).toEqual({ ...eager, calls: 0 });
  expect(new Set(eager.losses).size).toBe(8);
  expect(replayed.calls).toBe(recorded);
});

interface Rows extends TrainBatch {
  readonly x: Tensor;
  readonly extra?: unknown;
}
const rows = (step: number): Rows => ({ x: tensor([step + 1, 2]), validTokens: 2 });
const w = (): Tensor => tensor([1, 1]);
const regression = (options: Partial<TrainOptions<Rows>>): TrainOptions<Rows> => ({
  batches: rows,
  loss: ({ x }) => mean(mul(x, x)),
  steps: 3,
  replay: true,
  ...options,
  optimizer: options.optimizer ?? sgd([w()]),
});

it.each<[string, Partial<TrainOptions<Rows>>]>([
  ['step', { loss: ({ x }, { step }) => mean(mul(x, step)) }],
  ['micro', { loss: ({ x }, { micro }) => mean(mul(x, micro)) }],
  ['validTokens', { loss: ({ x, validTokens }) => mean(mul(x, validTokens)) }],
])('a loss that reads %s is refused', async (name, options) => {
  await expect(train(regression(options))).rejects.toThrow(
    `train: the loss reads ${name}, which a recorded step cannot follow; give it as a tensor of the batch, or pass { replay: false }`,
  );
});

it('other values in a batch are followed by recording anew', async () => {
  const losses = async (replay: boolean): Promise<{ calls: number; losses: number[] }> => {
    let calls = 0;
    const weight = w();
    const result = await train(
      regression({
        replay,
        optimizer: sgd([weight], { lr: 0.01 }),
        batches: (step) => ({ ...rows(step), extra: { factors: [step < 2 ? 1 : 3] } }),
        loss: ({ x, extra }) => {
          calls++;
          return sum(mul(mul(x, weight), (extra as { factors: number[] }).factors[0]));
        },
        steps: 4,
      }),
    );
    return { calls, losses: result.losses };
  };
  const replayed = await losses(true);
  expect(replayed.losses).toEqual((await losses(false)).losses);
  expect(replayed.calls).toBe(2);
});

it.each<[string, (step: number, kept: { x: Tensor; list: Float32Array }) => Rows]>([
  [
    'an instance of a class',
    (step, { x }) => {
      assign(x, tensor([step + 1, 2]));
      return Object.assign(new (class Batch {})(), { x, validTokens: 2 });
    },
  ],
  [
    'an array that is filled anew',
    (step, { list }) => {
      list[0] = step;
      return { ...rows(0), extra: list, validTokens: 2 };
    },
  ],
])('%s in a batch is followed', async (_, batch) => {
  const losses = async (replay: boolean): Promise<number[]> => {
    const weight = w();
    const kept = { x: keep(tensor([0, 0])), list: new Float32Array(1) };
    const run = await train(
      regression({
        replay,
        optimizer: sgd([weight], { lr: 0.01 }),
        batches: (step) => batch(step, kept),
        loss: ({ x, extra }) => sum(mul(mul(x, weight), 1 + ((extra as Float32Array | undefined)?.[0] ?? 0))),
        steps: 4,
      }),
    );
    return run.losses;
  };
  expect(await losses(true)).toEqual(await losses(false));
});

it('the context may be passed on whole; a parameter that is gone is missed', async () => {
  const seen: unknown[] = [];
  const weight = w();
  const loss: TrainOptions<Rows>['loss'] = ({ x }, context) => {
    seen.push({ ...context });
    return sum(mul(x, weight));
  };
  await train(regression({ optimizer: sgd([weight]), loss }));
  expect(Object.keys(seen[0] as object)).toEqual(['key']);
  const [a, b] = [w(), w()];
  const run = train(
    regression({
      optimizer: sgd([a, b]),
      loss: ({ x }) => sum(mul(mul(x, a), b)),
      onStep: () => b.dispose(),
    }),
  );
  await expect(run).rejects.toThrow('this tensor was freed by dispose()');
});

it('stops at a loss that is NaN with the parameters of the step before, and frees what it holds', async () => {
  const fresh = await webgpu(anyAdapter);
  setBackend(fresh);
  const live: number[] = [];
  for (const replay of [false, true, true]) {
    const weight = w();
    const run = train(
      regression({
        replay,
        optimizer: sgd([weight], { lr: 0.5 }),
        batches: (step) => ({ x: tensor([step === 2 ? Number.NaN : 1, 2]), validTokens: 1 }),
        loss: ({ x }) => sum(mul(x, weight)),
        steps: 5,
      }),
    );
    await expect(run).rejects.toThrow('train: the loss is NaN at step 3 of 5');
    expect([...(await weight.data())]).toEqual([0, -1]);
    weight.dispose();
    live.push(fresh.memory().live);
  }
  expect(live).toEqual(live.map(() => live[0]));
  fresh.close();
  setBackend(gpu);
});
