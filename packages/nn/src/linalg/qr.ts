/** QR by Householder reflections. Golub and Van Loan, Matrix Computations, §5.2. */
import { BaxError } from '@bax/core';
import { at, largest, matrix, scaled, show, type Matrix } from './matrix.ts';

/** M = Q R with QᵀQ = I and R upper triangular; p = min(m, n). */
export interface Qr {
  /** [m, p] */
  readonly Q: Matrix;
  /** [p, n] */
  readonly R: Matrix;
}

/** Columns that lie together each, so that the loops over them are straight. */
export type Columns = Float64Array[];

export const columnsOf = (m: Matrix, length: number = m.rows): Columns =>
  Array.from({ length: m.columns }, (_, j) => {
    const column = new Float64Array(length);
    for (let i = 0; i < m.rows; i++) column[i] = at(m, i, j);
    return column;
  });
export const fromColumns = (columns: Columns, rows: number): Matrix =>
  matrix(rows, columns.length, (i, j) => columns[j]![i]!);

/** Σ a b from index `start` on, in four sums, so that one addition need not wait for the last. */
export function dot(a: Float64Array, b: Float64Array, start = 0): number {
  let s0 = 0;
  let s1 = 0;
  let s2 = 0;
  let s3 = 0;
  let i = start;
  for (; i + 3 < a.length; i += 4) {
    s0 += a[i]! * b[i]!;
    s1 += a[i + 1]! * b[i + 1]!;
    s2 += a[i + 2]! * b[i + 2]!;
    s3 += a[i + 3]! * b[i + 3]!;
  }
  for (; i < a.length; i++) s0 += a[i]! * b[i]!;
  return s0 + s1 + (s2 + s3);
}

/** Of a sum of squares, where the largest entry is about 1: less has lost its digits. */
export const NOTHING: number = 2 ** -1000;

/** One reflection I − τ v vᵀ; v has zeros before `start`, and 1 there. */
export interface Reflection {
  readonly v: Float64Array;
  readonly tau: number;
  readonly start: number;
}

/** The reflection that makes zeros of x behind `start`, and of x[start] what it returns as `first`. */
export function reflectionOf(x: Float64Array, start: number): { reflection: Reflection; first: number } {
  const square = dot(x, x, start);
  const v = new Float64Array(x.length);
  if (square < NOTHING) return { reflection: { v, tau: 0, start }, first: 0 };
  const norm = Math.sqrt(square);
  const first = x[start]! > 0 ? -norm : norm; // of the other sign than x[start], so that nothing cancels
  const head = x[start]! - first;
  v[start] = 1;
  for (let i = start + 1; i < x.length; i++) v[i] = x[i]! / head;
  return { reflection: { v, tau: -head / first, start }, first };
}

export function reflect({ v, tau, start }: Reflection, column: Float64Array): void {
  const along = tau * dot(v, column, start);
  if (along !== 0) for (let i = start; i < column.length; i++) column[i]! -= along * v[i]!;
}

export interface Factored {
  readonly reflections: readonly Reflection[];
  readonly R: Matrix;
}

/** M = Q R, Q as the reflections whose product it is. */
export function factor(m: Matrix): Factored {
  const columns = columnsOf(m);
  const p = Math.min(m.rows, m.columns);
  const reflections = Array.from({ length: p }, (_, j) => {
    const { reflection, first } = reflectionOf(columns[j]!, j);
    columns[j]!.fill(0, j)[j] = first;
    for (let l = j + 1; l < m.columns; l++) reflect(reflection, columns[l]!);
    return reflection;
  });
  return { reflections, R: fromColumns(columns, p) };
}

/** Q c for each column c, in place; columns have Q's full length. */
export function applyQ({ reflections }: Factored, columns: Columns): Columns {
  for (const column of columns)
    for (let j = reflections.length - 1; j >= 0; j--) reflect(reflections[j]!, column);
  return columns;
}

/** The power of two that brings m's largest entry into [1, 2), so that squares of entries neither overflow nor vanish. @throws if an entry is not finite. */
export function unitOf(m: Matrix, by: string): number {
  const top = largest(m.data);
  if (!(top < Infinity))
    throw new BaxError(`${by}: the matrix ${show(m)} has an entry that is not a finite number`);
  return top === 0 ? 1 : 2 ** Math.max(-1022, Math.min(1022, -Math.floor(Math.log2(top))));
}

/**
 * The reduced QR factorisation M = Q R: Q [m, p], R [p, n], p = min(m, n), for M [m, n] of any shape and rank. Q's columns
 * are orthonormal also where M's depend on one another. Signs are not normalised: R's diagonal may be negative. What is below
 * 2^-500 of the largest entry counts as zero.
 * @throws if an entry is not finite.
 */
export function qr(m: Matrix): Qr {
  const unit = unitOf(m, 'qr');
  const factored = factor(scaled(m, unit));
  const p = Math.min(m.rows, m.columns);
  const eye = matrix(p, p, (i, j) => (i === j ? 1 : 0));
  const Q = fromColumns(applyQ(factored, columnsOf(eye, m.rows)), m.rows);
  return { Q, R: matrix(p, m.columns, factored.R.data.map((x) => x / unit)) }; // prettier-ignore
}
