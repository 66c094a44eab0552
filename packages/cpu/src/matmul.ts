/** Matrix products. Sums are f64 and run in the order of k; a product is rounded once, before it is added to anything. i32 wraps. */
import { offsetsOf } from '@bax/core';
import type { MatmulOptions, TypedArray, View } from '@bax/core';
import { arrayOf } from './memory.ts';
import { COLUMNS, DEPTH, ROWS, loadColumns, loadRows, multiply, roundingOf, store } from './tile.ts';
import type { Lines } from './tile.ts';
import { widenOf } from './view.ts';

/** An operand: the rows of a, or the columns of b, one matrix for each start. */
interface Operand extends Lines {
  readonly starts: Int32Array;
  readonly count: number;
}

/** Where results go and how: out[p] = scale · sum (+ out[p]). */
interface Target {
  readonly data: TypedArray;
  readonly starts: Int32Array;
  /** From one line of the first operand to the next, and of the second. */
  readonly row: number;
  readonly column: number;
  readonly scale: number;
  readonly accumulate: boolean;
}

/** With so few lines on one side, copying the other side would take longer than the product. */
const THIN = 2;

/** out[..., m, n] = scale · Σ_k a[..., m, k] b[..., k, n] (+ out). */
export function matmul(a: View, b: View, out: View, options: MatmulOptions = {}): void {
  const axis = out.shape.length - 2;
  const k = a.shape[axis + 1];
  const rows = operand(a, axis, axis + 1);
  const columns = operand(b, axis + 1, axis);
  const target: Target = {
    data: arrayOf(out.buffer),
    starts: offsetsOf(out.shape.slice(0, axis), out.strides, out.offset),
    row: out.strides[axis],
    column: out.strides[axis + 1],
    scale: options.scale ?? 1,
    accumulate: options.accumulate ?? false,
  };
  // The product turned round: a thin operand comes second, and rows of results lie along the memory of `out`.
  const turned = { ...target, row: target.column, column: target.row };
  if (out.buffer.type === 'i32') integers(rows, columns, k, target);
  else if (columns.count <= THIN) thin(rows, columns, k, target);
  else if (rows.count <= THIN) thin(columns, rows, k, turned);
  else if (Math.abs(target.column) <= Math.abs(target.row)) blocked(rows, columns, k, target);
  else blocked(columns, rows, k, turned);
}

/** A view as lines along its axis `along`, numbered by its axis `across`. */
function operand(view: View, across: number, along: number): Operand {
  const { buffer, shape, strides, offset } = view;
  return {
    data: arrayOf(buffer),
    widen: widenOf(buffer.type),
    starts: offsetsOf(shape.slice(0, Math.min(across, along)), strides, offset),
    count: shape[across],
    line: strides[across],
    step: strides[along],
  };
}

function blocked(a: Operand, b: Operand, k: number, out: Target): void {
  for (let i = 0; i < out.starts.length; i++) {
    for (let c = 0; c < b.count; c += COLUMNS) {
      const columns = Math.min(COLUMNS, b.count - c);
      for (let r = 0; r < a.count; r += ROWS) {
        const rows = Math.min(ROWS, a.count - r);
        // Do-while: k = 0 still has to set the sums to zero.
        let x = 0;
        do {
          const depth = Math.min(DEPTH, k - x);
          loadRows(a, a.starts[i] + r * a.line + x * a.step, rows, depth);
          if (r === 0 || k > DEPTH) loadColumns(b, b.starts[i] + c * b.line + x * b.step, columns, depth);
          multiply(rows, columns, depth, x > 0);
          x += DEPTH;
        } while (x < k);
        const at = out.starts[i] + r * out.row + c * out.column;
        store(out.data, at, out.row, out.column, rows, columns, out.scale, out.accumulate);
      }
    }
  }
}

/** Many lines by one or two: all are read where they lie. */
function thin(many: Operand, few: Operand, k: number, out: Target): void {
  const { data, row, column, scale, accumulate } = out;
  const sums = new Float64Array(4);
  const vector = new Float64Array(k);
  const round = roundingOf(data);
  for (let i = 0; i < out.starts.length; i++) {
    for (let c = 0; c < few.count; c++) {
      const from = few.starts[i] + c * few.line;
      for (let x = 0; x < k; x++) vector[x] = valueAt(few, from + x * few.step);
      for (let r = 0; r < many.count; r += 4) {
        const lines = Math.min(4, many.count - r);
        if (lines === 4 && !many.widen)
          fourDots(many.data, many.starts[i] + r * many.line, many.line, many.step, vector, sums);
        else
          for (let y = 0; y < lines; y++) sums[y] = dot(many, many.starts[i] + (r + y) * many.line, vector);
        let p = out.starts[i] + r * row + c * column;
        for (let y = 0; y < lines; y++, p += row)
          data[p] = (accumulate ? data[p] : 0) + round(scale * sums[y]);
      }
    }
  }
}

const valueAt = (x: Lines, p: number): number => (x.widen ? x.widen[x.data[p]] : x.data[p]);

function dot(x: Lines, p: number, vector: Float64Array): number {
  let sum = 0;
  for (let j = 0; j < vector.length; j++, p += x.step) sum += valueAt(x, p) * vector[j];
  return sum;
}

function fourDots(
  x: TypedArray,
  p: number,
  line: number,
  step: number,
  vector: Float64Array,
  sums: Float64Array,
): void {
  let s0 = 0;
  let s1 = 0;
  let s2 = 0;
  let s3 = 0;
  const [line2, line3] = [2 * line, 3 * line];
  for (let j = 0; j < vector.length; j++, p = (p + step) | 0) {
    const v = vector[j];
    s0 += x[p] * v;
    s1 += x[(p + line) | 0] * v;
    s2 += x[(p + line2) | 0] * v;
    s3 += x[(p + line3) | 0] * v;
  }
  sums[0] = s0;
  sums[1] = s1;
  sums[2] = s2;
  sums[3] = s3;
}

/** Exact modulo 2^32, one element at a time. */
function integers(a: Operand, b: Operand, k: number, out: Target): void {
  const { data, starts, row, column, scale, accumulate } = out;
  for (let i = 0; i < starts.length; i++) {
    for (let r = 0; r < a.count; r++) {
      for (let c = 0; c < b.count; c++) {
        let p = a.starts[i] + r * a.line;
        let q = b.starts[i] + c * b.line;
        let sum = 0;
        for (let x = 0; x < k; x++, p += a.step, q += b.step)
          sum = (sum + Math.imul(valueAt(a, p), valueAt(b, q))) | 0;
        const at = starts[i] + r * row + c * column;
        data[at] = (accumulate ? data[at] : 0) + scale * sum;
      }
    }
  }
}
