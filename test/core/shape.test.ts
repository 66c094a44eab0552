import {
  broadcastShapes,
  bytesOf,
  hostArray,
  isFloat,
  rowMajor,
  sameShape,
  type Shape,
  showShape,
  sizeOf,
} from '@bax/core';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { runs } from '../support/runs.ts';

test('sizeOf, rowMajor, sameShape, showShape', () => {
  expect([sizeOf([]), sizeOf([2, 3]), sizeOf([2, 0])]).toEqual([1, 6, 0]);
  expect([rowMajor([]), rowMajor([2, 3, 4]), rowMajor([5])]).toEqual([[], [12, 4, 1], [1]]);
  expect([
    sameShape([], []),
    sameShape([1], []),
    sameShape([2, 3], [2, 3]),
    sameShape([2, 3], [3, 2]),
  ]).toEqual([true, false, true, false]);
  expect([showShape([]), showShape([2, 3])]).toEqual(['[]', '[2, 3]']);
});

test.each<[Shape[], Shape | undefined]>([
  [[[2, 3], [3]], [2, 3]],
  [[[2, 1], [1, 3]], [2, 3]],
  [[[], [4]], [4]],
  [[[1, 1], [5, 2, 3]], [5, 2, 3]],
  [[[0, 3], [1, 3]], [0, 3]],
  [[[2], [3]], undefined],
  [[[0], [2]], undefined],
  [[[2, 3], [2]], undefined],
  [[], []],
]) ('broadcastShapes %j = %j', (shapes, common) => {
  expect(broadcastShapes(...shapes)).toEqual(common);
}); // prettier-ignore

test('broadcasting does not depend on the order', () => {
  const shape = fc.array(fc.integer({ min: 0, max: 3 }), { maxLength: 3 });
  fc.assert(fc.property(shape, shape, shape, (a, b, c) => {
    expect(broadcastShapes(a, b)).toEqual(broadcastShapes(b, a));
    const ab = broadcastShapes(a, b);
    if (ab) expect(broadcastShapes(ab, c)).toEqual(broadcastShapes(a, b, c));
  }), runs(100)); // prettier-ignore
});

test('dtypes', () => {
  expect(
    (['f32', 'f64', 'i32', 'f16', 'bf16', 'u8', 'u32'] as const).map((type) => [
      bytesOf(type),
      hostArray(type, 2).byteLength,
    ]),
  ).toEqual([4, 8, 4, 2, 2, 1, 4].map((n) => [n, 2 * n]));
  expect([isFloat('f32'), isFloat('f64'), isFloat('i32')]).toEqual([true, true, false]);
});
