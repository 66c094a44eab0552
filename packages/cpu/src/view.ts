import type { Shape, Storage, TypedArray, View } from '@bax/core';
import { sizeOf } from '@bax/core';
import { widenBf16, widenF16 } from './functions.ts';

/** Axes of one shape and, for each of several views, its strides along them. */
export interface Axes {
  readonly shape: number[];
  readonly strides: number[][];
}

/** The same elements in the same order with as few axes as possible: neighbours that all views step through as one are merged. */
export function collapse(shape: Shape, strides: readonly (readonly number[])[]): Axes {
  const out: Axes = { shape: [], strides: strides.map(() => []) };
  for (let axis = 0; axis < shape.length; axis++) {
    const length = shape[axis];
    if (length === 1) continue;
    const last = out.shape.length - 1;
    if (last >= 0 && strides.every((s, v) => out.strides[v][last] === s[axis] * length)) {
      out.shape[last] *= length;
      strides.forEach((s, v) => (out.strides[v][last] = s[axis]));
    } else {
      out.shape.push(length);
      strides.forEach((s, v) => out.strides[v].push(s[axis]));
    }
  }
  return out;
}

/** Where each element of a view lies in its buffer, in row-major order. */
export function offsetsOf(shape: Shape, strides: readonly number[], offset: number): Int32Array {
  const out = new Int32Array(sizeOf(shape));
  if (out.length === 0) return out;
  out[0] = offset;
  // Axis by axis from the last: the offsets known so far are repeated, each time one stride further.
  let known = 1;
  for (let axis = shape.length - 1; axis >= 0; axis--) {
    const block = known;
    for (let i = 1; i < shape[axis]; i++) {
      const shift = i * strides[axis];
      for (let j = 0; j < block; j++) out[known + j] = out[j] + shift;
      known += block;
    }
  }
  return out;
}

/** A view as rows: runs of `length` elements, `step` apart, that begin at `starts`. */
export interface Rows {
  readonly type: Storage;
  readonly length: number;
  readonly step: number;
  readonly starts: Int32Array;
}

export function rowsOf(view: View): Rows {
  const { shape, strides } = collapse(view.shape, [view.strides]);
  const length = shape.pop() ?? 1;
  const step = strides[0].pop() ?? 1;
  return { type: view.buffer.type, length, step, starts: offsetsOf(shape, strides[0], view.offset) };
}

/** The values of a storage type's bit patterns, for the types that JavaScript has no array for. */
export const widenOf = (type: Storage): Float32Array | undefined =>
  type === 'f16' ? widenF16() : type === 'bf16' ? widenBf16() : undefined;

/** One run of adjacent elements: kernels work on it where it lies. */
export const isContiguous = (rows: Rows): boolean => rows.step === 1 && rows.starts.length === 1;

/** target[at + i] = element from + i of the view, for i < n: converted to the target's type. */
export function load(source: TypedArray, rows: Rows, from: number, n: number, target: TypedArray, at: number): void {
  const { length, step, starts, type } = rows;
  const widen = widenOf(type);
  let row = Math.floor(from / length);
  let column = from - row * length;
  for (const end = at + n; at < end; row++, column = 0) {
    const run = Math.min(length - column, end - at);
    const start = starts[row] + column * step;
    if (widen) for (let i = 0; i < run; i++) target[at + i] = widen[source[start + i * step]];
    else if (step === 1) for (let i = 0; i < run; i++) target[at + i] = source[start + i];
    else for (let i = 0, p = start; i < run; i++, p += step) target[at + i] = source[p];
    at += run;
  }
}

/** Element from + i of the view = source[at + i], for i < n: converted to the view's type. */
export function store(target: TypedArray, rows: Rows, from: number, n: number, source: TypedArray, at: number): void {
  const { length, step, starts } = rows;
  let row = Math.floor(from / length);
  let column = from - row * length;
  for (const end = at + n; at < end; row++, column = 0) {
    const run = Math.min(length - column, end - at);
    for (let i = 0, p = starts[row] + column * step; i < run; i++, p += step) target[p] = source[at + i];
    at += run;
  }
}
