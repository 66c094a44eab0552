/**
 * Sums and maxima over any axes, in f64 and in a fixed order. Blocks of the input are copied to a scratch file and
 * reduced there, along the rows or across them, whichever reads memory in its order.
 */
import type { TypedArray, View } from '@bax/core';
import { arrayOf } from './memory.ts';
import { load, rowsOf, store } from './view.ts';
import type { Rows } from './view.ts';

const BLOCK = 1024;
// Parts of the file: what was loaded, the results, and sums on their way to the results.
const INPUT = 0;
const RESULT = BLOCK;
const PART = 2 * BLOCK;
const file = new Float64Array(3 * BLOCK);

/** Rows that are summed one after the other before they join the total: rounding errors grow with this, not with all. */
const CHAIN = 64;
/** Results that lie side by side are worth reducing together from so many on. */
const WIDE = 16;

/** Of what is reduced: `kept` results from `folded` elements each. */
interface Extent {
  readonly kept: number;
  readonly folded: number;
}

export function reduce(op: 'sum' | 'max', x: View, out: View): void {
  const axes = [...x.shape.keys()].filter((axis) => x.shape[axis] !== 1);
  const kept = axes.filter((axis) => out.shape[axis] !== 1);
  const folded = axes.filter((axis) => out.shape[axis] === 1);
  const count = (some: number[]): number => some.reduce((n, axis) => n * x.shape[axis], 1);
  const nearest = (some: number[]): number => Math.min(...some.map((axis) => Math.abs(x.strides[axis])));
  const extent = { kept: count(kept), folded: count(folded) };

  const across = extent.kept >= WIDE && nearest(kept) < nearest(folded) && out.buffer.type !== 'i32';
  const run = across ? reduceAcross : reduceAlong;
  const order = across ? [...folded, ...kept] : [...kept, ...folded];
  run(op, arrayOf(x.buffer), rowsOf(permuted(x, order)), extent, arrayOf(out.buffer), rowsOf(out));
}

const permuted = (x: View, axes: number[]): View => ({
  ...x,
  shape: axes.map((axis) => x.shape[axis]),
  strides: axes.map((axis) => x.strides[axis]),
});

type Run = (op: 'sum' | 'max', x: TypedArray, from: Rows, extent: Extent, out: TypedArray, to: Rows) => void;

/** Each result from elements that follow one another; a block holds part of them, or all of several results'. */
const reduceAlong: Run = (op, x, from, { kept, folded }, out, to) => {
  const fold = op === 'sum' ? pairwiseSum : maximum;
  const integers = out instanceof Int32Array;
  const group = Math.min(kept, Math.max(1, Math.floor(BLOCK / Math.max(1, folded))));
  for (let first = 0; first < kept; first += group) {
    const results = Math.min(group, kept - first);
    if (folded > BLOCK) {
      let total = op === 'sum' ? 0 : -Infinity;
      for (let i = 0; i < folded; i += BLOCK) {
        const n = Math.min(BLOCK, folded - i);
        load(x, from, first * folded + i, n, file, INPUT);
        total = op === 'max' ? Math.max(total, fold(INPUT, n)) : total + fold(INPUT, n);
        if (integers) total |= 0;
      }
      file[RESULT] = total;
    } else {
      load(x, from, first * folded, results * folded, file, INPUT);
      for (let i = 0; i < results; i++) file[RESULT + i] = fold(INPUT + i * folded, folded);
    }
    store(out, to, first, results, file, RESULT);
  }
};

/** Neighbouring results together: one row of elements after the other is folded into the row of results. */
const reduceAcross: Run = (op, x, from, { kept, folded }, out, to) => {
  for (let first = 0; first < kept; first += BLOCK) {
    const n = Math.min(BLOCK, kept - first);
    file.fill(op === 'sum' ? 0 : -Infinity, RESULT, RESULT + n);
    for (let chain = 0; chain < folded; chain += CHAIN) {
      file.fill(0, PART, PART + n);
      for (let i = chain; i < Math.min(chain + CHAIN, folded); i++) {
        load(x, from, i * kept + first, n, file, INPUT);
        if (op === 'sum') addTo(PART, INPUT, n);
        else maxTo(RESULT, INPUT, n);
      }
      if (op === 'sum') addTo(RESULT, PART, n);
    }
    store(out, to, first, n, file, RESULT);
  }
};

/** The sum of n elements of the file: the second half is added to the first, until one is left. */
function pairwiseSum(at: number, n: number): number {
  if (n === 0) return 0;
  while (n > 1) {
    const half = n >> 1;
    const rest = n - half;
    for (let i = 0; i < half; i++) file[(at + i) | 0] += file[(at + rest + i) | 0];
    n = rest;
  }
  return file[at];
}

function maximum(at: number, n: number): number {
  let value = -Infinity;
  for (let i = 0; i < n; i++) value = Math.max(value, file[(at + i) | 0]);
  return value;
}

function addTo(target: number, source: number, n: number): void {
  for (let i = 0; i < n; i++) file[(target + i) | 0] += file[(source + i) | 0];
}

function maxTo(target: number, source: number, n: number): void {
  for (let i = 0; i < n; i++)
    file[(target + i) | 0] = Math.max(file[(target + i) | 0], file[(source + i) | 0]);
}
