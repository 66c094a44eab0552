import fc from 'fast-check';

/**
 * How the numbers of a law's inputs are drawn.
 * - `int`: multiples of 1/4 (integers for i32): sums and products of few are exact in every order, so bits may be demanded.
 * - `real`: spread over the op's own range, never two alike: for derivatives, which ties would put on a kink.
 */
export type Mode = 'int' | 'real';
export type Range = readonly [min: number, max: number];

const list = <T>(item: fc.Arbitrary<T>, n: number): fc.Arbitrary<T[]> =>
  fc.array(item, { minLength: n, maxLength: n, size: 'max' });

/** n integers from min to max; they shrink towards 0. */
export const integers = (n: number, [min, max]: Range): fc.Arbitrary<number[]> =>
  list(fc.integer({ min, max }), n);

/** n multiples of 1/4 from min to max. */
export const quarters = (n: number, [min, max]: Range): fc.Arbitrary<number[]> =>
  integers(n, [Math.ceil(4 * min), Math.floor(4 * max)]).map((all) => all.map((k) => k / 4));

const STEPS = 2 ** 20;
const GOLDEN = (Math.sqrt(5) - 1) / 2;

/**
 * n numbers from min to max, exact in f32. They shrink towards a sequence that is spread evenly (that of multiples of
 * the golden ratio, from `start` on) and not towards one value: a smaller counterexample shall not be a tie.
 */
export const spread = (n: number, [min, max]: Range, start = 0): fc.Arbitrary<number[]> =>
  list(fc.nat(STEPS - 1), n).map((all) =>
    all.map((k, i) => Math.fround(min + (max - min) * ((k / STEPS + (start + i + 1) * GOLDEN) % 1))),
  );

/**
 * n numbers as real programs hold them: 0, ± log-uniform in [2^-10, 2^10], or normal. No sum or product of a few is
 * subnormal, so that relative bounds hold with flush-to-zero too.
 */
export function wide(n: number): fc.Arbitrary<number[]> {
  const fraction = fc.nat(STEPS - 1).map((k) => (k + 0.5) / STEPS);
  const logUniform = fc
    .tuple(fc.constantFrom(1, -1), fraction)
    .map(([sign, t]) => Math.fround(sign * 2 ** (20 * t - 10)));
  const normal = fc
    .tuple(fraction, fraction)
    .map(([s, t]) => Math.fround(Math.sqrt(-2 * Math.log(s)) * Math.cos(2 * Math.PI * t)));
  const mixed = fc.oneof({ weight: 1, arbitrary: fc.constant(0) }, { weight: 5, arbitrary: logUniform });
  return fc.oneof(list(mixed, n), list(normal, n));
}
