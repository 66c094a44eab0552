import type { Storage, TypedArray, View } from '@bax/core';
import { collapse, offsetsOf } from '@bax/core';
import { widenBf16, widenF16 } from './widen.ts';

/** A view as rows: runs of `length` elements, `step` apart, that begin at `starts`. */
export interface Rows {
  readonly length: number;
  readonly step: number;
  readonly starts: Int32Array;
  /** The value of each bit pattern, for the storage types that JavaScript has no array for. */
  readonly widen: Float32Array | undefined;
}

export function rowsOf(view: View): Rows {
  const { shape, strides } = collapse(view.shape, [view.strides]);
  const length = shape.pop() ?? 1;
  const step = strides[0].pop() ?? 1;
  const starts = offsetsOf(shape, strides[0], view.offset);
  return { length, step, starts, widen: widenOf(view.buffer.type) };
}

/** The values of a storage type's bit patterns, for the types that JavaScript has no array for. */
export const widenOf = (type: Storage): Float32Array | undefined =>
  type === 'f16' ? widenF16() : type === 'bf16' ? widenBf16() : undefined;

/** From so many elements on, one native call is quicker than a loop. */
export const LONG = 32;

/** target[at + i] = element from + i of the view, for i < n: converted to the target's type. */
export function load(
  source: TypedArray,
  rows: Rows,
  from: number,
  n: number,
  target: TypedArray,
  at: number,
): void {
  const { length, step, starts, widen } = rows;
  let row = Math.floor(from / length);
  let column = from - row * length;
  for (const end = at + n; at < end; row++, column = 0) {
    const run = Math.min(length - column, end - at);
    const p = starts[row] + column * step;
    if (widen) for (let i = 0; i < run; i++) target[at + i] = widen[source[p + i * step]];
    else if (step === 1 && run >= LONG) target.set(source.subarray(p, p + run), at);
    else if (step === 0 && run >= LONG) target.fill(source[p], at, at + run);
    else for (let i = 0; i < run; i++) target[(at + i) | 0] = source[(p + i * step) | 0];
    at += run;
  }
}

/** Element from + i of the view = source[at + i], for i < n: converted to the view's type. */
export function store(
  target: TypedArray,
  rows: Rows,
  from: number,
  n: number,
  source: TypedArray,
  at: number,
): void {
  const { length, step, starts } = rows;
  let row = Math.floor(from / length);
  let column = from - row * length;
  for (const end = at + n; at < end; row++, column = 0) {
    const run = Math.min(length - column, end - at);
    const p = starts[row] + column * step;
    if (step === 1 && run >= LONG) target.set(source.subarray(at, at + run), p);
    else for (let i = 0; i < run; i++) target[(p + i * step) | 0] = source[(at + i) | 0];
    at += run;
  }
}
