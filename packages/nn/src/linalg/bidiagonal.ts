/**
 * Singular values and vectors of a bidiagonal matrix B [n, n], by their numbers. ±σ are the eigenvalues of the symmetric
 * matrix T [2n, 2n] with zeros on its diagonal and d₁, e₁, d₂, e₂, …, dₙ beside it (d on the diagonal of B, e above it);
 * its eigenvectors are v₁, u₁, v₂, u₂, …, with B v = σ u. Golub and Van Loan, Matrix Computations, §8.4.1 and §8.6.1.
 */
import { orthogonalise } from './basis.ts';
import type { Columns } from './qr.ts';

/** d₁, e₁, d₂, e₂, …, dₙ. */
export type Entries = ArrayLike<number>;

/** How many singular values exceed x ≥ 0: as many as pivots of T less x are positive (Sylvester). */
function countAbove(x: number, entries: Entries): number {
  let pivot = -x;
  let count = pivot > 0 ? 1 : 0;
  for (let i = 0; i < entries.length; i++) {
    const entry = entries[i]!;
    pivot = -x - (entry * entry) / (pivot === 0 ? -Number.MIN_VALUE : pivot);
    if (pivot > 0) count++;
  }
  return count;
}

/** No singular value is larger (Gershgorin). */
export function boundOf(entries: Entries): number {
  let most = 0;
  for (let i = 0; i < entries.length; i++)
    most = Math.max(most, Math.abs(entries[i]!) + Math.abs(entries[i + 1] ?? 0));
  return most;
}

/** The i-th largest singular value, i from 0, which is at most `top`; 0 if it is at most `least`. */
export function valueOf(entries: Entries, i: number, top: number, least: number): number {
  let low = 0;
  while (top - low > least) {
    const middle = (low + top) / 2;
    if (middle <= low || middle >= top) break;
    if (countAbove(middle, entries) > i) low = middle;
    else top = middle;
  }
  return top <= least ? 0 : (low + top) / 2;
}

/**
 * The vectors of σ by inverse iteration from `start` [2n], orthogonal to those already found of other values, which may be
 * near: added to `left` and `right`. Of B's entries only the last may be zero.
 */
export function addVectors(
  entries: Entries,
  sigma: number,
  start: ArrayLike<number>,
  left: Columns,
  right: Columns,
): void {
  const n = start.length / 2;
  const shift = sigma + 2 ** -50 * boundOf(entries); // not quite the value: where T − σ is singular twice, rounding alone would choose
  const z = Float64Array.from(start);
  const [u, v] = [new Float64Array(n), new Float64Array(n)];
  for (let step = 0; step < 3; step++) {
    solve(entries, shift, z);
    for (let i = 0; i < n; i++) [v[i], u[i]] = [z[2 * i]!, z[2 * i + 1]!];
    orthogonalise(v, right);
    orthogonalise(u, left);
    for (let i = 0; i < n; i++) [z[2 * i], z[2 * i + 1]] = [v[i]!, u[i]!];
  }
  left.push(u);
  right.push(v);
}

/** (T − σ)⁻¹ z times some number, in place, by elimination with exchanges of rows. */
function solve(entries: Entries, sigma: number, z: Float64Array): void {
  const n = z.length;
  const least = 2 ** -60 * boundOf(entries) || 1;
  const pivots = new Float64Array(n);
  const [first, second] = [new Float64Array(n + 2), new Float64Array(n + 2)]; // to the right of the pivots
  let [diagonal, above] = [-sigma, entries[0]!];
  for (let i = 0; i + 1 < n; i++) {
    const [below, next] = [entries[i]!, entries[i + 1] ?? 0];
    if (Math.abs(diagonal) >= Math.abs(below)) {
      const factor = diagonal === 0 ? 0 : below / diagonal;
      pivots[i] = diagonal;
      first[i] = above;
      z[i + 1]! -= factor * z[i]!;
      diagonal = -sigma - factor * above;
      above = next;
    } else {
      const factor = diagonal / below;
      pivots[i] = below;
      first[i] = -sigma;
      second[i] = next;
      const swapped = z[i]!;
      z[i] = z[i + 1]!;
      z[i + 1] = swapped - factor * z[i]!;
      diagonal = above + factor * sigma;
      above = -factor * next;
    }
  }
  pivots[n - 1] = diagonal;
  for (let i = n - 1; i >= 0; i--) {
    const pivot = Math.abs(pivots[i]!) < least ? least : pivots[i]!;
    z[i] = (z[i]! - first[i]! * (z[i + 1] ?? 0) - second[i]! * (z[i + 2] ?? 0)) / pivot;
  }
}
