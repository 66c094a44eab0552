import {
  assign, detach, foldIn, fromHost, grad, hostArray, isFloat, key, normals, randomBits, scope, showShape,
  type DType, type Key, type Tensor,
} from '@bax/core'; // prettier-ignore
import { sameBits } from './bits.ts';
import { UNIT_ROUNDOFF } from './bounds.ts';
import { CheckError, KinkError } from './errors.ts';

export interface GradcheckOptions {
  /** Random directions for each tensor, and for all of them together. Default 3. */
  readonly directions?: number;
  /** Where the directions begin; equal seeds give equal checks. Default 0. */
  readonly seed?: number;
  /** The step, in units of each tensor's rms. Default 1e-5 in f64, 1e-2 in f32. */
  readonly h?: number;
}

export interface GradcheckReport {
  /** Directions in which gradient and difference were compared. */
  readonly checked: number;
  /** Directions that were rejected since the function has a kink there. */
  readonly kinks: number;
  /** The largest error, as a fraction of what is allowed. */
  readonly worst: number;
}

const STEP = { f64: 1e-5, f32: 1e-2 };
/** Smaller tensors move as if their rms were this: a zero tensor has a gradient too. */
const SMALLEST_RMS = 1e-2;
/** Give up on a tensor after so many directions with a kink for each one wanted. */
const PATIENCE = 4;

type Floats = Float64Array | Float32Array;
interface Point {
  /** Σ c ∘ y, in f64 on the host. */
  readonly value: number;
  /** What its rounding errors are relative to. */
  readonly size: number;
}

/**
 * Proves that `grad` differentiates `f`: along random directions v, central differences of `f` equal ⟨gradient, v⟩.
 * `f` reads the tensors of `params` (a closure over a module will do) and gives a tensor; one that is not a scalar is
 * weighed with fixed random numbers. It must be deterministic: fix dropout's key. `params` are moved in place and are
 * bit for bit as before when it returns.
 *
 * Each direction is ±1 times the rms of a tensor, one tensor at a time and then all together; a single wrong or missing
 * element shows in each. With D1 = D(h), D2 = D(2h) and ε = 8u·max(1, |f|), the noise of f: |D1 − ⟨g, v⟩| must not exceed
 * |D2 − D1| (three times the truncation error of D1) + 2ε/h. Where D1 and D2 differ by more than a tenth there is a
 * kink, and another direction is drawn. In f64 this finds a gradient that is off by 1e-4; in f32 only gross errors.
 * @throws CheckError with the numbers, KinkError if no direction of some tensor is smooth.
 */
export async function gradcheck(
  f: () => Tensor,
  params: Readonly<Record<string, Tensor>>,
  options: GradcheckOptions = {},
): Promise<GradcheckReport> {
  const { directions = 3, seed = 0 } = options;
  const names = Object.keys(params);
  const tensors = Object.values(params);
  if (tensors.length === 0) throw new CheckError('gradcheck: there is no tensor to move');
  tensors.forEach((t, i) => {
    if (!isFloat(t.dtype))
      throw new CheckError(`gradcheck: ${names[i]} is ${t.dtype}; only floats have gradients`);
  });
  const home = (await Promise.all(tensors.map((t) => t.data()))) as Floats[];

  const first = evaluated(f);
  const again = evaluated(f);
  const [y, y2] = [await first.data(), await again.data()];
  const coarse = [first, ...tensors].some((t) => t.dtype === 'f32');
  const [u, h] = [UNIT_ROUNDOFF[coarse ? 'f32' : 'f64'], options.h ?? STEP[coarse ? 'f32' : 'f64']];
  if (!sameBits(y, y2))
    throw new CheckError('gradcheck: f gave two different results for the same input; fix its random key');
  const weights = y.length === 1 ? Float64Array.of(1) : normals(foldIn(key(seed), 'weights'), y.length);
  const gradients = await gradientsOf(f, tensors, first, weights);
  first.dispose();
  again.dispose();

  const at = async (moved: readonly Floats[]): Promise<Point> => {
    moved.forEach((values, i) => put(tensors[i]!, values));
    const result = evaluated(f);
    const values = await result.data();
    result.dispose();
    let [value, size] = [0, 0];
    for (let i = 0; i < values.length; i++) {
      value += weights[i]! * values[i]!;
      size += Math.abs(weights[i]! * values[i]!);
    }
    if (Number.isNaN(value))
      throw new CheckError('gradcheck: f is NaN here; there is nothing to differentiate');
    return { value, size };
  };

  let [checked, kinks, worst] = [0, 0, 0];
  /** False at a kink. */
  const along = async (moving: readonly number[], name: string): Promise<boolean> => {
    const directionKey = (i: number): Key => foldIn(foldIn(key(seed), name), i);
    const v = home.map((x, i) => (moving.includes(i) ? direction(x, directionKey(i)) : undefined));
    const shifted = (t: number): Floats[] =>
      home.map((x, i) => {
        const step = v[i];
        return step ? x.map((value, j) => value + t * step[j]!) : x;
      });
    const difference = async (step: number): Promise<{ d: number; slope: number; size: number }> => {
      const [up, down] = [shifted(step), shifted(-step)];
      const [plus, minus] = [await at(up), await at(down)];
      let slope = 0; // along the way that was really gone: x ± hv were rounded
      for (const i of moving)
        gradients[i]!.forEach((g, j) => (slope += (g * (up[i]![j]! - down[i]![j]!)) / (2 * step)));
      return { d: (plus.value - minus.value) / (2 * step), slope, size: Math.max(plus.size, minus.size) };
    };
    const [near, far] = [await difference(h), await difference(2 * h)];
    const noise = (2 * 8 * u * Math.max(1, near.size)) / h;
    const change = Math.abs(far.d - near.d);
    if (change > 0.1 * Math.max(Math.abs(near.d), Math.abs(far.d)) + noise) return false;
    const error = Math.abs(near.d - near.slope);
    checked++;
    worst = Math.max(worst, error / (change + noise));
    if (error <= change + noise) return true;
    throw new CheckError(
      [
        'gradcheck: the gradient is not what the function does (central differences, laws.md §4)',
        `  moved        ${moving.map((i) => `${names[i]} ${showShape(tensors[i]!.shape)}`).join(', ')}, by ±rms; direction '${name}' of seed ${seed}`,
        `  grad says    ⟨g, v⟩ = ${near.slope}`,
        `  f says       D(h)   = ${near.d}   (f(x + hv) − f(x − hv)) / 2h, h = ${h}`,
        `               D(2h)  = ${far.d}`,
        `  they differ  ${error}, allowed is |D(2h) − D(h)| + 2ε/h = ${change + noise}`,
      ].join('\n'),
    );
  };

  try {
    const groups = tensors.map((_, i) => ({ moving: [i], name: names[i]! }));
    if (tensors.length > 1) groups.push({ moving: tensors.map((_, i) => i), name: 'all together' });
    for (const { moving, name } of groups) {
      let smooth = 0;
      for (let i = 0; i < PATIENCE * directions && smooth < directions; i++) {
        if (await along(moving, `${name}:${i}`)) smooth++;
        else kinks++;
      }
      if (smooth === 0)
        throw new KinkError(
          `gradcheck: f has a kink at ${name} in all of ${PATIENCE * directions} directions; check it at another point`,
        );
    }
  } finally {
    home.forEach((values, i) => put(tensors[i]!, values));
  }
  return { checked, kinks, worst };
}

/** What f gives; not under since f may itself ask for gradients. */
const evaluated = (f: () => Tensor): Tensor => scope(() => detach(f()));

/** ±rms of x, at random. */
function direction(x: Floats, k: Key): Float64Array {
  let sum = 0;
  for (const value of x) sum += value * value;
  const rms = Math.sqrt(sum / x.length);
  const bits = randomBits(k, x.length);
  return Float64Array.from(bits, (word) => (word & 1 ? 1 : -1) * Math.max(rms, SMALLEST_RMS));
}

/** ∂(Σ weights ∘ f)/∂p for each tensor, on the host. */
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
      const cotangent = fromHost(onHost(like.dtype, weights), like.shape, like.dtype, {
        backend: like.backend,
      });
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
