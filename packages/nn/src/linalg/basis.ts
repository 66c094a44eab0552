/** Products with rows that lie together each, whether a matrix's or a basis's: the loops in which a large SVD spends its time. */
import { dot, type Columns } from './qr.ts';

/** M x of the rows of M. */
export function along(rows: Columns, x: Float64Array): Float64Array {
  const y = new Float64Array(rows.length);
  for (let i = 0; i < rows.length; i++) y[i] = dot(rows[i]!, x);
  return y;
}

/** y + s Mᵀ x of the rows of M, in place: four rows at once, so that y is read and written a fourth as often. */
export function addCombined(y: Float64Array, rows: Columns, x: Float64Array, s = 1): Float64Array {
  const n = y.length;
  let i = 0;
  for (; i + 3 < rows.length; i += 4) {
    const [a, b, c, d] = [rows[i]!, rows[i + 1]!, rows[i + 2]!, rows[i + 3]!];
    const [xa, xb, xc, xd] = [s * x[i]!, s * x[i + 1]!, s * x[i + 2]!, s * x[i + 3]!];
    for (let j = 0; j < n; j++) y[j]! += xa * a[j]! + xb * b[j]! + (xc * c[j]! + xd * d[j]!);
  }
  for (; i < rows.length; i++) {
    const [a, xa] = [rows[i]!, s * x[i]!];
    for (let j = 0; j < n; j++) y[j]! += xa * a[j]!;
  }
  return y;
}

/**
 * Takes from x what lies in the span of an orthonormal basis, and brings it to length 1; returns the length that was left,
 * or 0 and zeros if nothing was. Repeated where most of x is taken, since rounding then leaves too much of the basis.
 * Daniel, Gragg, Kaufman and Stewart 1976, https://doi.org/10.1090/S0025-5718-1976-0431641-8
 */
export function orthogonalise(x: Float64Array, basis: Columns): number {
  for (let before = Math.sqrt(dot(x, x)); ;) {
    if (basis.length > 0) addCombined(x, basis, along(basis, x), -1);
    const length = Math.sqrt(dot(x, x));
    if (length < 2 ** -300) return x.fill(0)[0]!;
    if (length > before * Math.SQRT1_2) {
      for (let i = 0; i < x.length; i++) x[i]! /= length;
      return length;
    }
    before = length;
  }
}
