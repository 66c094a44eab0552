/** Every way in which a tensor can lie in memory: what a backend is given is a view, never an array. */
import { rowMajor, type Shape, showShape, sizeOf } from '@bax/core';
import fc from 'fast-check';

/** Where a view of `shape` lies in a buffer of `length` elements. */
export interface Strided {
  readonly shape: readonly number[];
  readonly strides: readonly number[];
  readonly offset: number;
  readonly length: number;
}

const shown = (at: Strided): Strided => Object.assign(at, { toString: () => showStrided(at) });
export const showStrided = ({ shape, strides, offset, length }: Strided): string =>
  `${showShape(shape)} strides ${showShape(strides)} offset ${offset} in ${length}`;

/** Row-major, without gaps. */
export const plain = (shape: Shape): Strided =>
  shown({ shape, strides: rowMajor(shape), offset: 0, length: sizeOf(shape) });

/** Row-major among other things: some elements before, some after, `step` from one to the next. */
export const spaced = (shape: Shape, step: number, before = 3, after = 2): Strided =>
  shown({
    shape,
    strides: rowMajor(shape).map((stride) => stride * step),
    offset: before,
    length: before + sizeOf(shape) * step + after,
  });

/** The last two axes the other way round in memory. */
export function turned(shape: Shape): Strided {
  const at = plain([...shape.slice(0, -2), shape.at(-1)!, shape.at(-2)!]);
  return shown({
    ...at,
    shape,
    strides: [...at.strides.slice(0, -2), at.strides.at(-1)!, at.strides.at(-2)!],
  });
}

/** Axes in any order in memory, with gaps, reversed, behind an offset and, for inputs, repeated (stride 0). */
export function strided(shape: Shape, repeats = false): fc.Arbitrary<Strided> {
  const rank = shape.length;
  const axis = fc.record({
    step: fc.constantFrom(1, 1, 1, 2, 3),
    flip: fc.constantFrom(false, false, false, true),
    repeat: repeats ? fc.constantFrom(false, false, true) : fc.constant(false),
  });
  return fc
    .record({
      order: fc.shuffledSubarray([...shape.keys()], { minLength: rank, maxLength: rank }),
      simple: fc.boolean(),
      axes: fc.array(axis, { minLength: rank, maxLength: rank }),
      before: fc.nat(3),
      after: fc.nat(3),
    })
    .map(({ order, simple, axes, before, after }) => {
      const strides = new Array<number>(rank).fill(0);
      let extent = 1;
      let offset = before;
      for (const i of simple ? [...shape.keys()].reverse() : order) {
        const { step, flip, repeat } = simple ? { step: 1, flip: false, repeat: axes[i].repeat } : axes[i];
        if (repeat) continue;
        const stride = extent * step;
        strides[i] = flip ? -stride : stride;
        if (flip) offset += stride * Math.max(0, shape[i] - 1);
        extent = stride * Math.max(1, shape[i]);
      }
      return shown({ shape, strides, offset, length: before + extent + after });
    });
}

export const shapes = (maxRank = 4, maxLength = 7, minLength = 1): fc.Arbitrary<number[]> =>
  fc.array(fc.integer({ min: minLength, max: maxLength }), { maxLength: maxRank });

/** Lengths at which tiles, vectors and workgroups begin and end. */
export const EDGES = [
  1, 2, 3, 4, 5, 7, 8, 9, 12, 15, 16, 17, 31, 32, 33, 63, 64, 65, 66, 127, 128, 129,
] as const;

/** Each index of a shape, row-major. */
export function* indices(shape: Shape): Generator<number[]> {
  if (shape.length === 0) yield [];
  else for (let i = 0; i < shape[0]; i++) for (const rest of indices(shape.slice(1))) yield [i, ...rest];
}

/** The place in the buffer of one index. */
export const place = (at: Pick<Strided, 'strides' | 'offset'>, index: readonly number[]): number =>
  index.reduce((sum, i, axis) => sum + i * at.strides[axis], at.offset);

/** The places of all elements, row-major. */
export function places(at: Strided): Int32Array {
  let all = Int32Array.of(at.offset);
  at.shape.forEach((length, axis) => {
    const next = new Int32Array(all.length * length);
    for (let i = 0, e = 0; i < all.length; i++)
      for (let j = 0; j < length; j++) next[e++] = all[i] + j * at.strides[axis];
    all = next;
  });
  return all;
}
