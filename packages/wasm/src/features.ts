/** What the engine can run, found by asking it to validate a small module with the instruction in question. */
import { assemble, f32x4, Func, i32, v128 } from './assembler/index.ts';

/** What is used of Node's `process`; undefined elsewhere. */
interface NodeProcess {
  getBuiltinModule?(name: 'node:v8'): { setFlagsFromString(flag: string): void };
  getBuiltinModule?(name: 'node:worker_threads'): NodeThreads;
  getBuiltinModule?(name: 'node:os'): { availableParallelism(): number };
}
interface NodeThreads {
  readonly Worker: new (url: URL, options: { workerData: unknown; name: string }) => NodeWorker;
}
export interface NodeWorker {
  unref(): void;
  terminate(): unknown;
  on(event: 'message' | 'error' | 'exit', listener: (value: unknown) => void): void;
}
export const nodeProcess = (): NodeProcess | undefined => {
  const { process } = globalThis as { process?: NodeProcess };
  return process?.getBuiltinModule ? process : undefined;
};

/** Whether the engine takes a function that does this. */
function validates(
  code: (zero: ReturnType<typeof f32x4.const>) => Parameters<typeof v128.store>[1],
): boolean {
  if (typeof WebAssembly === 'undefined') return false;
  const f = new Func('run');
  f.body = v128.store(i32.const(0), code(f32x4.const(0)));
  return WebAssembly.validate(assemble({ sharedMemory: false, functions: [f] }));
}

export const hasSimd = (): boolean => validates((x) => f32x4.add(x, x));

/**
 * Whether there is fused multiply-add. Current browsers and Node from 22 on have it; in Node 20 (V8 11) it is behind a
 * flag, which takes effect for modules compiled later: here it is set, if the engine refuses at first.
 */
export function hasFma(): boolean {
  const ask = (): boolean => validates((x) => f32x4.relaxed_madd(x, x, x));
  if (ask()) return true;
  try {
    nodeProcess()?.getBuiltinModule?.('node:v8').setFlagsFromString('--experimental-wasm-relaxed-simd');
  } catch {
    return false;
  }
  return ask();
}

/** Whether this thread may wait for others, and share memory with them: not on a page's main thread, nor without isolation. */
export function canBlock(): boolean {
  if (typeof SharedArrayBuffer === 'undefined') return false;
  try {
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 1, 0);
    return true;
  } catch {
    return false;
  }
}

/** Processors that this process may use. */
export function processors(): number {
  const node = nodeProcess()?.getBuiltinModule?.('node:os').availableParallelism();
  return node ?? (typeof navigator === 'undefined' ? 1 : (navigator.hardwareConcurrency ?? 1));
}
