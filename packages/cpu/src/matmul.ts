/**
 * Matrix products. Both operands are copied into groups of four lines as f64, and a kernel that keeps sixteen sums in
 * registers takes a group of rows by a group of columns: about as many multiplications and additions a second as a
 * processor does one at a time. Sums are f64 and run in the order of k; a result is rounded once.
 */
import type { MatmulOptions, TypedArray, View } from '@bax/core';
import { arrayOf } from './memory.ts';
import { linesOf, pack } from './pack.ts';
import type { Lines } from './pack.ts';
import { offsetsOf } from './view.ts';

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

const TILE = 4;

/** With so few lines on one side, copying the other side would take longer than the product. */
const THIN = 2;

const sums = new Float64Array(TILE * TILE);
let panels = [new Float64Array(0), new Float64Array(0)];
const panel = (which: 0 | 1, count: number, k: number): Float64Array => {
  const length = Math.ceil(count / TILE) * TILE * k;
  if (panels[which].length < length) panels[which] = new Float64Array(length);
  return panels[which];
};

/** out[..., m, n] = scale · Σ_k a[..., m, k] b[..., k, n] (+ out). */
export function matmul(a: View, b: View, out: View, options: MatmulOptions = {}): void {
  const batch = out.shape.length - 2;
  const k = a.shape[batch + 1];
  const target: Target = {
    data: arrayOf(out.buffer),
    starts: offsetsOf(out.shape.slice(0, batch), out.strides.slice(0, batch), out.offset),
    row: out.strides[batch],
    column: out.strides[batch + 1],
    scale: options.scale ?? 1,
    accumulate: options.accumulate ?? false,
  };
  const [rows, columns] = [linesOf(a, 'rows'), linesOf(b, 'columns')];
  const turned = { ...target, row: target.column, column: target.row };
  if (out.buffer.type === 'i32') integers(rows, columns, k, target);
  else if (columns.count <= THIN) thin(rows, columns, k, target);
  else if (rows.count <= THIN) thin(columns, rows, k, turned);
  else tiled(rows, columns, k, target);
}

function tiled(a: Lines, b: Lines, k: number, out: Target): void {
  const { data, row, column, scale, accumulate } = out;
  const [pa, pb] = [panel(0, a.count, k), panel(1, b.count, k)];
  for (let i = 0; i < out.starts.length; i++) {
    if (i === 0 || a.starts[i] !== a.starts[i - 1]) pack(a, a.starts[i], a.count, k, pa);
    if (i === 0 || b.starts[i] !== b.starts[i - 1]) pack(b, b.starts[i], b.count, k, pb);
    for (let c = 0; c < b.count; c += TILE) {
      for (let r = 0; r < a.count; r += TILE) {
        dot4x4(pa, r * k, pb, c * k, k, sums);
        const p = out.starts[i] + r * row + c * column;
        if (r + TILE <= a.count && c + TILE <= b.count) writeTile(data, p, row, column, scale, accumulate);
        else writeEdge(data, p, row, column, scale, accumulate, Math.min(TILE, a.count - r), Math.min(TILE, b.count - c));
      }
    }
  }
}

/** sums[y, x] = Σ_k a[k, y] b[k, x] over two packed groups. */
function dot4x4(a: Float64Array, i: number, b: Float64Array, j: number, k: number, out: Float64Array): void {
  let c00 = 0, c01 = 0, c02 = 0, c03 = 0;
  let c10 = 0, c11 = 0, c12 = 0, c13 = 0;
  let c20 = 0, c21 = 0, c22 = 0, c23 = 0;
  let c30 = 0, c31 = 0, c32 = 0, c33 = 0;
  for (const end = i + TILE * k; i < end; i += TILE, j += TILE) {
    const b0 = b[j], b1 = b[j + 1], b2 = b[j + 2], b3 = b[j + 3];
    let x = a[i];
    c00 += x * b0; c01 += x * b1; c02 += x * b2; c03 += x * b3;
    x = a[i + 1];
    c10 += x * b0; c11 += x * b1; c12 += x * b2; c13 += x * b3;
    x = a[i + 2];
    c20 += x * b0; c21 += x * b1; c22 += x * b2; c23 += x * b3;
    x = a[i + 3];
    c30 += x * b0; c31 += x * b1; c32 += x * b2; c33 += x * b3;
  }
  out[0] = c00; out[1] = c01; out[2] = c02; out[3] = c03;
  out[4] = c10; out[5] = c11; out[6] = c12; out[7] = c13;
  out[8] = c20; out[9] = c21; out[10] = c22; out[11] = c23;
  out[12] = c30; out[13] = c31; out[14] = c32; out[15] = c33;
}

function writeTile(out: TypedArray, p: number, row: number, column: number, scale: number, accumulate: boolean): void {
  for (let y = 0; y < TILE * TILE; y += TILE, p += row) {
    if (accumulate) {
      out[p] += scale * sums[y];
      out[p + column] += scale * sums[y + 1];
      out[p + 2 * column] += scale * sums[y + 2];
      out[p + 3 * column] += scale * sums[y + 3];
    } else {
      out[p] = scale * sums[y];
      out[p + column] = scale * sums[y + 1];
      out[p + 2 * column] = scale * sums[y + 2];
      out[p + 3 * column] = scale * sums[y + 3];
    }
  }
}

function writeEdge(
  out: TypedArray,
  p: number,
  row: number,
  column: number,
  scale: number,
  accumulate: boolean,
  rows: number,
  columns: number,
): void {
  for (let y = 0; y < rows; y++) {
    for (let x = 0; x < columns; x++) {
      const value = scale * sums[y * TILE + x];
      out[p + y * row + x * column] = accumulate ? out[p + y * row + x * column] + value : value;
    }
  }
}

/** One or two lines by many: the many are read where they lie. */
function thin(many: Lines, few: Lines, k: number, out: Target): void {
  const { line, step } = many;
  const [rest, vector] = [panel(0, TILE, k), panel(1, 1, k)];
  for (let i = 0; i < out.starts.length; i++) {
    for (let c = 0; c < few.count; c++) {
      pack(few, few.starts[i] + c * few.line, 1, k, vector);
      for (let r = 0; r < many.count; r += TILE) {
        const count = Math.min(TILE, many.count - r);
        const start = many.starts[i] + r * line;
        if (count === TILE && !many.widen) dot4x1(many.data, start, line, step, vector, k, sums);
        else {
          pack(many, start, count, k, rest);
          dot4x1(rest, 0, 1, TILE, vector, k, sums);
        }
        const p = out.starts[i] + r * out.row + c * out.column;
        writeEdge(out.data, p, out.row, 1, out.scale, out.accumulate, count, 1);
      }
    }
  }
}

/** sums[y, 0] = Σ_k of line y by the first line of a packed group. */
function dot4x1(
  a: TypedArray,
  i: number,
  line: number,
  step: number,
  b: Float64Array,
  k: number,
  out: Float64Array,
): void {
  let c0 = 0, c1 = 0, c2 = 0, c3 = 0;
  for (let j = 0; j < TILE * k; j += TILE, i += step) {
    const x = b[j];
    c0 += a[i] * x; c1 += a[i + line] * x; c2 += a[i + 2 * line] * x; c3 += a[i + 3 * line] * x;
  }
  out[0] = c0; out[TILE] = c1; out[2 * TILE] = c2; out[3 * TILE] = c3;
}

/** i32 wraps: exact modulo 2^32, one element at a time. */
function integers(a: Lines, b: Lines, k: number, { data, starts, row, column, scale, accumulate }: Target): void {
  for (let i = 0; i < starts.length; i++) {
    for (let r = 0; r < a.count; r++) {
      for (let c = 0; c < b.count; c++) {
        let [p, q, sum] = [a.starts[i] + r * a.line, b.starts[i] + c * b.line, 0];
        for (let x = 0; x < k; x++, p += a.step, q += b.step) sum = (sum + Math.imul(a.data[p], b.data[q])) | 0;
        const at = starts[i] + r * row + c * column;
        data[at] = accumulate ? data[at] + scale * sum : scale * sum;
      }
    }
  }
}
