/** Random strided views and an independent, one-element-at-a-time way to read them. */
import { hostArray, sizeOf } from '@bax/core';
import type { Backend, Shape, Storage, TypedArray, View } from '@bax/core';
import fc from 'fast-check';

/** Where a tensor of `shape` lies in a buffer of `length` elements. */
export interface Layout {
  shape: number[];
  strides: number[];
  offset: number;
  length: number;
}

/** Axes in any order in memory, with gaps, reversed, behind an offset and, for inputs, repeated (stride 0). */
export function layouts(shape: Shape, repeats = false): fc.Arbitrary<Layout> {
  const rank = shape.length;
  const axis = fc.record({
    step: fc.constantFrom(1, 1, 1, 2, 3),
    flip: fc.constantFrom(false, false, false, true),
    repeat: repeats ? fc.constantFrom(false, false, true) : fc.constant(false),
  });
  return fc
    .record({
      order: fc.shuffledSubarray([...shape.keys()], {
        minLength: rank,
        maxLength: rank,
      }),
      plain: fc.boolean(),
      axes: fc.array(axis, { minLength: rank, maxLength: rank }),
      before: fc.nat(3),
      after: fc.nat(3),
    })
    .map(({ order, plain, axes, before, after }) => {
      const strides = new Array<number>(rank).fill(0);
      let extent = 1;
      let offset = before;
      for (const i of plain ? [...shape.keys()].reverse() : order) {
        const { step, flip, repeat } = plain ? { step: 1, flip: false, repeat: axes[i].repeat } : axes[i];
        if (repeat) continue;
        const stride = extent * step;
        strides[i] = flip ? -stride : stride;
        if (flip) offset += stride * Math.max(0, shape[i] - 1);
        extent = stride * Math.max(1, shape[i]);
      }
      return {
        shape: [...shape],
        strides,
        offset,
        length: before + extent + after,
      };
    });
}

/** Row-major, without gaps. */
export function plain(shape: Shape): Layout {
  const strides = shape.map((_, axis) => sizeOf(shape.slice(axis + 1)));
  return { shape: [...shape], strides, offset: 0, length: sizeOf(shape) };
}

export const shapes = (maxRank = 4, maxLength = 7, minLength = 1): fc.Arbitrary<number[]> =>
  fc.array(fc.integer({ min: minLength, max: maxLength }), {
    maxLength: maxRank,
  });

/** A buffer with the layout, its every element (gaps too) made by `value`. */
export function make(backend: Backend, at: Layout, type: Storage, value: (i: number) => number): View {
  const data = hostArray(type, at.length);
  for (let i = 0; i < at.length; i++) data[i] = value(i);
  const buffer = backend.alloc(at.length, type);
  backend.write(buffer, data);
  return { buffer, shape: at.shape, strides: at.strides, offset: at.offset };
}

export const from = (backend: Backend, shape: Shape, data: TypedArray, type: Storage): View =>
  make(backend, plain(shape), type, (i) => data[i]);

/** Each index of a shape, row-major. */
export function* indices(shape: Shape): Generator<number[]> {
  if (shape.length === 0) yield [];
  else for (let i = 0; i < shape[0]; i++) for (const rest of indices(shape.slice(1))) yield [i, ...rest];
}

/** The place in the buffer of one index. */
export const place = (at: { strides: readonly number[]; offset: number }, index: readonly number[]): number =>
  index.reduce((sum, i, axis) => sum + i * at.strides[axis], at.offset);

/** The host's memory of a view's buffer, as it is now. */
export const hostOf = (backend: Backend, view: View): TypedArray => backend.peek!(view.buffer)!;

/** The view's elements, row-major. */
export function valuesOf(backend: Backend, view: View): number[] {
  const data = hostOf(backend, view);
  return Array.from(indices(view.shape), (index) => data[place(view, index)]);
}

/** Small integers from a seed: cheap, and different at neighbouring places. */
export const ints =
  (seed: number, range = 8) =>
  (i: number): number =>
    (((Math.imul(i + 1, 0x9e3779b1) + Math.imul(seed + 1, 0x85ebca6b)) >>> 16) % (2 * range + 1)) - range;

/** Bits, with -0 counted as +0. */
export const bits = (values: ArrayLike<number>): number[] => Array.from(values, (v) => v + 0);
