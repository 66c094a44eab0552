/** Recorded steps: made again, they give the bits of the step itself. And dry runs, which give none. */
import {
  add, argmax, assign, type Backend, dropout, foldIn, full, gather, grad, type Key, key, keep, mean, mul, record, scope,
  setBackend, sub, sum, type Tensor, tensor, valueAndGrad, zeros,
} from '@bax/core'; // prettier-ignore
import { cpu } from '@bax/cpu';
import { adamW, attachLora, createGpt2, gpt2Config, type Optimizer, planLora, sgd } from '@bax/nn';
import { webgpu, type WebGpuBackend } from '@bax/webgpu';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { anyAdapter } from '../support/backends.ts';

let gpu: WebGpuBackend;
beforeAll(async () => (gpu = await webgpu(anyAdapter)));
afterAll(() => gpu.close());

const f32 = (values: number[], backend: Backend): Tensor => tensor(values, { backend });
const valuesOf = async (t: Tensor): Promise<number[]> => [...(await t.data())];

const config = gpt2Config({
  n_layer: 2, n_embd: 32, n_head: 2, n_positions: 16, vocab_size: 32, bos_token_id: null, eos_token_id: null,
}); // prettier-ignore

/** Everything that a training step has: embeddings, dropout, LoRA, AdamW with a schedule. */
async function training(backend: Backend) {
  setBackend(backend);
  const model = createGpt2({ ...config, resid_pdrop: 0.1, embd_pdrop: 0.1 }, { key: key(1) });
  const plan = planLora(model, { targets: ['c_attn', 'c_fc'], r: 4, alpha: 8, dropout: 0.2 });
  const lora = await attachLora(model, plan, { key: key(2) });
  const [wte] = [...model.namedParameters()].find(([name]) => name.endsWith('wte.weight'))!.slice(1) as [
    Tensor,
  ];
  const params = [...lora.parameters().values(), wte];
  const optimizer = adamW(params, { lr: 0.01 });
  const [ids, targets] = [0, 1].map(() => keep(zeros([2, 16], { dtype: 'i32' })));
  const stepKey = new Uint32Array(2);
  const at = { lr: 0 };
  const step = (): Tensor =>
    scope(() => {
      const { value, grads } = valueAndGrad(
        () => lora.model.loss(ids, targets, { key: foldIn(stepKey, 'step') }),
        params,
      );
      optimizer.step(grads, () => at.lr);
      return value;
    });
  const feed = (n: number): void => {
    const line = Int32Array.from({ length: 33 }, (_, i) => (i * i + 5 * n * i + n) % 32);
    scope(() => {
      assign(ids, tensor(line.slice(0, 32), { shape: [2, 16] }));
      assign(targets, tensor(line.slice(1), { shape: [2, 16] }));
    });
    stepKey.set(foldIn(key(7), n) as Key);
    at.lr = 0.01 / (n + 1);
  };
  return { params, optimizer, step, feed };
}

async function after(
  steps: number,
  backend: Backend,
  replayed: boolean,
): Promise<{ losses: number[]; params: number[][]; state: number[][]; optimizer: Optimizer }> {
  const { params, optimizer, step, feed } = await training(backend);
  const losses: number[] = [];
  feed(0);
  const replay = replayed ? record(backend, step) : undefined;
  for (let n = 0; n < steps; n++) {
    feed(n);
    if (replay && n > 0) replay.run();
    const loss = replay ? replay.result : step();
    losses.push(await loss.item());
    if (!replay) loss.dispose();
  }
  const state = await Promise.all([...optimizer.stateTensors().values()].map(valuesOf));
  return { losses, params: await Promise.all(params.map(valuesOf)), state, optimizer };
}

describe('a recorded training step', () => {
  it('gives the bits of the step itself, with other batches, keys and learning rates', async () => {
    const [eager, replayed] = [await after(6, gpu, false), await after(6, gpu, true)];
    expect(new Set(eager.losses).size).toBe(6);
    expect(replayed.losses).toEqual(eager.losses);
    expect(replayed.params).toEqual(eager.params);
    expect(replayed.state).toEqual(eager.state);
    expect(replayed.optimizer.stepCount).toBe(6);
  }, 120_000);

  it('so it does on a backend that runs the step again', async () => {
    const [eager, replayed] = [await after(3, cpu(), false), await after(3, cpu(), true)];
    expect(replayed.losses).toEqual(eager.losses);
    expect(replayed.params).toEqual(eager.params);
    expect(replayed.optimizer.stepCount).toBe(3);
  });

  it('makes nothing, and no call of the step', async () => {
    const { step, feed } = await training(gpu);
    let calls = 0;
    feed(0);
    const replay = record(gpu, () => (calls++, step()));
    await replay.result.item();
    replay.run();
    await replay.result.item();
    const [counts, memory] = [gpu.counts(), gpu.memory()];
    for (let i = 0; i < 5; i++) replay.run();
    await replay.result.item();
    const made = gpu.counts();
    expect(made.dispatches - counts.dispatches).toBeGreaterThan(5 * 50);
    expect({ ...made, dispatches: 0, submits: 0 }).toEqual({ ...counts, dispatches: 0, submits: 0 });
    expect(gpu.memory().live).toBeLessThanOrEqual(memory.live); // less where what an earlier test left was collected
    expect(calls).toBe(1);
    const { live } = gpu.memory();
    replay.dispose();
    expect(gpu.memory().live).toBeLessThan(live);
  });
});

describe('its memory', () => {
  it('is nobody else’s: what is computed in between does not disturb it, nor it that', async () => {
    const x = keep(f32([1, 2, 3, 4], gpu));
    const replay = record(gpu, () => mul(add(x, 1), mul(x, 2)));
    const between = Array.from({ length: 40 }, (_, i) => full([4], i, { backend: gpu }));
    assign(x, f32([5, 6, 7, 8], gpu));
    replay.run();
    expect(await valuesOf(replay.result)).toEqual([60, 84, 112, 144]);
    const values = await Promise.all(between.map(valuesOf));
    expect(values).toEqual(between.map((_, i) => [i, i, i, i]));
    replay.dispose();
    expect(() => replay.run()).toThrow('replay: this step was disposed of; record it again');
  });

  it('values that the step uploads are uploaded at each run, though their memory was used again', async () => {
    const x = keep(f32([1, 2, 3, 4], gpu));
    const replay = record(gpu, () => {
      const doubled = scope(() => mul(x, tensor([2, 2, 2, 2], { backend: gpu })));
      return scope(() => Array.from({ length: 6 }, (_, i) => add(doubled, i + 1)));
    });
    for (let n = 0; n < 2; n++) {
      assign(x, f32([n, n, n, n], gpu));
      replay.run();
      const want = replay.result.map((_, i) => Array.from({ length: 4 }, () => 2 * n + i + 1));
      expect(await Promise.all(replay.result.map(valuesOf))).toEqual(want);
    }
    replay.dispose();
  });

  it('goes back when the recording is disposed of', async () => {
    const fresh = await webgpu(anyAdapter);
    const x = keep(full([3000], 1, { backend: fresh }));
    const made: number[] = [];
    for (let i = 0; i < 4; i++) {
      const replay = record(fresh, () =>
        mul(
          scope(() => add(x, 1)),
          scope(() => sub(x, 1)),
        ),
      );
      replay.run();
      replay.dispose();
      made.push(fresh.counts().buffers);
    }
    expect(made[3]).toBe(made[0]);
    fresh.close();
  });

  it('a result that was disposed of does not become somebody else’s', async () => {
    const x = keep(f32([1, 2], gpu));
    const replay = record(gpu, () => [mul(x, 2), add(x, 1)]);
    replay.result[0].dispose();
    const others = Array.from({ length: 20 }, () => full([2], 9, { backend: gpu }));
    replay.run();
    for (const t of others) expect(await valuesOf(t)).toEqual([9, 9]);
    expect(await valuesOf(replay.result[1])).toEqual([2, 3]);
    replay.dispose();
  });

  it('that was there before and was freed since is missed', () => {
    const x = f32([1, 2], gpu);
    const replay = record(gpu, () => mul(x, 2));
    x.dispose();
    expect(() => replay.run()).toThrow(
      'replay: memory that the recorded step uses was freed since; record it again, or keep what it works on',
    );
    replay.dispose();
  });
});

it('a tape that needs what a replay changed says so', () => {
  const [w, x] = [f32([1, 2], gpu), f32([3, 4], gpu)];
  w.requiresGrad = true;
  const replay = record(gpu, () => void assign(w, x));
  const loss = sum(mul(w, w));
  replay.run();
  expect(() => grad(loss, [w])).toThrow('was changed in place after it was used');
  replay.dispose();
});

it('indices of a replay are checked on the device', async () => {
  const table = keep(tensor([[1, 2], [3, 4]], { backend: gpu })); // prettier-ignore
  const index = keep(tensor([1, 0], { dtype: 'i32', backend: gpu }));
  const replay = record(gpu, () => gather(table, index));
  expect(await valuesOf(replay.result)).toEqual([3, 4, 1, 2]);
  assign(index, tensor([0, 5], { dtype: 'i32', backend: gpu }));
  replay.run();
  await expect(replay.result.data()).rejects.toThrow(
    "gather: index 5 at position 1 is outside the table's 2 rows",
  );
  assign(index, tensor([0, 0], { dtype: 'i32', backend: gpu }));
  replay.run();
  expect(await valuesOf(replay.result)).toEqual([1, 2, 1, 2]);
  replay.dispose();
});

it('what the host knew of indices is forgotten when a replay changes them', async () => {
  const table = keep(f32([10, 20, 30], gpu));
  const index = keep(tensor([0], { dtype: 'i32', backend: gpu }));
  const two = keep(tensor([2], { dtype: 'i32', backend: gpu }));
  const replay = record(gpu, () => void assign(index, two));
  gpu.write(index.view.buffer, Int32Array.of(1)); // which the host remembers
  replay.run();
  const sums = keep(zeros([3], { backend: gpu }));
  gpu.scatterAdd(index.view, f32([1], gpu).view, sums.view);
  expect(await valuesOf(gather(table, index))).toEqual([30]);
  expect(await valuesOf(sums)).toEqual([0, 0, 1]);
  replay.dispose();
});

it('replays that follow at once, while kernels compile, each have their own scalars', async () => {
  const fresh = await webgpu(anyAdapter);
  const p = keep(f32([0], fresh));
  const optimizer = adamW([p], { lr: 1, weightDecay: 0 });
  const g = keep(f32([1], fresh));
  let lr = 1;
  const replay = record(fresh, () => optimizer.step([g], () => lr));
  for (const next of [10, 100]) {
    lr = next;
    replay.run();
  }
  expect((await p.data())[0]).toBeCloseTo(-111, 2); // with a constant gradient each step is −η
  fresh.close();
});

it('two steps of an optimiser in one recording are two, each with its own learning rate', async () => {
  const run = async (replayed: boolean): Promise<number[]> => {
    const p = keep(f32([1, 2, 3, 4], gpu));
    const g = keep(f32([1, -1, 2, 0.5], gpu));
    const optimizer = adamW([p]);
    const step = (): void => {
      optimizer.step([g], () => 0.1);
      optimizer.step([g], () => 0.01);
    };
    const again = replayed ? record(gpu, step) : (step(), { run: step });
    again.run();
    expect(optimizer.stepCount).toBe(4);
    return valuesOf(p);
  };
  expect(await run(true)).toEqual(await run(false));
});

describe('bad indices', () => {
  const table = (backend: Backend): Tensor => keep(f32([10, 20, 30], backend));
  const refused = "gather: index 7 at position 0 is outside the table's 3 rows";

  it('of a run that a read does not wait for are told by the next, and then no more', async () => {
    const index = keep(tensor([0, 1], { dtype: 'i32', backend: gpu }));
    const bad = keep(tensor([7, 1], { dtype: 'i32', backend: gpu }));
    const good = keep(tensor([2, 1], { dtype: 'i32', backend: gpu }));
    const replay = record(gpu, () => gather(table(gpu), index));
    const first = replay.result.data();
    assign(index, bad);
    await Promise.resolve();
    await Promise.resolve();
    replay.run();
    expect([...(await first)]).toEqual([10, 20]); // it was asked for before the run with bad ones
    await expect(replay.result.data()).rejects.toThrow(refused);
    assign(index, good);
    replay.run();
    expect(await valuesOf(replay.result)).toEqual([30, 20]);
    assign(index, bad);
    replay.run();
    await expect(replay.result.data()).rejects.toThrow(refused);
    replay.dispose();
  });

  it('are told though the very first gather was recorded, and a good run followed', async () => {
    const fresh = await webgpu(anyAdapter);
    const index = keep(tensor([0], { dtype: 'i32', backend: fresh }));
    const replay = record(fresh, () => gather(table(fresh), index));
    assign(index, tensor([7], { dtype: 'i32', backend: fresh }));
    replay.run();
    assign(index, tensor([1], { dtype: 'i32', backend: fresh }));
    replay.run();
    await expect(replay.result.data()).rejects.toThrow(refused);
    fresh.close();
  });
});

it('a tape that holds what a replay computes anew says so, and so does another backend', () => {
  for (const backend of [gpu, cpu()]) {
    const [x, w] = [keep(f32([1, 2], backend)), f32([1, 1], backend)];
    w.requiresGrad = true;
    const replay = record(backend, () => mul(x, 2));
    const loss = sum(mul(replay.result, w));
    replay.run();
    expect(() => grad(loss, [w])).toThrow('input 0 of mul [2] was changed in place after it was used');
    replay.dispose();
  }
});

it('a read inside of a recorded step is refused', async () => {
  const x = keep(f32([1, 2], gpu));
  let read: Promise<unknown> = Promise.resolve();
  const replay = record(gpu, () => {
    const y = mul(x, 2);
    read = y.data();
    read.catch(() => undefined);
    return sum(y);
  });
  await expect(read).rejects.toThrow(
    'webgpu: a step that is recorded cannot read; return the tensor, and read it afterwards',
  );
  replay.run();
  expect(await replay.result.item()).toBe(6);
  replay.dispose();
});

it('a step that asks nothing of the backend is refused; what it was given stays the caller’s', async () => {
  const there = keep(f32([1], cpu()));
  expect(() => record(gpu, () => mul(there, 2))).toThrow(
    'record: the step asked nothing of this backend, webgpu',
  );
  const x = f32([1, 2], gpu);
  const replay = record(gpu, () => [x, mul(x, 2)]);
  replay.run();
  replay.dispose();
  expect(await valuesOf(x)).toEqual([1, 2]);
});

it('what a recording keeps for itself is told as pooled, and goes on where a longer axis was counted', async () => {
  const fresh = await webgpu(anyAdapter);
  const x = keep(full([1000], 1, { backend: fresh }));
  const before = fresh.memory();
  const replay = record(fresh, () =>
    mul(
      scope(() =>
        add(
          scope(() => mul(x, 3)),
          x,
        ),
      ),
      x,
    ),
  );
  expect(fresh.memory().pooled + fresh.memory().live).toBeGreaterThan(before.pooled + before.live + 4000);
  const largest = record(fresh, () => argmax(x, 0));
  await argmax(full([3000], 1, { backend: fresh }), 0).item();
  largest.run();
  expect(await largest.result.item()).toBe(0);
  replay.dispose();
  fresh.close();
});

it('a run that is refused changes nothing on the host', () => {
  const [p, g] = [keep(f32([1], gpu)), f32([1], gpu)];
  const optimizer = sgd([p]);
  const replay = record(gpu, () => optimizer.step([g]));
  g.dispose();
  expect(() => replay.run()).toThrow('replay: memory that the recorded step uses was freed since');
  expect(optimizer.stepCount).toBe(1);
  replay.dispose();
});

it('steps are recorded one at a time, and not if they fail', async () => {
  const x = keep(f32([1], gpu));
  expect(() => record(gpu, () => record(gpu, () => mul(x, 2)))).toThrow(
    'record: a step is being recorded already',
  );
  expect(() => record(gpu, async () => Promise.resolve(1))).toThrow('a scope is synchronous');
  const replay = record(gpu, () => dropout(x, { p: 0.5, key: key(3) }));
  replay.run();
  expect([0, 2]).toContain(await replay.result.item());
  replay.dispose();
});

describe('warmUp', () => {
  it('compiles what a step needs, and computes nothing', async () => {
    const fresh = await webgpu(anyAdapter);
    const { params, step, feed } = await training(fresh);
    feed(0);
    const before = await Promise.all(params.map(valuesOf));
    await fresh.warmUp(step);
    expect(await Promise.all(params.map(valuesOf))).toEqual(before);
    const { pipelines } = fresh.counts();
    expect(pipelines).toBeGreaterThan(20);
    // The first real step, on constants that the dry run made, is that of a backend that was never warmed up.
    step().dispose();
    expect(fresh.counts().pipelines).toBe(pipelines);
    const cold = await training(gpu);
    cold.feed(0);
    cold.optimizer.step(
      cold.params.map((p) => zerosLike(p)),
      0,
    ); // as the dry run counted a step
    cold.step().dispose();
    expect(await Promise.all(params.map(valuesOf))).toEqual(await Promise.all(cold.params.map(valuesOf)));
    fresh.close();
  }, 60_000);

  it('of a step with an optimiser of its own leaves the parameters alone', async () => {
    const params = [keep(f32([1, 2, 3, 4], gpu)), keep(f32([5, 6, 7, 8], gpu))];
    await gpu.warmUp(() => {
      const optimizer = adamW(params);
      const { grads } = valueAndGrad(() => sum(mul(params[0], params[1])), params);
      optimizer.step(grads);
      optimizer.dispose();
    });
    expect(await Promise.all(params.map(valuesOf))).toEqual([[1, 2, 3, 4], [5, 6, 7, 8]]); // prettier-ignore
  });

  it('what it leaves behind has no values, and says so', async () => {
    const w = keep(f32([1, 2], gpu));
    w.requiresGrad = true;
    await gpu.warmUp(() => sum(mul(w, w)).backward());
    const message =
      'webgpu: this tensor was made while a step was warmed up, which computes nothing, so it has no values';
    await expect(w.grad!.data()).rejects.toThrow(message);
    expect(() => sum(mul(w, w)).backward()).toThrow(message);
    w.grad!.dispose();
    w.grad = undefined;
    sum(mul(w, w)).backward();
    expect(await valuesOf(w.grad!)).toEqual([2, 4]);
  });

  it('of a step that throws, waits or reads changes nothing', async () => {
    const [w, q] = [keep(f32([1, 2], gpu)), keep(f32([9, 9], gpu))];
    await expect(
      gpu.warmUp(() => {
        assign(w, q);
        throw new Error('mine');
      }),
    ).rejects.toThrow('mine');
    await expect(gpu.warmUp(async () => Promise.resolve(assign(w, q)))).rejects.toThrow('synchronous');
    let read: Promise<unknown> = Promise.resolve();
    await gpu.warmUp(() => {
      read = mul(w, 2).data();
      read.catch(() => undefined);
    });
    await expect(read).rejects.toThrow('webgpu: a step that is warmed up cannot read');
    expect(await valuesOf(w)).toEqual([1, 2]);
  });

  it('leaves no tensors behind, and is refused a step that waits', async () => {
    const fresh = await webgpu(anyAdapter);
    const x = keep(f32([1, 2], fresh));
    const { live } = fresh.memory();
    await fresh.warmUp(() => mean(sub(x, 1)));
    expect(fresh.memory().live).toBe(live);
    await expect(fresh.warmUp(async () => Promise.resolve())).rejects.toThrow(
      'warmUp: the step is synchronous',
    );
    expect(await valuesOf(add(x, 1))).toEqual([2, 3]);
    fresh.close();
  });
});
const zerosLike = (t: Tensor): Tensor => zeros(t.shape, { backend: t.backend });
