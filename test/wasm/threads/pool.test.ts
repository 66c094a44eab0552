/** P55 with threads: all units are done once, by whichever thread, in its own scratch; and what happens when one dies. */
import { execFile } from 'node:child_process';
import threads from 'node:worker_threads';
import { BaxError, type Backend, expr, type View } from '@bax/core';
import { wasm, type WasmBackend } from '@bax/wasm';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { type Code, i32, loop, when } from '../../../packages/wasm/src/assembler/index.ts';
import { defineKernel, type Kernel } from '../../../packages/wasm/src/kernels/kernel.ts';
import { Machine, RESERVED, TABLE } from '../../../packages/wasm/src/machine.ts';
import { LinearMemory } from '../../../packages/wasm/src/memory.ts';
import { Pool } from '../../../packages/wasm/src/threads/pool.ts';
import { dense, ints, make } from '../support/views.ts';

const atEnd: (() => void)[] = [];
afterEach(() => atEnd.splice(0).forEach((end) => end()));

async function machineWith(count: number): Promise<Machine> {
  const wasmMemory = new WebAssembly.Memory({ initial: 16, maximum: 65536, shared: true });
  const machine = new Machine(new LinearMemory(wasmMemory, RESERVED), { fma: false, sharedMemory: true });
  machine.pool = await Pool.start(wasmMemory, count, TABLE);
  const { pool } = machine;
  atEnd.push(() => pool.stop());
  return machine;
}

/**
 * Each unit takes a while, counts itself in `counts`, and says in `who` which scratch it was given. `more` is done besides.
 * Its name makes it another kernel.
 */
const tellTale = (name: string, more: (scratch: Code, mine: Code) => Code = () => []): Kernel =>
  defineKernel(
    name,
    { counts: 'i32', who: 'i32', turns: 'i32', mine: 'i32' },
    ({ f, args: x, from, to, scratch }) => {
      const [i, at] = [f.local('i'), f.local('at')];
      return loop(from, from, to, i32.const(1), [
        loop(i, i32.const(0), x.turns, i32.const(1), []),
        at.set(i32.add(x.counts, i32.mul(from, i32.const(4)))),
        i32.store(at, i32.add(i32.load(at), i32.const(1))),
        i32.store(i32.add(x.who, i32.mul(from, i32.const(4))), scratch),
        more(scratch, x.mine),
      ]);
    },
  );

const UNITS = 100;
const SCRATCH = 2 ** 16;
const MUCH = 2 ** 30; // worth sharing
/** Runs it with threads until all have had units: on a busy computer one may come late. Returns the scratches, from 0 on. */
function runUntilAllHelp(machine: Machine, kernel: Kernel, times = 400): Set<number> {
  const { memory } = machine;
  const [counts, who] = [memory.take(1024, 'counts'), memory.take(1024, 'who')];
  const seen = new Set<number>();
  for (let run = 0; run < times && seen.size < machine.threads; run++) {
    const units = UNITS - (run % 7);
    memory.i32.fill(0, counts / 4, counts / 4 + UNITS);
    machine.run(kernel, [counts, who, 20_000, 0], units, MUCH, SCRATCH);
    const done = memory.i32.subarray(counts / 4, counts / 4 + UNITS);
    expect([...done]).toEqual(Array.from({ length: UNITS }, (_, i) => Number(i < units)));
    for (const scratch of memory.i32.subarray(who / 4, who / 4 + units)) seen.add(scratch);
  }
  const first = Math.min(...seen);
  return new Set([...seen].map((scratch) => scratch - first));
}

describe('the units of a job', () => {
  it.each([2, 3])('each once, by %i threads that have a scratch of their own', async (count) => {
    const machine = await machineWith(count);
    expect(machine.threads).toBe(count);
    const scratches = runUntilAllHelp(machine, tellTale('first'));
    expect(scratches).toEqual(new Set(Array.from({ length: count }, (_, i) => i * SCRATCH)));
  });

  it('of a kernel learned late, and of one beyond memory that the threads have seen', async () => {
    const machine = await machineWith(2);
    for (let i = 0; i < 5; i++) runUntilAllHelp(machine, tellTale(`early ${i}`), 1);
    machine.memory.alloc(64 * 2 ** 20, 'u8'); // memory grows, and later modules lie beyond
    for (let i = 0; i < 5; i++) expect(runUntilAllHelp(machine, tellTale(`late ${i}`)).size).toBe(2);
  });

  it('less than a chunk for each thread, and as many as claims can count', async () => {
    const machine = await machineWith(3);
    const { memory } = machine;
    const [counts, who] = [memory.take(2 ** 20, 'counts'), memory.take(2 ** 20, 'who')];
    for (const units of [2, 3, 11, 12, 13, 250_001]) {
      memory.i32.fill(0, counts / 4, counts / 4 + units + 1);
      machine.run(tellTale('any'), [counts, who, 1, 0], units, MUCH, SCRATCH);
      const done = memory.i32.subarray(counts / 4, counts / 4 + units + 1);
      expect(
        done.findIndex((n) => n !== 1),
        `${units} units`,
      ).toBe(units);
    }
  });

  it('a kernel that traps in a worker is an error, and the next job goes well', async () => {
    const machine = await machineWith(2);
    const trap = tellTale('trap', (scratch, mine) => when(i32.ne(scratch, mine), [0x00])); // unreachable
    const { memory } = machine;
    const [counts, who] = [memory.take(1024, 'counts'), memory.take(1024, 'who')];
    machine.run(tellTale('who am I'), [counts, who, 0, 0], 1, 1, SCRATCH);
    const mine = memory.i32[who / 4]!;
    const failing = (): void => {
      for (let i = 0; i < 400; i++) machine.run(trap, [counts, who, 20_000, mine], UNITS, MUCH, SCRATCH);
    };
    expect(failing).toThrow(new Error('wasm: a kernel failed in a worker'));
    expect(runUntilAllHelp(machine, tellTale('after')).size).toBe(2);
  });
});

describe('P55: the same bits whatever the number of threads, twenty times', () => {
  const value = (seed: number) => (i: number) => Math.fround(Math.sin(i * 1.7 + seed) * 3.3);
  const filled = (backend: Backend, shape: readonly number[], seed = 0): View =>
    make(backend, shape, 'f32', value(seed));
  const [ROWS, COLUMNS] = [2 ** 11, 1030];
  /** Makes inputs, and returns what computes a result of more work than is worth sharing. */
  const programs: Readonly<Record<string, (on: Backend) => () => View>> = {
    matmul(on) {
      const [a, b, out] = [filled(on, [300, 700]), filled(on, [700, 257], 1), dense(on, [300, 257])];
      return () => (on.matmul(a, b, out), out);
    },
    'matmul, transposed, in a batch'(on) {
      const [a, b, out] = [filled(on, [7, 90, 120]), filled(on, [7, 130, 90], 1), dense(on, [7, 120, 130])];
      const turned = (v: View): View => ({ ...v, shape: [v.shape[0]!, v.shape[2]!, v.shape[1]!], strides: [v.strides[0]!, v.strides[2]!, v.strides[1]!] }); // prettier-ignore
      return () => (on.matmul(turned(a), turned(b), out), out);
    },
    map(on) {
      const [x, y] = [filled(on, [ROWS * COLUMNS + 3]), dense(on, [ROWS * COLUMNS + 3])];
      return () => (
        on.map(expr.scalarFn('f32', 1, 0, [expr.tanh(expr.exp(expr.input(0)))]), [x], [y], []),
        y
      );
    },
    'reduce along rows'(on) {
      const [x, y] = [filled(on, [ROWS, COLUMNS]), dense(on, [ROWS, 1])];
      return () => (on.reduce('sum', x, y), y);
    },
    'reduce across rows'(on) {
      const [x, y] = [filled(on, [ROWS, COLUMNS]), dense(on, [1, COLUMNS])];
      return () => (on.reduce('sum', x, y), y);
    },
    random(on) {
      const buffer = on.alloc(300_001, 'u32');
      const y: View = { buffer, shape: [300_001], strides: [1], offset: 0 };
      return () => (on.random(Uint32Array.of(7, 9), y), y);
    },
    scatterAdd(on) {
      const rows = filled(on, [ROWS, COLUMNS]);
      const index = make(on, [ROWS], 'i32', (i) => Math.abs(ints(3)(i)));
      const table = dense(on, [9, COLUMNS]);
      const zero = expr.scalarFn('f32', 0, 0, [expr.constant(0)]);
      return () => (on.map(zero, [], [table], []), on.scatterAdd(index, rows, table), table);
    },
  };

  it.each(Object.entries(programs))('%s', async (_, program) => {
    let expected: string | undefined;
    for (const count of [1, 2, 3]) {
      const backend = await wasm({ threads: count });
      atEnd.push(() => backend.close());
      const compute = program(backend);
      for (let run = 0; run < (count === 1 ? 2 : 20); run++) {
        const { buffer } = compute();
        const data = backend.peek!(buffer)!;
        const bits = Buffer.from(data.buffer, data.byteOffset, data.byteLength).toString('latin1');
        expect(bits === (expected ??= bits), `${count} threads, run ${run}`).toBe(true);
        data.fill(0);
      }
      backend.close();
    }
  });
});

describe('the end', () => {
  it('a process ends by itself, whatever its backend’s threads wait for', async () => {
    const script = new URL('../support/two-threads.ts', import.meta.url).pathname;
    const output = await new Promise<string>((resolve, reject) => {
      const args = ['--import', 'tsx', '--conditions', 'source', script];
      execFile(process.execPath, args, { timeout: 20_000 }, (error, stdout) =>
        error ? reject(error) : resolve(stdout),
      );
    });
    expect(output).toMatch(/^WebAssembly SIMD.*, 2 threads 200\n$/);
  });

  /** Notes the threads that are started meanwhile. */
  async function workersOf(make: () => Promise<WasmBackend>): Promise<[WasmBackend, threads.Worker[]]> {
    const { Worker } = threads;
    const started: threads.Worker[] = [];
    threads.Worker = class extends Worker {
      constructor(...args: ConstructorParameters<typeof Worker>) {
        super(...args);
        started.push(this);
      }
    };
    try {
      return [await make(), started];
    } finally {
      threads.Worker = Worker;
    }
  }
  const large = (on: Backend): (() => number) => {
    const [x, y] = [0, 1].map(() => make(on, [2 ** 21], 'f32', () => 1));
    return () => {
      on.map(expr.scalarFn('f32', 2, 0, [expr.add(expr.input(0), expr.input(1))]), [x!, x!], [y!], []);
      return (on.peek!(y!.buffer) as Float32Array).reduce((a, b) => a + b, 0);
    };
  };

  it('of a worker: the next large operation says so, once, and the one after goes on with one thread', async () => {
    const [backend, started] = await workersOf(() => wasm({ threads: 3 }));
    atEnd.push(() => backend.close());
    expect(started).toHaveLength(2);
    const compute = large(backend);
    expect(compute()).toBe(2 ** 22);
    await started[1]!.terminate();
    const since = performance.now();
    expect(compute).toThrow(
      new BaxError(
        'wasm: a worker thread died (it ended with code 1). Nothing was lost; from now on one thread does the work',
      ),
    );
    for (let i = 0; i < 3; i++) expect(compute()).toBe(2 ** 22);
    expect(performance.now() - since).toBeLessThan(5000); // nobody was waited for
    await new Promise((resolve) => setTimeout(resolve, 50)); // the end of the others is no news
    expect(compute()).toBe(2 ** 22);
  });

  it('by close: computing goes on with one thread', async () => {
    const [backend, started] = await workersOf(() => wasm({ threads: 2 }));
    const compute = large(backend);
    const ended = new Promise((resolve) => started[0]!.on('exit', resolve));
    expect(backend.info.features).toContain('threads');
    backend.close();
    await ended;
    expect(compute()).toBe(2 ** 22);
    expect(backend.info.features).not.toContain('threads');
    backend.close();
  });
});

describe('more threads than processors', () => {
  it('never do the units of one job with the kernel of another', async () => {
    const backend = await wasm({ threads: 6 });
    atEnd.push(() => backend.close());
    const n = 240_000;
    const [x, y, z] = [0, 1, 2].map((): View => ({
      buffer: backend.alloc(n, 'f32'),
      shape: [n],
      strides: [1],
      offset: 0,
    }));
    backend.write(x.buffer, new Float32Array(n).fill(2));
    const { exp, log, mul, input } = expr;
    const one = (y: expr.Expr): expr.ScalarFn => expr.scalarFn('f32', 1, 0, [y]);
    const [e, ln2] = [Math.fround(Math.exp(1)), Math.fround(Math.LN2)];
    const near = (values: Float32Array, value: number): boolean =>
      values.every((v) => Math.abs(v - value) < 1e-5);
    for (const until = performance.now() + 4000; performance.now() < until;) {
      backend.map(one(exp(mul(0.5, input(0)))), [x], [y], []);
      backend.peek!(y.buffer); // else the next would be joined to it
      backend.map(one(log(input(0))), [x], [z], []);
      expect(near(backend.peek!(z.buffer) as Float32Array, ln2)).toBe(true);
      expect(near(backend.peek!(y.buffer) as Float32Array, e)).toBe(true);
    }
  });
});

it('a worker that cannot be made is reported at once, and nothing is left to wait for', async () => {
  atEnd.push(() => void vi.useRealTimers().restoreAllMocks());
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
  vi.spyOn(threads, 'Worker').mockImplementation(function () {
    throw new Error('forbidden');
  });
  await expect(wasm({ threads: 2 })).rejects.toThrow('wasm: a worker thread did not start: Error: forbidden');
  expect(vi.getTimerCount()).toBe(0);
  const backend = await wasm(); // asks for no threads, and can do without
  expect(backend.info.features).not.toContain('threads');
});
