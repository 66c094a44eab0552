/**
 * The inner part of a matrix product: one block of rows by one block of columns, copied to f64 panels that stay in the
 * cache. A panel holds the lines of a tile side by side: the first element of each, then the second, and so on.
 *
 * Three things make V8 keep close to the processor's speed (each was worth 1.3 to 3 times): the panels are constants
 * of this module, so that their address and length are known to the compiler; so are the tile's sizes (an imported
 * constant is read anew at each use); and an index is brought back to 32 bits (`| 0`) where it is computed. The tile
 * has as many sums as, with their products, fit the sixteen registers.
 */
import type { TypedArray } from '@bax/core';

/** Rows and columns of a tile. */
const HEIGHT = 2;
const WIDTH = 3;
/** The most rows, columns and terms of a block: multiples of the tile's. */
export const ROWS = 128;
export const COLUMNS = 192;
export const DEPTH = 256;

const left = new Float64Array(ROWS * DEPTH);
const right = new Float64Array(COLUMNS * DEPTH);
const sums = new Float64Array(ROWS * COLUMNS);

/** Lines of a matrix along the summed axis. */
export interface Lines {
  readonly data: TypedArray;
  /** The value of each 16-bit pattern, where the data are such. */
  readonly widen: Float32Array | undefined;
  /** From one line to the next. */
  readonly line: number;
  /** From one element of a line to the next. */
  readonly step: number;
}

/** Takes `count` lines of `depth` elements, the first at `start`, as the block's rows. */
export function loadRows(x: Lines, start: number, count: number, depth: number): void {
  pack(x, start, count, depth, left, HEIGHT);
}

/** Takes `count` lines of `depth` elements, the first at `start`, as the block's columns. */
export function loadColumns(x: Lines, start: number, count: number, depth: number): void {
  pack(x, start, count, depth, right, WIDTH);
}

// Lanes beyond the last line keep what was there before: their sums are never read.
function pack(x: Lines, start: number, count: number, depth: number, out: Float64Array, lanes: number): void {
  for (let i = 0; i < count; i++) {
    const lane = i % lanes;
    copyLine(x.data, start + i * x.line, x.step, x.widen, out, (i - lane) * depth + lane, lanes, depth);
  }
}

function copyLine(
  x: TypedArray,
  p: number,
  step: number,
  widen: Float32Array | undefined,
  out: Float64Array,
  at: number,
  lanes: number,
  depth: number,
): void {
  const end = at + lanes * depth;
  if (widen) for (; at < end; at = (at + lanes) | 0, p = (p + step) | 0) out[at] = widen[x[p]];
  else for (; at < end; at = (at + lanes) | 0, p = (p + step) | 0) out[at] = x[p];
}

/** The sums of all tiles of the block; `resume` adds to those of the terms before. */
export function multiply(rows: number, columns: number, depth: number, resume: boolean): void {
  for (let c = 0; c < columns; c += WIDTH) {
    for (let r = 0; r < rows; r += HEIGHT) tile(r * depth, c * depth, depth, r * COLUMNS + c, resume);
  }
}

/** sums[p + y, x] = Σ left[i + y] right[j + x] over `depth` terms, in their order. */
function tile(i: number, j: number, depth: number, p: number, resume: boolean): void {
  const q = p + COLUMNS;
  let s00 = 0;
  let s01 = 0;
  let s02 = 0;
  let s10 = 0;
  let s11 = 0;
  let s12 = 0;
  if (resume) {
    s00 = sums[p];
    s01 = sums[p + 1];
    s02 = sums[p + 2];
    s10 = sums[q];
    s11 = sums[q + 1];
    s12 = sums[q + 2];
  }
  for (const end = (i + HEIGHT * depth) | 0; i < end; i = (i + HEIGHT) | 0, j = (j + WIDTH) | 0) {
    const a0 = left[i];
    const a1 = left[(i + 1) | 0];
    const b0 = right[j];
    const b1 = right[(j + 1) | 0];
    const b2 = right[(j + 2) | 0];
    s00 += a0 * b0;
    s01 += a0 * b1;
    s02 += a0 * b2;
    s10 += a1 * b0;
    s11 += a1 * b1;
    s12 += a1 * b2;
  }
  sums[p] = s00;
  sums[p + 1] = s01;
  sums[p + 2] = s02;
  sums[q] = s10;
  sums[q + 1] = s11;
  sums[q + 2] = s12;
}

/** A number as an array of this kind holds it. */
export const roundingOf = (out: TypedArray): ((x: number) => number) =>
  out instanceof Float32Array ? Math.fround : (x) => x;

/** out[at + r row + c column] = scale · sum (+ what was there): the product is rounded, and so is what it is added to. */
export function store(
  out: TypedArray,
  at: number,
  row: number,
  column: number,
  rows: number,
  columns: number,
  scale: number,
  accumulate: boolean,
): void {
  const round = roundingOf(out);
  for (let r = 0; r < rows; r++) {
    let p = at + r * row;
    let s = r * COLUMNS;
    const end = s + columns;
    if (accumulate) for (; s < end; s = (s + 1) | 0, p = (p + column) | 0) out[p] += round(scale * sums[s]);
    else for (; s < end; s = (s + 1) | 0, p = (p + column) | 0) out[p] = scale * sums[s];
  }
}
