import type { DType, Storage, TypedArray } from './dtype.ts';
import type { ScalarFn } from './expr.ts';
import type { Shape } from './shape.ts';

/** Memory that a backend owns. Made by `alloc`, given back by `free`; its contents are the backend's own affair. */
export interface BufferRef {
  readonly length: number;
  readonly type: Storage;
}

/** A strided window on a buffer. Strides and offset count elements; a stride of 0 repeats (broadcast). */
export interface View {
  readonly buffer: BufferRef;
  readonly shape: Shape;
  readonly strides: readonly number[];
  readonly offset: number;
}

export interface BackendInfo {
  /** The processor or adapter, in words. */
  readonly adapter: string;
  readonly features: readonly string[];
  readonly dtypes: readonly DType[];
  /** The relative error of one f32 operation: 2^-24 where it rounds to nearest, 2^-23 where no direction is promised (WGSL). */
  readonly roundoff: number;
}

/** Bytes: `live` is allocated and not freed, `pooled` is kept for reuse, `peak` is the most that was ever live. */
export interface MemoryReport {
  readonly live: number;
  readonly pooled: number;
  readonly peak: number;
  readonly buffers: number;
}

export interface MatmulOptions {
  /** Multiplies the product. Default 1. */
  readonly scale?: number;
  /** Adds the product to `out` instead of replacing it. */
  readonly accumulate?: boolean;
}

/** Returns false where it does not take the case, as a storage of an input that the op `widens`; the composed form runs then. */
export type FusedKernel = (inputs: readonly View[], outputs: readonly View[], attrs: unknown) => boolean;

export interface RecordedCalls {
  /** Calls `refresh`, which changes what is held by reference, and enqueues. @throws before, if a buffer from before the recording was freed since. */
  run(refresh: () => void): void;
  dispose(): void;
}

/**
 * The seam that every device stands behind. Compute calls enqueue and return; the order of calls is the order of
 * their effects. Views arrive checked: shapes agree as stated, windows lie inside their buffers, and an output has
 * no stride 0 along an axis longer than 1. Accumulation is at least as wide as the output's type.
 */
export interface Backend {
  readonly name: string;
  readonly info: BackendInfo;
  /** Contents are undefined. */
  alloc(length: number, type: Storage): BufferRef;
  /** Legal while queued calls still use the buffer. */
  free(buffer: BufferRef): void;
  /** Copies `data` (of the buffer's host array type) to element `at`. */
  write(buffer: BufferRef, data: TypedArray, at?: number): void;
  /** A copy of `length` elements from `at`. The only async method: waits for what was enqueued, rejects with the first fault. */
  read(buffer: BufferRef, at?: number, length?: number): Promise<TypedArray>;
  /** The host's own memory behind the buffer, where the device has it there: lets `console.log` show values. */
  peek?(buffer: BufferRef): TypedArray | undefined;

  /**
   * outputs[i] = fn.outputs[i](inputs, scalars), elementwise; all shapes equal; an output may be the same view as an input.
   * The scalars are the caller's again at once.
   */
  map(fn: ScalarFn, inputs: readonly View[], outputs: readonly View[], scalars: ArrayLike<number>): void;
  /** `out` has x's rank and length 1 along the reduced axes. Summation in a fixed order. Empty sum 0; empty max is refused by core. */
  reduce(op: 'sum' | 'max', x: View, out: View): void;
  /** out[..., m, n] = scale · Σ_k a[..., m, k] b[..., k, n] (+ out). Equal batch shapes; transposes and broadcasts are strides. */
  matmul(a: View, b: View, out: View, options?: MatmulOptions): void;
  /** out[...i, ...rest] = table[index[...i], ...rest]; `index` is i32. */
  gather(table: View, index: View, out: View): void;
  /** out[index[...i], ...rest] += rows[...i, ...rest], in the order of the indices: deterministic. */
  scatterAdd(index: View, rows: View, out: View): void;
  /** Fills `out` (i32, contiguous) with Threefry-2x32-20 bits: element e is word e % 2 of block (e >> 1, 0) under `key` (2 words). */
  random(key: Uint32Array, out: View): void;

  memory(): MemoryReport;
  /**
   * Runs `calls` and keeps what it asked for, to be done again on the same memory: what it allocated and freed is held
   * for that. Keys, and scalars that come as typed arrays, are read again at each run.
   */
  record?(calls: () => void): RecordedCalls;
  /** Told by `apply()` before each op, so that faults and profiles can name the op and the module. */
  label?(op: string, path: string): void;
  readonly fused?: Readonly<Record<string, FusedKernel>>;
}
