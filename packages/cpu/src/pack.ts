import type { TypedArray, View } from '@bax/core';
import { widenBf16, widenF16 } from './functions.ts';
import { arrayOf } from './memory.ts';
import { offsetsOf } from './view.ts';

/** Lines of one operand that the kernels take at a time. */
export const TILE = 4;

/** A matmul's operand as lines along the summed axis: the rows of a, the columns of b. One start for each batch. */
export interface Lines {
  readonly data: TypedArray;
  /** The value of each 16-bit pattern, where the data are such. */
  readonly widen: Float32Array | undefined;
  readonly starts: Int32Array;
  readonly count: number;
  /** From one line to the next. */
  readonly line: number;
  /** From one element of a line to the next. */
  readonly step: number;
}

/** The lines of a view, of which `axis` counts from -2: those along its last axis, or those along the one before. */
export function linesOf(view: View, along: 'rows' | 'columns'): Lines {
  const { shape, strides } = view;
  const { type } = view.buffer;
  const batch = shape.length - 2;
  const [across, step] = along === 'rows' ? [batch, batch + 1] : [batch + 1, batch];
  return {
    data: arrayOf(view.buffer),
    widen: type === 'f16' ? widenF16() : type === 'bf16' ? widenBf16() : undefined,
    starts: offsetsOf(shape.slice(0, batch), strides.slice(0, batch), view.offset),
    count: shape[across],
    line: strides[across],
    step: strides[step],
  };
}

/**
 * Copies `count` lines of `k` elements, from the one at `start` on, as groups of TILE: a group holds the first
 * elements of its lines, then the second, and so on. The last group is filled up with zeros.
 */
export function pack(x: Lines, start: number, count: number, k: number, out: Float64Array): void {
  const { line, step } = x;
  const whole = count - (count % TILE);
  if (x.widen) packWidened(x.data, x.widen, start, line, step, whole, k, out);
  else packWhole(x.data, start, line, step, whole, k, out);
  if (whole < count) packRest(x, start + whole * line, count - whole, k, out, whole * k);
}

function packWhole(
  x: TypedArray,
  start: number,
  line: number,
  step: number,
  count: number,
  k: number,
  out: Float64Array,
): void {
  for (let r = 0, o = 0; r < count; r += TILE) {
    let p = start + r * line;
    for (const end = o + TILE * k; o < end; o += TILE, p += step) {
      out[o] = x[p];
      out[o + 1] = x[p + line];
      out[o + 2] = x[p + 2 * line];
      out[o + 3] = x[p + 3 * line];
    }
  }
}

function packWidened(
  x: TypedArray,
  widen: Float32Array,
  start: number,
  line: number,
  step: number,
  count: number,
  k: number,
  out: Float64Array,
): void {
  for (let r = 0, o = 0; r < count; r += TILE) {
    let p = start + r * line;
    for (const end = o + TILE * k; o < end; o += TILE, p += step) {
      for (let y = 0; y < TILE; y++) out[o + y] = widen[x[p + y * line]];
    }
  }
}

function packRest({ data, widen, line, step }: Lines, p: number, count: number, k: number, out: Float64Array, o: number): void {
  for (const end = o + TILE * k; o < end; o += TILE, p += step) {
    for (let y = 0; y < TILE; y++) {
      const value = y < count ? data[p + y * line] : 0;
      out[o + y] = widen && y < count ? widen[value] : value;
    }
  }
}
