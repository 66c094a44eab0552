/** Matrices on the host in f64, row-major: for what is computed once and exactly, and as an oracle that shares no code with any backend. */
import { BaxError } from '@bax/core';

export interface Matrix {
  readonly rows: number;
  readonly columns: number;
  readonly data: Float64Array;
}

/** A matrix of its own from row-major values, or from the value of each entry. @throws if there are not rows · columns values. */
export function matrix(
  rows: number,
  columns: number,
  values: ArrayLike<number> | ((i: number, j: number) => number),
): Matrix {
  if (typeof values !== 'function') {
    if (values.length !== rows * columns)
      throw new BaxError(`matrix: ${values.length} values do not fill [${rows}, ${columns}]`);
    return { rows, columns, data: Float64Array.from(values) };
  }
  const data = new Float64Array(rows * columns);
  for (let i = 0; i < rows; i++) for (let j = 0; j < columns; j++) data[i * columns + j] = values(i, j);
  return { rows, columns, data };
}
export const at = (m: Matrix, i: number, j: number): number => m.data[i * m.columns + j]!;

/** a b. @throws if the inner dimensions differ. */
export function times(a: Matrix, b: Matrix): Matrix {
  if (a.columns !== b.rows) throw new BaxError(`times: inner dimensions differ: ${show(a)} x ${show(b)}`);
  const data = new Float64Array(a.rows * b.columns);
  for (let i = 0; i < a.rows; i++)
    for (let l = 0; l < a.columns; l++) {
      const factor = a.data[i * a.columns + l]!; // along rows of b and of the result, which lie together
      for (let j = 0; j < b.columns; j++) data[i * b.columns + j]! += factor * b.data[l * b.columns + j]!;
    }
  return { rows: a.rows, columns: b.columns, data };
}
/** mᵀ. */
export const turned = (m: Matrix): Matrix => matrix(m.columns, m.rows, (i, j) => at(m, j, i));
/** a + b. @throws if the shapes differ. */
export function plus(a: Matrix, b: Matrix): Matrix {
  if (a.rows !== b.rows || a.columns !== b.columns)
    throw new BaxError(`plus: shapes differ: ${show(a)} and ${show(b)}`);
  return matrix(a.rows, a.columns, a.data.map((x, i) => x + b.data[i]!)); // prettier-ignore
}
/** s m. */
export const scaled = (m: Matrix, s: number): Matrix => matrix(m.rows, m.columns, m.data.map((x) => s * x)); // prettier-ignore
/** |m|, entry by entry. */
export const absolute = (m: Matrix): Matrix => matrix(m.rows, m.columns, m.data.map(Math.abs)); // prettier-ignore
/** Rows `start` to `start + length`. */
export const rowsOf = (m: Matrix, start: number, length: number): Matrix =>
  matrix(length, m.columns, m.data.subarray(start * m.columns, (start + length) * m.columns));
/** The first `count` columns. */
export const firstColumns = (m: Matrix, count: number): Matrix =>
  matrix(m.rows, count, (i, j) => at(m, i, j));
/** ⟨a, b⟩ = Σ a ∘ b. */
export const inner = (a: ArrayLike<number>, b: ArrayLike<number>): number => {
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += a[i]! * b[i]!;
  return sum;
};
/** ‖m‖_F = √Σ m², without overflow or underflow on the way. */
export function frobenius({ data }: Matrix): number {
  const top = largest(data);
  if (top === 0 || !(top < Infinity)) return top;
  let sum = 0;
  for (const x of data) sum += (x / top) ** 2;
  return top * Math.sqrt(sum);
}

/** max |x|; NaN if one is. */
export function largest(data: ArrayLike<number>): number {
  let most = 0;
  for (let i = 0; i < data.length; i++) {
    const x = Math.abs(data[i]!);
    if (!(x <= most)) most = x;
    if (Number.isNaN(x)) return NaN;
  }
  return most;
}

export const show = (m: Matrix): string => `[${m.rows}, ${m.columns}]`;
