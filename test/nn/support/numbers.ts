import { expect } from 'vitest';

export const largest = (x: ArrayLike<number>): number => {
  let most = 0;
  for (let i = 0; i < x.length; i++) most = Math.max(most, Math.abs(x[i]!));
  return most;
};
/** max |a − b|; NaN if any is, or the lengths differ. */
export function distance(a: ArrayLike<number>, b: ArrayLike<number>): number {
  if (a.length !== b.length) return NaN;
  let most = 0;
  for (let i = 0; i < a.length; i++) {
    const off = Math.abs(a[i]! - b[i]!);
    if (!(off <= most)) most = off;
    if (Number.isNaN(off)) return NaN;
  }
  return most;
}
/** |a − b| ≤ tolerance · max(1, max |b|), and as long. */
export function expectClose(
  actual: ArrayLike<number>,
  expected: ArrayLike<number>,
  tolerance: number,
  what = '',
): void {
  expect(actual.length, what).toBe(expected.length);
  expect(distance(actual, expected), what).toBeLessThanOrEqual(tolerance * Math.max(1, largest(expected)));
}
