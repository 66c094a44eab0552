/** Runs kernels: compiles each once, writes its arguments where it reads them, and gives its units to the threads. */
import { hostFunctions } from './kernels/functions.ts';
import { type Kernel, SLOT, type Target } from './kernels/kernel.ts';
import type { LinearMemory } from './memory.ts';
import { CONTROL, SCRATCH, SCRATCH_BYTES } from './threads/control.ts';
import type { Pool } from './threads/pool.ts';

// The first bytes of memory: the control words of the threads, a kernel's arguments, the table of kernels for the workers.
/** Where a kernel's arguments are. */
const ARGS = 128;
export const TABLE = 8192;
const ARGS_BYTES = TABLE - ARGS;
const KERNELS = 4096;
/** Memory below is not given out. */
export const RESERVED: number = TABLE + 8 * KERNELS;

/**
 * From so much work on, counted in multiplications or elements, other threads are woken: that costs some 50 µs, in which
 * one thread does about a million.
 */
const WORTH_SHARING = 2 ** 21;

/** One run of a kernel, for profiles. */
export interface KernelRun {
  readonly kernel: string;
  /** About how many multiplications or elements. */
  readonly work: number;
  readonly ms: number;
}

type Run = (args: number, from: number, to: number, scratch: number) => void;
interface Compiled {
  readonly run: Run;
  /** The workers' number of it; undefined if they cannot run it, since it calls the host. */
  readonly id: number | undefined;
}

export class Machine {
  readonly target: Target;
  readonly memory: LinearMemory;
  pool: Pool | undefined;
  /** Told of each run. */
  observer: ((run: KernelRun) => void) | undefined;
  readonly #compiled = new Map<Kernel, Compiled>();
  #scratch = 0;
  #scratchBytes = 0;
  #ids = 0;

  constructor(memory: LinearMemory, target: Target) {
    this.memory = memory;
    this.target = target;
  }

  get threads(): number {
    return this.pool?.threads ?? 1;
  }

  /**
   * Does units 0 to `units` − 1 of the kernel. `work` is about how many multiplications or elements that is; `scratch`
   * the bytes that each thread needs of its own.
   */
  run(kernel: Kernel, args: ArrayLike<number>, units: number, work: number, scratch = 0): void {
    if (units === 0) return;
    const { run, id } = this.#compiled.get(kernel) ?? this.#compile(kernel);
    if (scratch > this.#scratchBytes) this.#growScratch(scratch);
    this.#write(kernel, args);
    const started = this.observer ? performance.now() : 0;
    if (this.pool && id !== undefined && units > 1 && work >= WORTH_SHARING)
      this.pool.run(id, units, work, (from, to) => run(ARGS, from, to, this.#scratch));
    else run(ARGS, 0, units, this.#scratch);
    this.observer?.({ kernel: kernel.name, work, ms: performance.now() - started });
  }

  #write({ args: types, name }: Kernel, values: ArrayLike<number>): void {
    if (types.length * SLOT > ARGS_BYTES)
      throw new Error(`wasm: ${name} has too many arguments: ${types.length}`);
    const { i32, f32, f64 } = this.memory;
    for (let i = 0, at = ARGS / SLOT; i < types.length; i++, at++) {
      const type = types[i];
      if (type === 'i32') i32[2 * at] = values[i];
      else if (type === 'f32') f32[2 * at] = values[i];
      else f64[at] = values[i];
    }
  }

  #compile(kernel: Kernel): Compiled {
    const bytes = kernel.bytes(this.target);
    const module = new WebAssembly.Module(bytes);
    const instance = new WebAssembly.Instance(module, {
      host: { memory: this.memory.wasm, ...hostFunctions },
    });
    const callsHost = WebAssembly.Module.imports(module).some(({ kind }) => kind === 'function');
    const id = this.pool && !callsHost && this.#ids < KERNELS ? this.#teach(bytes) : undefined;
    const compiled = { run: instance.exports.run as Run, id };
    this.#compiled.set(kernel, compiled);
    return compiled;
  }

  /** Puts a module's bytes where the workers find them. */
  #teach(bytes: Uint8Array): number {
    const address = this.memory.take(Math.ceil(bytes.length / 64) * 64, 'a kernel');
    new Uint8Array(this.memory.wasm.buffer, address, bytes.length).set(bytes);
    const at = TABLE / 4 + 2 * this.#ids;
    this.memory.i32[at] = address;
    this.memory.i32[at + 1] = bytes.length;
    return this.#ids++;
  }

  #growScratch(bytes: number): void {
    const { memory, threads } = this;
    const each = Math.ceil(bytes / 2 ** 16) * 2 ** 16;
    const grown = memory.take(each * threads, 'scratch'); // may fail: then all is as it was
    if (this.#scratch) memory.give(this.#scratch, this.#scratchBytes * threads);
    this.#scratch = grown;
    this.#scratchBytes = each;
    memory.i32[CONTROL / 4 + SCRATCH] = this.#scratch;
    memory.i32[CONTROL / 4 + SCRATCH_BYTES] = this.#scratchBytes;
  }
}
