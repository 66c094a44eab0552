import { CheckError } from './errors.ts';

/** One number a bit pattern: −0 counts as +0 (WGSL may ignore the sign of a zero) and every NaN as the same NaN. */
const same = (a: number, b: number): boolean => a === b || (a !== a && b !== b);

/** The first index at which the numbers differ in their bits, −1 if they do not. Of unequal lengths the shorter one's. */
export function firstDifference(a: ArrayLike<number>, b: ArrayLike<number>): number {
  const length = Math.min(a.length, b.length);
  for (let i = 0; i < length; i++) if (!same(a[i]!, b[i]!)) return i;
  return a.length === b.length ? -1 : length;
}

/** Whether all bits are equal, with −0 = +0. Whoever compares results bit for bit compares them with this. */
export const sameBits = (a: ArrayLike<number>, b: ArrayLike<number>): boolean => firstDifference(a, b) === -1;

/** @throws CheckError at the first difference in bits (−0 = +0); `what` names the two in its message. */
export function assertSameBits(actual: ArrayLike<number>, expected: ArrayLike<number>, what: string): void {
  const i = firstDifference(actual, expected);
  if (i === -1) return;
  if (actual.length !== expected.length)
    throw new CheckError(`${what}: ${actual.length} numbers, expected ${expected.length}`);
  throw new CheckError(
    `${what}: bits differ at ${i} of ${actual.length}: ${actual[i]}, expected ${expected[i]}`,
  );
}
