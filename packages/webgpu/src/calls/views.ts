/** Views as kernels want them: parts of what is larger than an adapter binds at once, transposes, axes from the inside out. */
import type { Storage, View } from '@bax/core';

/** `length` indices of one axis, from `start` on; axis −1 is the last. */
export function along(v: View, axis: number, start: number, length: number): View {
  const at = axis < 0 ? v.shape.length + axis : axis;
  return { ...v, shape: v.shape.with(at, length), offset: v.offset + start * v.strides[at] };
}

/** Start and length of two halves of an axis longer than 1; whole vectors stay together where they can. */
export function halves(length: number): readonly (readonly [start: number, length: number])[] {
  const half = length >= 8 ? Math.ceil(length / 8) * 4 : Math.floor(length / 2);
  return [
    [0, half],
    [half, length - half],
  ];
}

/** The axis along which a view extends furthest in memory. */
export function longestAxis({ shape, strides }: View): number {
  const extents = shape.map((length, axis) => (length - 1) * Math.abs(strides[axis]));
  return extents.indexOf(Math.max(...extents));
}

/** The last two axes exchanged. */
export const transposed = (v: View): View => ({
  ...v,
  shape: [...v.shape.slice(0, -2), v.shape.at(-1)!, v.shape.at(-2)!],
  strides: [...v.strides.slice(0, -2), v.strides.at(-1)!, v.strides.at(-2)!],
});

/** Lengths or strides as a kernel's vec4 has them: innermost first, and `rest` for the axes that there are not. */
export function innermostFirst(list: readonly number[], rest: number): number[] {
  const out = [rest, rest, rest, rest];
  for (let i = 0; i < list.length; i++) out[i] = list[list.length - 1 - i];
  return out;
}

/** What kernels call the storage of a tensor that they widen as they read; 0 is their own type. */
export const STORED: Readonly<Record<Storage, number>> = {
  f32: 0,
  i32: 0,
  f64: 0,
  f16: 1,
  bf16: 2,
  u8: 3,
  u32: 4,
};
