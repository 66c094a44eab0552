import fc from 'fast-check';

/**
 * How the numbers of a law's inputs are drawn.
 * - `int`: multiples of 1/4 (integers for i32): sums and products of few are exact in every order, so bits may be demanded.
 * - `real`: spread over the op's own range, no two alike: for derivatives, which ties would put on a kink.
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

/** Every number of a call gets a residue of its own, up to so many of them, and one of so many places. */
const [RESIDUES, PLACES] = [128, 16];
const SCATTER = 79; // odd: a permutation of the residues, neighbours far apart

/**
 * n numbers from min to max, exact in f32, no two (of up to 128) nearer than a 2,048th of the range, none nearer to its
 * middle than half of that: no step of `gradcheck` crosses a tie of max or the kink of relu. `start` counts the numbers
 * that other inputs of the same call have got. They shrink towards numbers that lie apart as well, not towards one value.
 */
export const spread = (n: number, [min, max]: Range, start = 0): fc.Arbitrary<number[]> =>
  list(fc.nat(PLACES - 1), n).map((places) =>
    places.map((place, i) => {
      const slot = place * RESIDUES + (((start + i) * SCATTER) % RESIDUES);
      return Math.fround(min + ((max - min) * (slot + 0.5)) / (RESIDUES * PLACES));
    }),
  );

const STEPS = 2 ** 20;

/** n numbers from min to max, exact in f32. */
export const uniform = (n: number, [min, max]: Range): fc.Arbitrary<number[]> =>
  list(fc.nat(STEPS), n).map((all) => all.map((k) => Math.fround(min + ((max - min) * k) / STEPS)));

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
