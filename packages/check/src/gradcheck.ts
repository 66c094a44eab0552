import { BaxError, foldIn, isFloat, key, showShape, type Tensor } from '@bax/core';
import { compare, type Comparison, goHome, roughness, subjectOf } from './differences.ts';
import { CheckError, KinkError } from './errors.ts';
import { checkRunOptions, type RunOptions } from './run.ts';

export interface GradcheckOptions extends Pick<RunOptions, 'runs' | 'timeBudget'> {
  /** Random directions for each tensor, and for all of them together. Default 3, times `runs`. */
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
/** Give up on a tensor after so many directions with a kink for each one wanted. */
const PATIENCE = 4;

/**
 * Proves that `grad` differentiates `f`: along random directions v, central differences of `f` equal ⟨gradient, v⟩.
 * `f` reads the tensors of `params` (a closure over a module will do) and gives a tensor; one that is not a scalar is
 * weighed with fixed random numbers. It must be deterministic: fix dropout's key. `params` are moved in place and are
 * bit for bit as before when it returns.
 *
 * Each direction is ±1 times the rms of a tensor, one tensor at a time and then all together; a single wrong or missing
 * element shows in each. With D1 = D(h), D2 = D(2h) and ε = 8u·max(1, |f|), the noise of f (or by how much f jumps
 * between neighbouring points, if that is more): |D1 − ⟨g, v⟩| must not exceed |D2 − D1| (three times the truncation error
 * of D1) + 2ε/h. Where D1 and D2 differ by more than a tenth there is a
 * kink, and another direction is drawn; so it is where D1 and ⟨g, v⟩ disagree, and the one-sided differences
 * (f(x + hv) − f(x))/h and (f(x) − f(x − hv))/h are apart by more than a tenth of that, and with 2h not by twice as much.
 * In f64 this finds a gradient that is off by 1e-4; in f32 only gross errors.
 * @throws CheckError with the numbers, KinkError if no direction of some tensor is smooth, BaxError on options that try nothing.
 */
export async function gradcheck(
  f: () => Tensor,
  params: Readonly<Record<string, Tensor>>,
  options: GradcheckOptions = {},
): Promise<GradcheckReport> {
  const { runs = 1, seed = 0, timeBudget } = options;
  checkRunOptions('gradcheck', options);
  const directions = options.directions ?? Math.ceil(3 * runs);
  if (!(Number.isSafeInteger(directions) && directions >= 1))
    throw new BaxError(`gradcheck: directions is ${directions}; it is how many are tried, an integer from 1`);
  if (options.h !== undefined && !(options.h > 0 && options.h < Infinity))
    throw new BaxError(`gradcheck: h is ${options.h}; it is a step, a finite number above 0`);
  const end = performance.now() + (timeBudget ?? Infinity);
  const [names, tensors] = [Object.keys(params), Object.values(params)];
  if (tensors.length === 0) throw new CheckError('gradcheck: there is no tensor to move');
  tensors.forEach((t, i) => {
    if (!isFloat(t.dtype))
      throw new CheckError(`gradcheck: ${names[i]} is ${t.dtype}; only floats have gradients`);
  });
  const subject = await subjectOf(f, tensors, seed);
  const h = options.h ?? STEP[subject.precision];

  const groups = names.map((name, i) => ({ name, moving: [i] }));
  const together = { name: 'all together', moving: tensors.map((_, i) => i) };
  // With little time the direction that sees most comes first.
  if (tensors.length > 1) groups.splice(timeBudget === undefined ? tensors.length : 0, 0, together);
  let [checked, kinks, worst] = [0, 0, 0];
  let rough: number | undefined;
  try {
    for (const { name, moving } of groups) {
      const tries = PATIENCE * directions;
      let smooth = 0;
      for (let i = 0; i < tries && smooth < directions; i++) {
        if (checked + smooth > 0 && performance.now() > end)
          return { checked: checked + smooth, kinks, worst };
        const direction = `${name}:${i}`;
        let c = await compare(subject, moving, foldIn(key(seed), direction), h);
        const change = Math.abs(c.far - c.near);
        const error = Math.abs(c.near - c.slope);
        const isRight = (): boolean => error <= change + c.noise;
        const isCrossed = (): boolean => change > 0.1 * Math.max(Math.abs(c.near), Math.abs(c.far)) + c.noise;
        if (!isRight() || isCrossed()) {
          rough ??= await roughness(subject); // asked for late: it takes time
          c = { ...c, noise: Math.max(c.noise, (2 * rough) / h) };
        }
        if (isCrossed() || (!isRight() && isKink(c, error))) {
          kinks++;
          continue;
        }
        const moved = moving.map((j) => `${names[j]} ${showShape(tensors[j]!.shape)}`).join(', ');
        if (!isRight())
          throw new CheckError(lesson(`${moved}, by ±rms; direction '${direction}' of seed ${seed}`, c, h));
        worst = Math.max(worst, error / (change + c.noise));
        smooth++;
      }
      checked += smooth;
      if (smooth === 0)
        throw new KinkError(
          `gradcheck: f has a kink at ${name} in all of ${tries} directions; check it at another point`,
        );
    }
  } finally {
    goHome(subject);
  }
  return { checked, kinks, worst };
}

/** Central differences do not see a kink in their middle; one-sided ones do, where those of a smooth function come together as h falls. */
const isKink = ({ bends: [near, far], noise }: Comparison, error: number): boolean =>
  near > 0.1 * error + 2 * noise && far < 1.5 * near;

const lesson = (moved: string, { near, far, slope, noise }: Comparison, h: number): string =>
  [
    'gradcheck: the gradient is not what the function does (central differences)',
    `  moved        ${moved}`,
    `  grad says    ⟨g, v⟩ = ${slope}`,
    `  f says       D(h)   = ${near}   (f(x + hv) − f(x − hv)) / 2h, h = ${h}`,
    `               D(2h)  = ${far}`,
    `  they differ  ${Math.abs(near - slope)}, allowed is |D(2h) − D(h)| + 2ε/h = ${Math.abs(far - near) + noise}`,
  ].join('\n');
