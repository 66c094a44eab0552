/**
 * Singular values alone, in a tenth of the time of `svd`: reflections from both sides leave two diagonals, on which values
 * are counted and so found by bisection. Golub and Van Loan, Matrix Computations, §5.4.8 and §8.4.1.
 */
import { boundOf, valueOf } from './bidiagonal.ts';
import { scaled, turned, type Matrix } from './matrix.ts';
import { columnsOf, factor, reflect, reflectionOf, unitOf } from './qr.ts';

/** d₁, e₁, d₂, e₂, …, dₙ of a bidiagonal matrix (d on the diagonal, e above it) with R's singular values; R is square. */
function bidiagonal(R: Matrix): Float64Array {
  const n = R.rows;
  const columns = columnsOf(R);
  const entries = new Float64Array(Math.max(0, 2 * n - 1));
  for (let j = 0; j < n; j++) {
    const { reflection, first } = reflectionOf(columns[j]!, j);
    entries[2 * j] = first;
    if (j === n - 1) break;
    for (let l = j + 1; l < n; l++) reflect(reflection, columns[l]!);
    const row = Float64Array.from(columns, (column) => column[j]!);
    const { reflection: { v, tau }, first: next } = reflectionOf(row, j + 1); // prettier-ignore
    entries[2 * j + 1] = next;
    const along = new Float64Array(n); // R v
    for (let l = j + 1; l < n; l++) {
      const [column, factor] = [columns[l]!, v[l]!];
      for (let i = j + 1; i < n; i++) along[i]! += factor * column[i]!;
    }
    for (let l = j + 1; l < n; l++) {
      const [column, factor] = [columns[l]!, tau * v[l]!];
      for (let i = j + 1; i < n; i++) column[i]! -= factor * along[i]!;
    }
  }
  return entries;
}

/**
 * The singular values of M [m, n], largest first: [min(m, n)]. Each within some units of rounding of the largest.
 * @throws if an entry is not finite.
 */
export function singularValues(m: Matrix): Float64Array {
  if (m.rows < m.columns) return singularValues(turned(m));
  const unit = unitOf(m, 'singularValues');
  const entries = bidiagonal(factor(scaled(m, unit)).R);
  const values = new Float64Array(m.columns);
  let top = boundOf(entries);
  const least = top * 2 ** -60;
  for (let i = 0; i < values.length; i++) {
    top = valueOf(entries, i, top, least); // what is found is a bound for the next
    values[i] = top / unit;
  }
  return values;
}

/**
 * How many singular values exceed `tolerance`, absolutely; by default max(m, n) · 2^-52 · σ₁, which is what rounding
 * to f64 can make of a zero (numpy's and PyTorch's matrix_rank).
 */
export function rankOf(m: Matrix, tolerance?: number): number {
  const values = singularValues(m);
  const least = tolerance ?? Math.max(m.rows, m.columns) * 2 ** -52 * (values[0] ?? 0);
  return values.filter((s) => s > least).length;
}
