import { assertSameBits, assertWithin, CheckError, firstDifference, sameBits } from '@bax/check';
import { expect, test } from 'vitest';

test('−0 counts as +0, NaN as NaN, and nothing else is forgiven', () => {
  expect(sameBits([0, -0, NaN, Infinity], [-0, 0, NaN, Infinity])).toBe(true);
  expect([
    firstDifference([1, 2], [1, 2 + 2 ** -51]),
    firstDifference([1], [1, 2]),
    firstDifference([NaN], [0]),
    firstDifference([Infinity], [-Infinity]),
  ]).toEqual([1, 1, 0, 0]);
  expect([sameBits([], []), sameBits(Float32Array.of(0.1), [0.1])]).toEqual([true, false]);
});

test('messages', () => {
  expect(() => assertSameBits([1, 2], [1, 3], 'y')).toThrow(
    new CheckError('y: bits differ at 1 of 2: 2, expected 3'),
  );
  expect(() => assertSameBits([1], [1, 3], 'y')).toThrow(new CheckError('y: 1 numbers, expected 2'));
  expect(() => assertWithin([1, 2], [1, 2.5], 0.25, 'y')).toThrow(
    new CheckError('y: 2 at 1 of 2, expected 2.5: off by 0.5, allowed 0.25'),
  );
  expect(() => assertWithin([1], [], 1, 'y')).toThrow(new CheckError('y: 1 numbers, expected 0'));
});

test('a bound for all or for each; NaN and infinities only match themselves', () => {
  assertWithin([1, Infinity, NaN], [1.1, Infinity, NaN], 0.11, 'y');
  assertWithin([1, 2], [1.5, 2], (i) => (i === 0 ? 0.5 : 0), 'y');
  for (const [a, b] of [[NaN, 1], [1, NaN], [Infinity, 1], [1, -Infinity], [Infinity, -Infinity]]) expect(() => assertWithin([a], [b], 1e300, 'y')).toThrow(CheckError); // prettier-ignore
});
