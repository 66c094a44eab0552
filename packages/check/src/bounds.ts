import { CheckError } from './errors.ts';

/**
 * The unit roundoff u. WebGPU's is twice f32's: WGSL does not say in which direction it rounds.
 * https://www.w3.org/TR/WGSL/#floating-point-accuracy
 */
export const UNIT_ROUNDOFF: Readonly<Record<'f64' | 'f32' | 'webgpu', number>> = {
  f64: 2 ** -53,
  f32: 2 ** -24,
  webgpu: 2 ** -23,
};

/** γ_n = nu / (1 − nu): the relative error of n roundings in a row. Higham, Accuracy and Stability, §3.1 */
export const gamma = (n: number, u: number): number => (n * u) / (1 - n * u);

/**
 * @throws CheckError where |actual − expected| > bound, a number or one for each index. Equal infinities are close, and
 * NaN is close to NaN alone.
 */
export function assertWithin(
  actual: ArrayLike<number>,
  expected: ArrayLike<number>,
  bound: number | ((i: number) => number),
  what: string,
): void {
  if (actual.length !== expected.length)
    throw new CheckError(`${what}: ${actual.length} numbers, expected ${expected.length}`);
  for (let i = 0; i < actual.length; i++) {
    if (Object.is(actual[i], expected[i])) continue;
    const error = Math.abs(actual[i]! - expected[i]!);
    const limit = typeof bound === 'number' ? bound : bound(i);
    if (!(error <= limit))
      throw new CheckError(
        `${what}: ${actual[i]} at ${i} of ${actual.length}, expected ${expected[i]}: off by ${error}, allowed ${limit}`,
      );
  }
}
