import type { Backend } from './backend.ts';
import {
  dtypeOf,
  hostArray,
  isFloat,
  type DType,
  type HalfFloat,
  type Storage,
  type TypedArray,
} from './dtype.ts';
import { BaxError } from './errors.ts';
import { scalar, scalarFn } from './expr.ts';
import { narrowed } from './half.ts';
import { type Key, key as keyOf, normals, uniforms } from './rng.ts';
import { rowMajor, showShape, sizeOf, type Shape } from './shape.ts';
import { alias, empty, keep, type Tensor, wantWide } from './tensor.ts';
import { expandView, sliceView } from './view.ts';

let defaultBackend: Backend | undefined;

/** The backend on which tensors are created when none is named. */
export function setBackend(backend: Backend): void {
  defaultBackend = backend;
}
/** @throws if no backend was chosen yet. */
export function getBackend(): Backend {
  if (!defaultBackend)
    throw new BaxError(
      "no backend: call await device('auto') from 'bax' first, or setBackend(cpu()) with '@bax/cpu'",
    );
  return defaultBackend;
}

export interface CreateOptions {
  /** Default f32. */
  readonly dtype?: DType;
  /** Default: the one set by `setBackend` (or by `device()` of 'bax'). */
  readonly backend?: Backend;
  readonly requiresGrad?: boolean;
}
export interface TensorOptions extends CreateOptions {
  /** Default: that of the values. */
  readonly shape?: Shape;
  /** How an f32 tensor is held: f16 and bf16 take half the memory, and what is held so is frozen. Default f32. */
  readonly storage?: 'f32' | HalfFloat;
}
export interface RandomOptions extends CreateOptions {
  /** The random key, or a seed. Equal keys give equal numbers on every backend. */
  readonly key: Key | number;
}

type Nested = number | readonly Nested[];

/**
 * A tensor from a number, nested arrays, or a flat typed array with `shape`. A typed array's kind gives the dtype
 * unless one is named (Float64Array gives f64, Int32Array i32, all others f32). With a `storage` of f16 or bf16 numbers are
 * rounded once, to nearest even, and a Uint16Array is its raw patterns.
 * @throws on ragged arrays, on a shape that does not hold the values, on a non-integer for i32, on a storage of another
 * dtype, or one that is frozen with requiresGrad.
 */
export function tensor(values: Nested | TypedArray, options: TensorOptions = {}): Tensor {
  const typed = ArrayBuffer.isView(values);
  checkStorage(options);
  const half = options.storage === 'f32' ? undefined : options.storage;
  const kind = values instanceof Float64Array ? 'f64' : values instanceof Int32Array ? 'i32' : 'f32';
  const dtype = options.dtype ?? (options.storage ? 'f32' : kind);
  const shape = options.shape ?? (typed ? [values.length] : shapeOf(values as Nested));
  checkShape('tensor', shape);
  const flat: ArrayLike<number> = typed ? values : (flatten(values as Nested) as number[]);
  if (flat.length !== sizeOf(shape))
    throw new BaxError(`tensor: shape ${showShape(shape)} holds ${sizeOf(shape)} values, got ${flat.length}`);
  if (half && values instanceof Uint16Array) return fromHost(values, shape, half, options);
  const data = hostArray(half ? 'f64' : dtype, flat.length);
  for (let i = 0; i < flat.length; i++) {
    const value = flat[i];
    if (typeof value !== 'number') throw new BaxError(`tensor: value ${i} is ${typeof value}, not a number`);
    if (dtype === 'i32' && value !== (value | 0))
      throw new BaxError(`tensor: value ${i} is ${value}, which i32 cannot hold; pass { dtype: 'f32' }`);
    data[i] = value;
  }
  return half ? fromHost(narrowed(half, data), shape, half, options) : fromHost(data, shape, dtype, options);
}

function checkStorage({ dtype, storage }: TensorOptions): void {
  if (storage === undefined) return;
  if (!['f32', 'f16', 'bf16'].includes(storage))
    throw new BaxError(`tensor: storage is '${String(storage)}'; choose f32, f16 or bf16`);
  if (dtype !== undefined && dtype !== 'f32')
    throw new BaxError(
      `tensor: what is held in ${storage} computes as f32, and dtype is ${dtype}; leave out one of them`,
    );
}

function shapeOf(values: Nested): number[] {
  const shape: number[] = [];
  for (let v: Nested = values; Array.isArray(v); v = v[0]!) {
    shape.push(v.length);
    if (v.length === 0) break;
  }
  const check = (v: Nested, axis: number): void => {
    if (Array.isArray(v) !== axis < shape.length || (Array.isArray(v) && v.length !== shape[axis]))
      throw new BaxError(
        `tensor: ragged array: expected ${showShape(shape)}, an element at depth ${axis} differs`,
      );
    if (Array.isArray(v)) for (const item of v) check(item, axis + 1);
  };
  check(values, 0);
  return shape;
}
const flatten = (values: Nested): unknown[] => (Array.isArray(values) ? values.flat(Infinity) : [values]);

export function checkShape(op: string, shape: Shape): void {
  for (const length of shape)
    if (!Number.isSafeInteger(length) || length < 0)
      throw new BaxError(`${op}: ${showShape(shape)} is not a shape: axis lengths are integers from 0`);
}

/** Takes a host array of the storage's own kind (raw patterns for f16 and bf16), without a check of each value. */
export function fromHost(
  data: TypedArray,
  shape: Shape,
  storage: Storage,
  options: CreateOptions = {},
): Tensor {
  const dtype = dtypeOf(storage);
  if (options.requiresGrad && !isFloat(dtype))
    throw new BaxError(`requiresGrad: an ${dtype} tensor has no gradient; pass { dtype: 'f32' }`);
  if (options.requiresGrad) wantWide('requiresGrad', { shape, dtype, storage });
  const t = empty(shape, storage, options.backend ?? getBackend());
  if (data.length > 0) t.backend.write(t.view.buffer, data);
  t.requiresGrad = options.requiresGrad ?? false;
  return t;
}

/** Every element is `value`. */
export function full(shape: Shape, value: number, options: CreateOptions = {}): Tensor {
  checkShape('full', shape);
  const dtype = options.dtype ?? 'f32';
  if (dtype === 'i32' && value !== (value | 0))
    throw new BaxError(`full: ${value} is not what i32 can hold; pass { dtype: 'f32' }`);
  if (options.requiresGrad && !isFloat(dtype)) return fromHost(hostArray(dtype, 0), shape, dtype, options); // its error
  const t = empty(shape, dtype, options.backend ?? getBackend());
  if (t.size > 0) t.backend.map(scalarFn(dtype, 0, 1, [scalar(0)]), [], [t.view], [value]);
  t.requiresGrad = options.requiresGrad ?? false;
  return t;
}
export const zeros = (shape: Shape, options: CreateOptions = {}): Tensor => full(shape, 0, options);
export const ones = (shape: Shape, options: CreateOptions = {}): Tensor => full(shape, 1, options);

/** The n × n identity matrix. */
export function eye(n: number, options: CreateOptions = {}): Tensor {
  const dtype = options.dtype ?? 'f32';
  checkShape('eye', [n, n]);
  const data = hostArray(dtype, n * n);
  for (let i = 0; i < n; i++) data[i * (n + 1)] = 1;
  return fromHost(data, [n, n], dtype, options);
}

/** 0, 1, …, n − 1 as i32 unless another dtype is named. */
export function arange(n: number, options: CreateOptions = {}): Tensor {
  checkShape('arange', [n]);
  const dtype = options.dtype ?? 'i32';
  return fromHost(hostArray(dtype, n).map((_: number, i: number) => i), [n], dtype, options); // prettier-ignore
}

const toKey = (k: Key | number): Key => (typeof k === 'number' ? keyOf(k) : k);

/** Standard normals times `std`, made on the host in f64 and rounded once. */
export function randn(
  shape: Shape,
  { std = 1, ...options }: RandomOptions & { readonly std?: number },
): Tensor {
  checkShape('randn', shape);
  const dtype = options.dtype ?? 'f32';
  return fromHost(
    hostArray(dtype, sizeOf(shape)).map(at(normals(toKey(options.key), sizeOf(shape)), (z) => z * std)),
    shape,
    dtype,
    options,
  );
}

/** Uniform in [low, high). */
export function rand(
  shape: Shape,
  { low = 0, high = 1, ...options }: RandomOptions & { readonly low?: number; readonly high?: number },
): Tensor {
  checkShape('rand', shape);
  const dtype = options.dtype ?? 'f32';
  return fromHost(
    hostArray(dtype, sizeOf(shape)).map(
      at(uniforms(toKey(options.key), sizeOf(shape)), (u) => low + (high - low) * u),
    ),
    shape,
    dtype,
    options,
  );
}
const at =
  (from: Float64Array, f: (x: number) => number) =>
  (_: number, i: number): number =>
    f(from[i]!);

interface Constants {
  readonly scalars: Map<string, Tensor>;
  positions?: Tensor;
}
const constants = new WeakMap<Backend, Constants>();
function constantsOf(backend: Backend): Constants {
  let known = constants.get(backend);
  if (!known) constants.set(backend, (known = { scalars: new Map() }));
  return known;
}

/** A kept scalar with t's dtype and backend; only 0 and 1 and the like, since each value stays for good. */
export function constantLike(t: Tensor, value: 0 | 1): Tensor {
  const { scalars } = constantsOf(t.backend);
  const name = `${t.dtype}:${value}`;
  let scalar = scalars.get(name);
  // Written by the host, not computed: a step that is warmed up computes nothing.
  if (!scalar) scalars.set(name, (scalar = keep(fromHost(hostArray(t.dtype, 1).fill(value), [], t.dtype, { backend: t.backend })))); // prettier-ignore
  return scalar;
}

/** 0, 1, … as i32 along `axis` of `shape`, repeated along the others: masks and one-hots compare with it. Costs no memory. */
export function positions(shape: Shape, axis: number, backend: Backend): Tensor {
  const known = constantsOf(backend);
  const n = shape[axis]!;
  if (!known.positions || known.positions.size < n) {
    // The shorter ones stay: a recorded step may use them.
    known.positions = keep(arange(Math.max(1024, 2 ** Math.ceil(Math.log2(n))), { backend }));
  }
  const line = sliceView(known.positions.view, 0, 0, n);
  const column = {
    ...line,
    shape: shape.map((_, i) => (i === axis ? n : 1)),
    strides: rowMajor(shape).map((_, i) => (i === axis ? 1 : 0)),
  };
  return alias(known.positions, expandView(column, shape));
}
