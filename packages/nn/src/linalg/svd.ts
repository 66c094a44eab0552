/**
 * Singular values by one-sided Jacobi rotations on the triangle of a QR: short, and tiny values stay accurate where the
 * columns' sizes differ. Hestenes 1958, https://doi.org/10.1137/0106005; Demmel and Veselić 1992,
 * https://doi.org/10.1137/0613074
 */
import { BaxError } from '@bax/core';
import { firstColumns, matrix, scaled, show, times, turned, type Matrix } from './matrix.ts';
import { applyQ, columnsOf, dot, factor, fromColumns, NOTHING, qr, unitOf, type Columns } from './qr.ts';

/** M = U diag(S) Vᵀ with UᵀU = VᵀV = I; p = min(m, n). */
export interface Svd {
  /** [m, p]: left singular vectors as columns. */
  readonly U: Matrix;
  /** [p]: singular values, largest first. */
  readonly S: Float64Array;
  /** [n, p]: right singular vectors as columns. */
  readonly V: Matrix;
}

const SWEEPS = 60; // six to ten are needed

/** Rotates the columns of x against each other until they are orthogonal, and the columns of `turn` with them. */
function orthogonalise(x: Columns, turn: Columns): void {
  const tolerance = Math.sqrt(x.length) * 2 ** -53;
  for (let sweep = 0; sweep < SWEEPS; sweep++) {
    let rotated = false;
    const squares = x.map((column) => dot(column, column));
    for (let p = 0; p < x.length; p++)
      for (let q = p + 1; q < x.length; q++) {
        const [a, b] = [squares[p]!, squares[q]!];
        if (Math.min(a, b) < NOTHING) continue;
        const along = dot(x[p]!, x[q]!);
        if (Math.abs(along) <= tolerance * Math.sqrt(a) * Math.sqrt(b)) continue;
        rotated = true;
        const zeta = (b - a) / (2 * along);
        const t = (zeta < 0 ? -1 : 1) / (Math.abs(zeta) + Math.hypot(1, zeta));
        rotate(x[p]!, x[q]!, t);
        rotate(turn[p]!, turn[q]!, t);
        squares[p] = a - t * along;
        squares[q] = b + t * along; // good enough until the next sweep
      }
    if (!rotated) return;
  }
}

/**
 * (x, y) becomes (c (x − t y), c (t x + y)), c = 1/√(1 + t²), as what is to be added: small angles then make small errors.
 * Rutishauser 1966, https://doi.org/10.1007/BF02165223
 */
function rotate(x: Float64Array, y: Float64Array, t: number): void {
  const c = 1 / Math.sqrt(1 + t * t);
  const s = c * t;
  const tau = s / (1 + c);
  for (let i = 0; i < x.length; i++) {
    const u = x[i]!;
    const v = y[i]!;
    x[i] = u - s * (v + tau * u);
    y[i] = v + s * (u - tau * v);
  }
}

/** Unit vectors in place of the columns; where one is zero, any that is orthogonal to all others. Returns the lengths. */
function normalise(columns: Columns): Float64Array {
  const lengths = Float64Array.from(columns, (x) => {
    const square = dot(x, x);
    return square < NOTHING ? 0 : Math.sqrt(square);
  });
  columns.forEach((x, j) => lengths[j]! > 0 && x.forEach((v, i) => (x[i] = v / lengths[j]!)));
  const known = columns.filter((_, j) => lengths[j]! > 0);
  let next = 0;
  for (const x of columns.filter((_, j) => lengths[j] === 0)) {
    for (let norm = 0; norm < 0.5 / Math.sqrt(x.length); next++) {
      x.fill(0)[next] = 1; // of all axes at least one is that far from what is known
      for (const y of known) {
        const along = dot(x, y);
        x.forEach((_, i) => (x[i]! -= along * y[i]!));
      }
      norm = Math.sqrt(dot(x, x));
      x.forEach((v, i) => (x[i] = v / norm));
    }
    known.push(x);
  }
  return lengths;
}

/**
 * The reduced singular value decomposition M = U diag(S) Vᵀ: U [m, p], S [p], V [n, p], p = min(m, n), for M [m, n] of any
 * shape and rank. S is sorted, largest first; U and V have orthonormal columns also where values are zero. Vectors are
 * unique only up to sign, and within equal values up to a rotation. Values below 2^-500 of the largest entry count as zero.
 * @throws if an entry is not finite.
 */
export function svd(m: Matrix): Svd {
  if (m.rows < m.columns) {
    const { U, S, V } = svd(turned(m));
    return { U: V, S, V: U };
  }
  const unit = unitOf(m, 'svd');
  const factored = factor(scaled(m, unit)); // M = Q R
  const right = columnsOf(turned(factored.R)); // the rows of R are nearer to orthogonal than its columns
  const left = columnsOf(matrix(m.columns, m.columns, (i, j) => (i === j ? 1 : 0)));
  orthogonalise(right, left);
  const lengths = normalise(right); // R = left diag(lengths) rightᵀ
  const order = [...lengths.keys()].sort((i, j) => lengths[j]! - lengths[i]!);
  const sorted = (columns: Columns): Matrix => fromColumns(order.map((i) => columns[i]!), m.columns); // prettier-ignore
  const U = applyQ(factored, columnsOf(sorted(left), m.rows));
  const S = Float64Array.from(order, (i) => lengths[i]! / unit);
  return { U: fromColumns(U, m.rows), S, V: sorted(right) };
}

/**
 * The SVD of B A without forming it: B [d, r], A [r, k], p = min(d, r, k). Costs (d + k) r², not d k min(d, k).
 * @throws if the inner dimensions differ, or an entry is not finite.
 */
export function svdOfProduct(B: Matrix, A: Matrix): Svd {
  if (B.columns !== A.rows)
    throw new BaxError(`svdOfProduct: inner dimensions differ: ${show(B)} x ${show(A)}`);
  const [b, a] = [qr(B), qr(turned(A))];
  const { U, S, V } = svd(times(b.R, turned(a.R))); // B A = Q_B (R_B R_Aᵀ) Q_Aᵀ
  return { U: times(b.Q, U), S, V: times(a.Q, V) };
}

/** The best approximation of rank r in the Frobenius and the spectral norm: U_r diag(S_r) V_rᵀ. Eckart and Young 1936. */
export function lowRank({ U, S, V }: Svd, r: number): Matrix {
  const weighted = matrix(U.rows, Math.min(r, S.length), (i, j) => U.data[i * U.columns + j]! * S[j]!);
  return times(weighted, turned(firstColumns(V, weighted.columns)));
}
