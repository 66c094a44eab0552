/**
 * The WebAssembly backend: the fast default where there is no GPU. Its kernels are written as bytes by TypeScript, four
 * numbers at a time (SIMD), with fused multiply-add where the engine has it, on one thread or several.
 *
 * From a scalar expression to the bytes of its kernel: core's expr.ts, kernels/map.ts, assembler/.
 */
import {
  BaxError,
  type Backend,
  type BackendInfo,
  bytesOf,
  fuse,
  type FusedKernel,
  sizeOf,
  type View,
} from '@bax/core';
import { fused } from './calls/fused.ts';
import { gather, scatterAdd } from './calls/gather.ts';
import { map } from './calls/map.ts';
import { matmul } from './calls/matmul.ts';
import { reduce } from './calls/reduce.ts';
import { MAX_PAGES } from './assembler/index.ts';
import { canBlock, hasFma, hasSimd, processors } from './features.ts';
import { RANDOM_WORDS, randomKernel } from './kernels/random.ts';
import { type KernelRun, Machine, RESERVED, TABLE } from './machine.ts';
import { addressOf, LinearMemory, type WasmBuffer } from './memory.ts';
import { Pool } from './threads/pool.ts';

export type { KernelRun };

/** 16 MiB to begin with. */
const INITIAL_PAGES = 256;

export interface WasmOptions {
  /**
   * How many threads work, this one included. Default: as many as there are processors, at most 4; 1 where this thread may
   * not wait (a page's main thread) or the page is not cross-origin isolated. The same bits for any number.
   */
  readonly threads?: number;
  /** Fused multiply-add. Default: where the engine has it. */
  readonly fma?: boolean;
}

export interface WasmBackend extends Backend {
  /** Ends the other threads, so that a page or process may open another backend; this one goes on with one. */
  close(): void;
  /** Calls `see` after each kernel that runs while `f` does: where the time goes. */
  profile<T>(see: (run: KernelRun) => void, f: () => T): T;
}

/** Whether this engine runs the backend's kernels: SIMD, and `wasm-unsafe-eval` where a page has a policy. */
export function isSupported(): boolean {
  try {
    void new WebAssembly.Module(Uint8Array.of(0, 0x61, 0x73, 0x6d, 1, 0, 0, 0)); // throws where a policy forbids it
    return hasSimd();
  } catch {
    return false;
  }
}

/**
 * Opens the backend.
 * @throws BaxError if an option is unknown, the engine has no SIMD, `fma` or `threads` are asked for where there are none, or a worker does
 * not start.
 */
export async function wasm(options: WasmOptions = {}): Promise<WasmBackend> {
  const unknown = Object.keys(options).find((name) => name !== 'threads' && name !== 'fma');
  if (unknown !== undefined)
    throw new BaxError(`wasm: there is no option '${unknown}'; choose among threads and fma`);
  if (!isSupported())
    throw new BaxError(
      'wasm: this engine runs no WebAssembly with SIMD (or a Content-Security-Policy forbids it); use cpu',
    );
  const fma = options.fma === false ? false : hasFma();
  if (options.fma && !fma)
    throw new BaxError('wasm: this engine has no fused multiply-add; leave out { fma: true }');
  const threads = threadsOf(options.threads);
  try {
    return await open(threads, fma);
  } catch (error) {
    // Only who asked for threads is told that there are none: a page's policy may forbid workers.
    if (threads === 1 || options.threads !== undefined) throw error;
    return open(1, fma);
  }
}

async function open(threads: number, fma: boolean): Promise<WasmBackend> {
  const shared = threads > 1;
  const [wasm, maximum] = newMemory(shared);
  const memory = new LinearMemory(wasm, RESERVED, maximum);
  const machine = new Machine(memory, { fma, sharedMemory: shared });
  if (shared) machine.pool = await Pool.start(memory.wasm, threads, TABLE);
  const fast = fuse(backend(machine));
  return {
    ...fast,
    get info() {
      return infoOf(machine); // threads end by close(), or die
    },
    profile(see, f) {
      fast.settle();
      return fast.profile(see, () => {
        const result = f();
        fast.settle();
        return result;
      });
    },
  };
}

/** A memory that can grow as far as the engine lets it, and how far: shared memory is reserved whole, 4 GiB are too much for some phones. */
function newMemory(shared: boolean): [WebAssembly.Memory, maximum: number] {
  for (let maximum = MAX_PAGES; ; maximum /= 2) {
    try {
      return [new WebAssembly.Memory({ initial: INITIAL_PAGES, maximum, shared }), maximum];
    } catch (error) {
      if (maximum / 2 < INITIAL_PAGES) throw error;
    }
  }
}

function threadsOf(wanted: number | undefined): number {
  if (wanted === undefined) return canBlock() ? Math.max(1, Math.min(4, processors())) : 1;
  if (!Number.isSafeInteger(wanted) || wanted < 1 || wanted > 64)
    throw new BaxError(`wasm: threads is ${wanted}; it must be an integer from 1 to 64`);
  if (wanted > 1 && !canBlock())
    throw new BaxError(
      'wasm: this thread cannot share memory or may not wait: a page must be cross-origin isolated and run bax in a Worker; or leave out { threads }',
    );
  return wanted;
}

function infoOf({ target: { fma }, threads }: Machine): BackendInfo {
  const simd = fma ? 'SIMD with fused multiply-add' : 'SIMD';
  return {
    adapter: `WebAssembly ${simd}, ${threads === 1 ? 'one thread' : `${threads} threads`}`,
    features: ['simd', ...(fma ? ['fma'] : []), ...(threads > 1 ? ['threads'] : [])],
    dtypes: ['f32', 'f64', 'i32'],
    roundoff: 2 ** -24,
  };
}

function backend(machine: Machine): WasmBackend {
  const { memory } = machine;
  const written = (views: readonly View[]): void => {
    for (const { buffer } of views) if ((buffer as WasmBuffer).packs) memory.dropPacks(buffer as WasmBuffer);
  };
  return {
    name: 'wasm',
    info: infoOf(machine),
    alloc: (length, type) => memory.alloc(length, type),
    free: (buffer) => memory.free(buffer as WasmBuffer),
    write(buffer, data, at = 0) {
      const array = memory.arrayOf(buffer);
      if (array[Symbol.toStringTag] !== data[Symbol.toStringTag])
        throw new Error(`wasm: a ${buffer.type} buffer cannot be written from a ${data[Symbol.toStringTag]}`);
      array.set(data, at);
      memory.dropPacks(buffer as WasmBuffer);
    },
    read: async (buffer, at = 0, length = buffer.length - at) =>
      memory.arrayOf(buffer).slice(at, at + length),
    peek: (buffer) => memory.arrayOf(buffer),
    map(fn, inputs, outputs, scalars) {
      written(outputs);
      map(machine, fn, inputs, outputs, scalars);
    },
    reduce(op, x, out) {
      written([out]);
      reduce(machine, op, x, out);
    },
    matmul(a, b, out, options) {
      written([out]);
      matmul(machine, a, b, out, options);
    },
    gather(table, index, out) {
      written([out]);
      gather(machine, table, index, out);
    },
    scatterAdd(index, rows, out) {
      written([out]);
      scatterAdd(machine, index, rows, out);
    },
    random(key, out) {
      written([out]);
      const words = sizeOf(out.shape);
      const address = addressOf(out.buffer) + out.offset * bytesOf('i32');
      machine.run(
        randomKernel,
        [key[0], key[1], address, words],
        Math.ceil(words / RANDOM_WORDS),
        16 * words,
      );
    },
    fused: Object.fromEntries(
      Object.entries(fused(machine)).map(([name, kernel]): [string, FusedKernel] => [
        name,
        (inputs, outputs, attrs) => {
          written(outputs);
          return kernel(inputs, outputs, attrs);
        },
      ]),
    ),
    memory: () => memory.report(),
    close: () => machine.pool?.stop(),
    profile(see, f) {
      const before = machine.observer;
      machine.observer = see;
      try {
        return f();
      } finally {
        machine.observer = before;
      }
    },
  };
}
