/** A function of tensors beside its gradient, and central differences of it: what `gradcheck` compares. */
import {
  assign,
  detach,
  type DType,
  foldIn,
  fromHost,
  grad,
  hostArray,
  isTensor,
  type Key,
  key,
  normals,
  randomBits,
  scope,
  type Tensor,
} from '@bax/core';
import { sameBits } from './bits.ts';
import { UNIT_ROUNDOFF } from './bounds.ts';
import { CheckError, kindOf } from './errors.ts';

type Floats = Float64Array | Float32Array;

/** f(tensors) as a number, Σ weights ∘ f, at the point `home`. */
export interface Subject {
  readonly f: () => Tensor;
  readonly tensors: readonly Tensor[];
  readonly home: readonly Floats[];
  /** Random, one for each element of f; 1 for a scalar. */
  readonly weights: Float64Array;
  /** The weighted sum at `home`. */
  readonly value: number;
  /** What `grad` says, for each tensor. */
  readonly gradients: readonly Float64Array[];
  /** f32 as soon as anything is. */
  readonly precision: 'f32' | 'f64';
}

/** @throws CheckError if f gives no tensor, or is not a function of the tensors alone. */
export async function subjectOf(f: () => Tensor, tensors: readonly Tensor[], seed: number): Promise<Subject> {
  const home = (await Promise.all(tensors.map((t) => t.data()))) as Floats[];
  const [first, again] = [evaluated(f), evaluated(f)];
  try {
    const y = await first.data();
    if (!sameBits(y, await again.data()))
      throw new CheckError('gradcheck: f gave two different results for the same input; fix its random key');
    const weights = y.length === 1 ? Float64Array.of(1) : normals(foldIn(key(seed), 'weights'), y.length);
    const gradients = await gradientsOf(f, tensors, first, weights);
    const precision = [first, ...tensors].some((t) => t.dtype === 'f32') ? 'f32' : 'f64';
    return { f, tensors, home, weights, value: weighted(y, weights).value, gradients, precision };
  } finally {
    first.dispose();
    again.dispose();
  }
}

/** What f does along a direction v, and what its gradient says that it does. */
export interface Comparison {
  /** Central differences with steps h and 2h. */
  readonly near: number;
  readonly far: number;
  /** ⟨gradient, v⟩. */
  readonly slope: number;
  /** The rounding errors of `near` and `slope` together: 2ε/h with ε = 8u·max(1, |f|). */
  readonly noise: number;
  /** How far the one-sided differences with steps h and 2h are apart: h f″ and 2h f″, but at a kink both what its slope changes by. */
  readonly bends: readonly [near: number, far: number];
}

/** Moves the tensors numbered `moving` by ±h and ±2h times their rms, with signs from `k`. */
export async function compare(s: Subject, moving: readonly number[], k: Key, h: number): Promise<Comparison> {
  const v = s.home.map((x, i) => (moving.includes(i) ? direction(x, foldIn(k, i)) : undefined));
  const shifted = (t: number): Floats[] =>
    s.home.map((x, i) => {
      const way = v[i];
      return way ? x.map((value, j) => value + t * way[j]!) : x;
    });
  const difference = async (
    step: number,
  ): Promise<{ d: number; bend: number; slope: number; size: number }> => {
    const [up, down] = [shifted(step), shifted(-step)];
    const [plus, minus] = [await valueAt(s, up), await valueAt(s, down)];
    let slope = 0; // along the way that was really gone: x ± hv were rounded
    for (const i of moving)
      s.gradients[i]!.forEach((g, j) => (slope += (g * (up[i]![j]! - down[i]![j]!)) / (2 * step)));
    const d = (plus.value - minus.value) / (2 * step);
    const bend = Math.abs(plus.value - s.value - (s.value - minus.value)) / step;
    return { d, bend, slope, size: Math.max(plus.size, minus.size) };
  };
  const [near, far] = [await difference(h), await difference(2 * h)];
  const noise = (2 * 8 * UNIT_ROUNDOFF[s.precision] * Math.max(1, near.size)) / h;
  return { near: near.d, far: far.d, slope: near.slope, noise, bends: [near.bend, far.bend] };
}

/** Points that are asked how rough f is. */
const DRAWS = 16;

/**
 * By how much f jumps where each number moves to its neighbour: its noise where what cancels inside of it is larger than
 * what comes out. The largest of some draws.
 */
export async function roughness(s: Subject): Promise<number> {
  const ulp = 2 * UNIT_ROUNDOFF[s.precision];
  let most = 0;
  for (let draw = 0; draw < DRAWS; draw++) {
    const moved = s.home.map((x, i) => {
      const signs = randomBits(foldIn(key(draw), i), x.length);
      return x.map((value, j) => value * (1 + (signs[j]! & 1 ? ulp : -ulp)));
    });
    most = Math.max(most, Math.abs((await valueAt(s, moved)).value - s.value));
  }
  return most;
}

/** Moves the tensors back to where they were, bit for bit. */
export const goHome = ({ tensors, home }: Subject): void => tensors.forEach((t, i) => put(t, home[i]!));

/** The weighted sum at a point, in f64 on the host; `size` is what its rounding errors are relative to. */
async function valueAt(s: Subject, point: readonly Floats[]): Promise<{ value: number; size: number }> {
  s.tensors.forEach((t, i) => put(t, point[i]!));
  const result = evaluated(s.f);
  const values = await result.data();
  result.dispose();
  const sum = weighted(values, s.weights);
  if (Number.isNaN(sum.value))
    throw new CheckError('gradcheck: f is NaN here; there is nothing to differentiate');
  return sum;
}

function weighted(values: ArrayLike<number>, weights: Float64Array): { value: number; size: number } {
  let [value, size] = [0, 0];
  for (let i = 0; i < values.length; i++) {
    value += weights[i]! * values[i]!;
    size += Math.abs(weights[i]! * values[i]!);
  }
  return { value, size };
}

/** What f gives; not under noGrad, since f may itself ask for gradients. */
const evaluated = (f: () => Tensor): Tensor =>
  scope(() => {
    const y: unknown = f();
    if (!isTensor(y))
      throw new CheckError(`gradcheck: f gave ${kindOf(y)}, not a tensor; it must give one at once, so await what it needs before`); // prettier-ignore
    return detach(y);
  });

/** Smaller tensors move as if their rms were this: a zero tensor has a gradient too. */
const SMALLEST_RMS = 1e-2;

/** ±rms of x, at random. */
function direction(x: Floats, k: Key): Float64Array {
  let sum = 0;
  for (const value of x) sum += value * value;
  const rms = Math.max(SMALLEST_RMS, Math.sqrt(sum / x.length));
  return Float64Array.from(randomBits(k, x.length), (word) => (word & 1 ? rms : -rms));
}

/** ∂(Σ weights ∘ f)/∂t for each tensor, on the host. */
async function gradientsOf(
  f: () => Tensor,
  tensors: readonly Tensor[],
  like: Tensor,
  weights: Float64Array,
): Promise<Float64Array[]> {
  const before = tensors.map((t) => t.requiresGrad);
  const grads = scope(() => {
    tensors.forEach((t) => (t.requiresGrad = true));
    try {
      const y = f();
      if (!y.tracked) return undefined; // a constant, says the tape; the differences will tell
      const { shape, dtype, backend } = like;
      const cotangent = fromHost(onHost(dtype, weights), shape, dtype, { backend });
      return grad(y, tensors, { cotangent, allowUnused: true });
    } finally {
      tensors.forEach((t, i) => (t.requiresGrad = before[i]!));
    }
  });
  if (!grads) return tensors.map((t) => new Float64Array(t.size));
  const data = await Promise.all(grads.map((g) => g.data()));
  grads.forEach((g) => g.dispose());
  return data.map((g) => Float64Array.from(g));
}

function onHost(dtype: DType, values: ArrayLike<number>): Floats {
  const data = hostArray(dtype, values.length);
  data.set(values);
  return data as Floats;
}

function put(t: Tensor, values: Floats): void {
  const source = fromHost(values, t.shape, t.dtype, { backend: t.backend });
  assign(t, source);
  source.dispose();
}
