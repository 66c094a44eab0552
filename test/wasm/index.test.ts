import { BaxError, expr } from '@bax/core';
import { isSupported, wasm, type WasmBackend, type WasmOptions } from '@bax/wasm';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { hasFma } from '../../packages/wasm/src/features.ts';
import { ints, make, valuesOf } from './support/views.ts';

afterEach(() => void vi.restoreAllMocks());

/** As on an engine that takes no module with these bytes in it. */
function withoutInstruction(...opcode: number[]): void {
  const { validate } = WebAssembly;
  vi.spyOn(WebAssembly, 'validate').mockImplementation((bytes) => {
    const list = [...(bytes as Uint8Array)];
    return !list.some((_, i) => opcode.every((b, j) => list[i + j] === b)) && validate(bytes);
  });
}
const RELAXED_MADD = [0xfd, 0x85, 0x02];
const F32X4_ADD = [0xfd, 0xe4, 0x01];

const opened = async (options?: WasmOptions): Promise<WasmBackend['info'] & { threads: number }> => {
  const backend = await wasm(options);
  const { info } = backend;
  const threads = Number(/(\d+) threads/.exec(info.adapter)?.[1] ?? 1);
  backend.close();
  return { ...info, threads };
};

describe('features', () => {
  it('fused multiply-add where the engine has it, unless it is not wanted', async () => {
    expect(hasFma()).toBe(true);
    expect(await opened({ threads: 1 })).toMatchObject({
      adapter: 'WebAssembly SIMD with fused multiply-add, one thread',
      features: ['simd', 'fma'],
      dtypes: ['f32', 'f64', 'i32'],
      roundoff: 2 ** -24,
    });
    expect(await opened({ threads: 1, fma: true })).toMatchObject({ features: ['simd', 'fma'] });
    expect(await opened({ threads: 2, fma: false })).toMatchObject({
      adapter: 'WebAssembly SIMD, 2 threads',
      features: ['simd', 'threads'],
    });
  });

  it('does without where the engine refuses it, and says so if it was asked for', async () => {
    withoutInstruction(...RELAXED_MADD);
    expect(hasFma()).toBe(false);
    expect((await opened({ threads: 1 })).features).toEqual(['simd']);
    await expect(wasm({ fma: true })).rejects.toThrow(
      new BaxError('wasm: this engine has no fused multiply-add; leave out { fma: true }'),
    );
    const backend = await wasm({ threads: 1 });
    const [a, b] = [make(backend, [20, 30], 'f32', ints(1)), make(backend, [30, 20], 'f32', ints(2))];
    const out = make(backend, [20, 20], 'f32', () => NaN);
    backend.matmul(a, b, out);
    const [x, y] = [valuesOf(backend, a), valuesOf(backend, b)];
    const dot = (i: number, j: number) =>
      Array.from({ length: 30 }, (_, k) => x[30 * i + k]! * y[20 * k + j]!);
    expect(valuesOf(backend, out)).toEqual(
      Array.from({ length: 400 }, (_, i) => dot(Math.floor(i / 20), i % 20).reduce((s, t) => s + t, 0)),
    );
  });

  it('needs SIMD', async () => {
    expect(isSupported()).toBe(true);
    withoutInstruction(...F32X4_ADD);
    expect(isSupported()).toBe(false);
    await expect(wasm()).rejects.toThrow(
      new BaxError(
        'wasm: this engine runs no WebAssembly with SIMD (or a Content-Security-Policy forbids it); use cpu',
      ),
    );
  });

  it('is not supported where modules must not be compiled, or there is no WebAssembly', () => {
    const { Module } = WebAssembly;
    WebAssembly.Module = class {
      constructor() {
        throw new WebAssembly.CompileError('refused by a policy');
      }
    } as unknown as typeof Module;
    expect(isSupported()).toBe(false);
    WebAssembly.Module = Module;
    vi.stubGlobal('WebAssembly', undefined);
    expect(isSupported()).toBe(false);
    vi.unstubAllGlobals();
    expect(isSupported()).toBe(true);
  });
});

describe('threads', () => {
  it.each([0, -1, 1.5, 65, NaN, Infinity, '2' as unknown as number])('refuses %s', async (threads) => {
    await expect(wasm({ threads })).rejects.toThrow(
      new BaxError(`wasm: threads is ${threads}; it must be an integer from 1 to 64`),
    );
  });

  it('by themselves as many as there are processors, four at most', async () => {
    const { threads } = await opened();
    const { availableParallelism } = await import('node:os');
    expect(threads).toBe(Math.min(4, availableParallelism()));
  });

  it('none where memory cannot be shared, or this thread may not wait', async () => {
    const refusal = new BaxError(
      'wasm: this thread cannot share memory or may not wait: a page must be cross-origin isolated and run bax in a Worker; or leave out { threads }',
    );
    vi.spyOn(Atomics, 'wait').mockImplementation(() => {
      throw new TypeError('Atomics.wait cannot be called in this context');
    });
    expect((await opened()).threads).toBe(1);
    await expect(wasm({ threads: 2 })).rejects.toThrow(refusal);
    expect((await opened({ threads: 1 })).threads).toBe(1);
    vi.restoreAllMocks();
    vi.stubGlobal('SharedArrayBuffer', undefined);
    expect((await opened()).threads).toBe(1);
    await expect(wasm({ threads: 2 })).rejects.toThrow(refusal);
    vi.unstubAllGlobals();
  });
});

it('refuses an option that it does not have', async () => {
  await expect(wasm({ thread: 2 } as object)).rejects.toThrow(
    new BaxError("wasm: there is no option 'thread'; choose among threads and fma"),
  );
});

it('profile: told of a map that fusion holds back, and of none from before', async () => {
  const backend = await wasm({ threads: 1 });
  const x = make(backend, [10], 'f32', ints(1));
  const twice = expr.scalarFn('f32', 1, 0, [expr.add(expr.input(0), expr.input(0))]);
  const seen: string[] = [];
  backend.map(twice, [x], [x], []);
  backend.profile(({ kernel }) => seen.push(kernel), () => undefined); // prettier-ignore
  expect(seen).toEqual([]);
  backend.profile(({ kernel }) => seen.push(kernel), () => backend.map(twice, [x], [x], [])); // prettier-ignore
  expect(seen).toEqual(['map']);
});

it('profile: told of each kernel that runs meanwhile', async () => {
  const backend = await wasm({ threads: 1 });
  const x = make(backend, [10, 7], 'f32', ints(1));
  const out = make(backend, [10, 1], 'f32', () => NaN);
  const seen: string[] = [];
  const result = backend.profile(({ kernel, work, ms }) => {
    seen.push(kernel);
    expect(work).toBe(70);
    expect(ms).toBeGreaterThanOrEqual(0);
  }, () => (backend.reduce('sum', x, out), 'done')); // prettier-ignore
  expect([result, seen]).toEqual(['done', ['sum along f32']]);
  backend.reduce('sum', x, out);
  expect(seen).toHaveLength(1);
});
