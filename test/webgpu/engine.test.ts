/** The engine room: what a training step costs the host, and that it keeps costing the same. */
import {
  assign, fromHost, grad, key, matmul, mean, mul, scope, setBackend, sub, tensor, type Tensor, valueAndGrad,
} from '@bax/core'; // prettier-ignore
import {
  adamW,
  attachLora,
  createGpt2,
  gpt2Config,
  planLora,
  randomWindows,
  train,
  type LoraModel,
} from '@bax/nn';
import { type Counts, webgpu, type WebGpuBackend } from '@bax/webgpu';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { anyAdapter } from '../support/backends.ts';

const TOKENS = Int32Array.from({ length: 400 }, (_, i) => (i * i + 3 * i) % 32);
const config = gpt2Config({
  n_layer: 2, n_embd: 32, n_head: 2, n_positions: 16, vocab_size: 32, bos_token_id: null, eos_token_id: null,
}); // prettier-ignore

let backend: WebGpuBackend;
beforeAll(async () => setBackend((backend = await webgpu(anyAdapter))));
afterAll(() => backend.close());

async function adapted(): Promise<LoraModel<ReturnType<typeof createGpt2>>> {
  const model = createGpt2(config, { key: key(1) });
  return attachLora(model, planLora(model, { targets: ['c_attn', 'c_proj', 'c_fc'], r: 4, alpha: 8 }), {
    key: key(2),
  });
}

/** What each step made on the device. */
async function counted(steps: number): Promise<Counts[]> {
  const lora = await adapted();
  const seen: Counts[] = [backend.counts()];
  await train({
    batches: (step) => randomWindows(TOKENS, step, { context: 16, batch: 2, seed: 1 }),
    loss: ({ ids, targets }, context) => lora.model.loss(ids, targets, context),
    optimizer: adamW(lora.parameters(), { lr: 0.01 }),
    clip: 1,
    steps,
    onStep: () => void seen.push(backend.counts()),
  });
  return seen;
}
const madeBetween = (a: Counts, b: Counts): Record<string, number> => ({
  buffers: b.buffers - a.buffers,
  pipelines: b.pipelines - a.pipelines,
  bindGroups: b.bindGroups - a.bindGroups,
});

describe('a training step in steady state', () => {
  it('makes no buffer, no pipeline and no bind group', async () => {
    const seen = await counted(8);
    const steps = seen.slice(1).map((counts, i) => madeBetween(seen[i], counts));
    expect(steps[0].pipelines).toBeGreaterThan(0); // the counters count
    expect(steps[0].buffers).toBeGreaterThan(0);
    expect(steps.slice(4)).toEqual(steps.slice(4).map(() => ({ buffers: 0, pipelines: 0, bindGroups: 0 })));
  });

  it('is a few submits of many dispatches', async () => {
    const seen = await counted(6);
    const [before, after] = seen.slice(-2);
    const dispatches = after.dispatches - before.dispatches;
    expect(dispatches).toBeGreaterThan(50);
    expect(after.submits - before.submits).toBeLessThanOrEqual(Math.ceil(dispatches / 64) + 4);
  });
});

it('several reads that are asked for at once share a submit', async () => {
  const buffers = Array.from({ length: 20 }, () => backend.alloc(4, 'f32'));
  const { submits } = backend.counts();
  await Promise.all(buffers.map(async (buffer) => backend.read(buffer)));
  expect(backend.counts().submits).toBe(submits + 1);
  buffers.forEach((buffer) => backend.free(buffer));
});

it('ten thousand training steps hold live, pooled and peak memory constant', async () => {
  const own = await webgpu(anyAdapter); // on which nothing waits for the garbage collector
  const make = (seed: number, rows: number, columns: number): Tensor =>
    tensor(
      Float32Array.from({ length: rows * columns }, (_, i) => Math.sin(seed + i)),
      { shape: [rows, columns], backend: own },
    );
  const [x, y, w] = [make(1, 16, 8), make(2, 16, 4), make(3, 8, 4)];
  w.requiresGrad = true;
  const step = (): void =>
    scope(() => {
      const error = sub(matmul(x, w), y);
      const [g] = grad(mean(mul(error, error)), [w]);
      assign(w, sub(w.detach(), mul(g, 0.01)));
    });
  const measured: object[] = [];
  const created: object[] = [];
  for (let i = 0; i < 10_000; i++) {
    step();
    if (i % 100 === 99) await w.data(); // as a trainer looks at its loss
    if (i === 999 || i === 4999 || i === 9999) {
      const { live, pooled, peak, buffers } = own.memory();
      measured.push({ live, pooled, peak, buffers });
      const counts = own.counts();
      created.push({ buffers: counts.buffers, pipelines: counts.pipelines, bindGroups: counts.bindGroups });
    }
  }
  expect(measured[1]).toEqual(measured[0]);
  expect(measured[2]).toEqual(measured[0]);
  expect(created[2]).toEqual(created[0]);
  expect(Array.from(await w.data()).every(Number.isFinite)).toBe(true);
  own.close();
}, 120_000);

it('warmUp compiles what a step needs', async () => {
  const fresh = await webgpu(anyAdapter);
  setBackend(fresh);
  const lora = await adapted();
  const [ids, targets] = [0, 1].map(() =>
    fromHost(
      Int32Array.from({ length: 16 }, (_, i) => i),
      [1, 16],
      'i32',
    ),
  );
  const step = (): unknown =>
    valueAndGrad(() => lora.model.loss(ids, targets), [...lora.parameters().values()]);
  await fresh.warmUp(step);
  const { pipelines } = fresh.counts();
  expect(pipelines).toBeGreaterThan(10);
  await fresh.warmUp(step);
  expect(fresh.counts().pipelines).toBe(pipelines);
  fresh.close();
  setBackend(backend);
}, 60_000);
