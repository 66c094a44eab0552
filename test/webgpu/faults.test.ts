/** What fails on the device rejects the next read with a typed error that names the call; nothing is half-done. */
import { key, matmul, mean, setBackend, tensor, within } from '@bax/core';
import {
  adamW, createGpt2, gpt2Config, memoryFolder, randomWindows, train, type WritableFolder,
} from '@bax/nn'; // prettier-ignore
import { GpuError, webgpu, type WebGpuBackend } from '@bax/webgpu';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { Gpu } from '../../packages/webgpu/src/gpu.ts';
import type { Kernel } from '../../packages/webgpu/src/kernel.ts';
import { failure } from '../nn/files/support.ts';
import { anyAdapter } from '../support/backends.ts';

let backend: WebGpuBackend;
beforeEach(async () => setBackend((backend = await webgpu(anyAdapter))));
afterEach(() => backend.close());

/** What a promise rejects with. */
async function fault(promise: Promise<unknown>): Promise<GpuError> {
  const error = await promise.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  expect(error).toBeInstanceOf(GpuError);
  return error as GpuError;
}

describe('a lost device', () => {
  it('rejects every read, and names the op, the module and the shapes that ran last', async () => {
    const x = tensor([[1, 2], [3, 4]]); // prettier-ignore
    const y = within('transformer.h.0', () => matmul(x, x));
    backend.device.destroy();
    const error = await fault(y.data());
    expect(error.fault).toBe('lost');
    expect(error.place).toMatchObject({
      op: 'matmul',
      path: 'transformer.h.0',
      shapes: '[2, 2] [2, 2] [2, 2]',
    });
    expect(error.message).toBe(
      'webgpu: the device is lost: it was closed; open another and go on from a checkpoint\n  in matmul [2, 2] [2, 2] [2, 2]\n  at transformer.h.0',
    );
    expect((await fault(x.data())).fault).toBe('lost');
    expect((await backend.lost).fault).toBe('lost');
    // What is called afterwards does nothing, and says so when it is read.
    expect((await fault(matmul(x, y).data())).fault).toBe('lost');
  });

  it('rejects reads that were on their way', async () => {
    const x = tensor(new Float32Array(2 ** 16), { shape: [256, 256] });
    const reads = [matmul(x, x), matmul(x, x)].map(async (y) => y.data());
    backend.device.destroy();
    for (const result of await Promise.allSettled(reads)) expect(result.status).toBe('rejected');
  });

  const steps = 8;
  const config = gpt2Config({ n_layer: 1, n_embd: 16, n_head: 2, n_positions: 8, vocab_size: 11, bos_token_id: null, eos_token_id: null }); // prettier-ignore
  const tokens = Int32Array.from({ length: 400 }, (_, i) => (i * i + 3 * i) % 11);
  /** Trains with a checkpoint after each step; `lose` destroys the device in the middle of a step. */
  async function run(folder: WritableFolder, lose = Infinity): Promise<{ weights: number[]; began: number }> {
    const model = createGpt2(config, { key: key(1) });
    const own = model.namedParameters();
    let [began, step] = [0, 0];
    await train({
      batches: (index) => randomWindows(tokens, (step = index), { context: 8, batch: 2, seed: 1 }),
      loss: ({ ids, targets }, context) => {
        const loss = model.loss(ids, targets, context);
        if (step === lose) backend.device.destroy();
        return loss;
      },
      optimizer: adamW(own, { lr: 0.01 }),
      steps,
      checkpoints: { folder, every: 1, onResume: (from) => (began = from.steps) },
    });
    const weights: number[] = [];
    for (const p of own.values()) weights.push(...(await p.data()));
    return { weights, began };
  }

  it('costs one step: the trainer goes on from its checkpoint on a new device, bit for bit', async () => {
    const whole = await run(memoryFolder());
    const folder = memoryFolder();
    const error = await fault(run(folder, 5));
    expect(error.fault).toBe('lost');
    setBackend((backend = await webgpu(anyAdapter)));
    const resumed = await run(folder);
    expect(resumed.began).toBe(5);
    expect(resumed.weights).toEqual(whole.weights);
  });
});

describe('memory', () => {
  it('a tensor larger than the adapter allows is refused at once', () => {
    const { live, buffers } = backend.memory();
    const most = Math.floor(backend.device.limits.maxBufferSize / 4);
    expect(() => backend.alloc(most + 16, 'f32')).toThrow(
      /^webgpu: \d+ f32 are [\d.]+ MiB, and this adapter's largest buffer is [\d.]+ MiB; take a smaller model or batch, or the wasm backend$/,
    );
    expect(backend.memory()).toMatchObject({ live, buffers });
  });

  it('more than there is rejects the next read and names the call, and the device goes on', async () => {
    // The device's own answer, from a createBuffer that the machine's memory cannot satisfy.
    const { device } = backend;
    const original = device.createBuffer.bind(device);
    let failing = true;
    device.createBuffer = (descriptor) => {
      const tensor = descriptor.label !== 'readback' && descriptor.size >= 2 ** 20;
      if (!failing || !tensor) return original(descriptor);
      return original({ ...descriptor, size: device.limits.maxBufferSize + 16 }); // what no device has
    };
    const x = tensor(new Float32Array(2 ** 10), { shape: [1, 1024] });
    const y = within('lm_head', () => matmul(x.reshape([1024, 1]), x)); // 4 MiB
    const error = await fault(y.data());
    expect(error.fault).toBe('out-of-memory');
    expect(error.place).toMatchObject({ op: 'matmul', path: 'lm_head' });
    expect(error.message).toContain('out of memory: 1048576 f32 do not fit beside');
    failing = false;
    expect((await matmul(x, x.reshape([1024, 1])).data()).length).toBe(1);
  });

  it('no f64', () => {
    expect(() => tensor(new Float64Array(3))).toThrow(
      'webgpu: a GPU computes in f32 and i32, there is no f64; use the cpu or wasm backend',
    );
  });
});

describe('a kernel that is wrong', () => {
  const source = `struct Params { n: u32 }
@group(0) @binding(0) var<uniform> p: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read_write> y: array<f32>;
@compute @workgroup_size(1)
fn main() { y[0] = x[0]; }
`;
  const kernel: Kernel<{ n: number }> = {
    file: 'kernels/test.wgsl', params: { n: ['u32', 0] }, size: 16, bindings: ['read', 'read_write'], source,
  }; // prettier-ignore
  const open = (debug = false): Gpu =>
    new Gpu(
      backend.device,
      { software: true, subgroup: 0 },
      { budget: 2 ** 30, maxBinding: Infinity, debug },
    );

  it('that does not compile is shown with its line and a caret', async () => {
    const gpu = open();
    const [a, b] = [gpu.memory.take(256, 'a'), gpu.memory.take(256, 'b')];
    gpu.label('softmax', 'transformer.h.1');
    const bad = {
      ...kernel,
      file: 'kernels/bad.wgsl',
      source: source.replace('y[0] = x[0]', 'y[0] = x[0] + true'),
    };
    gpu.run(bad, {}, [{ block: a }, { block: b }], { n: 1 }, 1);
    const error = await fault(gpu.read(b, 0, 16));
    expect(error.fault).toBe('shader');
    expect(error.message).toMatch(
      /^webgpu: kernels\/bad\.wgsl:6: no matching overload for 'operator \+ \(f32, bool\)'[^]*\n {2}fn main\(\) \{ y\[0\] = x\[0\] \+ true; \}\n {2} +\^\n {2}in softmax\n {2}at transformer\.h\.1$/,
    );
    // The fault is told once; what was read then is what another kernel made.
    gpu.run(kernel, {}, [{ block: a }, { block: b }], { n: 1 }, 1);
    expect(new Float32Array(await gpu.read(b, 0, 4))).toEqual(new Float32Array(1));
  });

  it('that reads what it writes is named among the calls of its batch; in debug mode with its stack', async () => {
    for (const debug of [false, true]) {
      const gpu = open(debug);
      const [a, b] = [gpu.memory.take(256, 'a'), gpu.memory.take(256, 'b')];
      gpu.label('copy', '');
      gpu.run(kernel, {}, [{ block: a }, { block: b }], { n: 1 }, 1);
      gpu.label('gelu', 'transformer.h.0.mlp');
      gpu.run(kernel, {}, [{ block: a }, { block: a }], { n: 1 }, 1);
      gpu.label('add', '');
      gpu.run(kernel, {}, [{ block: a }, { block: b }], { n: 1 }, 1);
      const error = await fault(gpu.read(b, 0, 16));
      expect(error.fault).toBe('validation');
      expect(error.place).toMatchObject({ op: 'gelu', path: 'transformer.h.0.mlp' });
      if (debug) expect((error.cause as Error).stack).toContain('faults.test.ts');
    }
  });
});

describe('what cannot be asked for', () => {
  it('names the option, the feature, the adapter', async () => {
    expect(await failure(() => webgpu({ ...anyAdapter, power: 1 } as object))).toBe(
      "webgpu: there is no option 'power'; choose among powerPreference, adapter, software, features, debug, poolBytes, pretend",
    );
    expect(await failure(() => webgpu({ ...anyAdapter, features: { f16: true } as object }))).toBe(
      "webgpu: there is no feature 'f16'; choose among shader-f16, subgroups, timestamp-query",
    );
    const odd: [object, string][] = [
      [{ poolBytes: '1GB' }, 'webgpu: poolBytes is "1GB"; it may be a number of bytes from 0'],
      [{ poolBytes: -1 }, 'webgpu: poolBytes is -1; it may be a number of bytes from 0'],
      [{ software: 'yes' }, 'webgpu: software is "yes"; it may be true or false'],
      [
        { powerPreference: 'fast' },
        "webgpu: powerPreference is \"fast\"; it may be 'high-performance' or 'low-power'",
      ],
    ];
    for (const [options, message] of odd)
      expect(await failure(() => webgpu({ ...anyAdapter, ...options }))).toBe(message);
    const has = backend.info.features.includes('shader-f16');
    const asked = webgpu({ ...anyAdapter, features: { 'shader-f16': true } });
    if (has) (await asked).close();
    else expect(await failure(() => asked)).toMatch(/^webgpu: .* has no shader-f16; leave out \{ features: \{ 'shader-f16': true \} \}$/); // prettier-ignore
    const none = await webgpu({ ...anyAdapter, features: { subgroups: false, 'shader-f16': false } });
    expect(none.info.features).not.toContain('subgroups');
    none.close();
  });

  it('a software adapter is taken only by who asks for one', async () => {
    if (process.env.BAX_GPU === 'hardware') return;
    expect(await failure(() => webgpu())).toMatch(
      /^webgpu: the only adapter here is .*, which computes on the processor \(Dawn, npm webgpu\): wasm is faster; pass \{ software: true \} to take it all the same$/,
    );
  });

  it('an adapter that is not there', async () => {
    expect(await failure(() => webgpu({ adapter: 'Voodoo 2' }))).toMatch(
      /^webgpu: there is no adapter 'Voodoo 2': /,
    );
  });

  it('tensors of two backends, and tensors that are gone', async () => {
    const other = await webgpu(anyAdapter);
    const [a, b] = [tensor([[1]]), tensor([[1]], { backend: other })];
    expect(() => matmul(a, b)).toThrow(
      'matmul: inputs live on different backends, webgpu and webgpu; move one with to()',
    );
    a.dispose();
    expect(() => mean(a)).toThrow('mean: this tensor was freed by dispose()');
    other.close();
  });
});
