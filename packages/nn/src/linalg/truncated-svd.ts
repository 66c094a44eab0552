/**
 * The leading singular triplets of a large matrix: Golub and Kahan's bidiagonalisation, as Lanczos's method, with full
 * reorthogonalisation, until they have converged. Golub and Kahan 1965, https://doi.org/10.1137/0702016; Simon and Zha 2000,
 * https://doi.org/10.1137/S1064827597327309
 */
import { BaxError, foldIn, key, normals, type Key } from '@bax/core';
import { addCombined, along, orthogonalise } from './basis.ts';
import { addVectors, boundOf, valueOf } from './bidiagonal.ts';
import { firstColumns, scaled, show, times, turned, type Matrix } from './matrix.ts';
import { fromColumns, unitOf, type Columns } from './qr.ts';
import { svd, type Svd } from './svd.ts';

/** Of σ₁: how far Mᵀ u may be from σ v. */
const TOLERANCE = 2 ** -44;
/** Below that many rows or columns all triplets cost less than a second. */
const SMALL = 128;

/**
 * The r leading singular triplets M ≈ U diag(S) Vᵀ: U [m, r], S [r] largest first, V [n, r], for M [m, n] of any shape and
 * rank. ‖M v − σ u‖ and ‖Mᵀ u − σ v‖ are below 10^-12 σ₁, as is what U and V lack to be orthonormal. Where σ_r = σ_{r+1} the
 * vectors are some of those that share the value. The same M gives the same bits.
 * @throws if r is not from 1 to min(m, n), or an entry is not finite.
 */
export function truncatedSvd(m: Matrix, r: number): Svd {
  const p = Math.min(m.rows, m.columns);
  if (!Number.isSafeInteger(r) || r < 1 || r > p)
    throw new BaxError(`truncatedSvd: r is ${r}; it counts singular values of ${show(m)}, which has ${p}`);
  const unit = unitOf(m, 'truncatedSvd');
  const { U, S, V } = (p <= SMALL || 2 * r > p ? exact : lanczos)(scaled(m, unit), r);
  return { U, S: S.map((s) => s / unit), V };
}

function exact(m: Matrix, r: number): Svd {
  const { U, S, V } = svd(m);
  return { U: firstColumns(U, r), S: S.slice(0, r), V: firstColumns(V, r) };
}

/** `truncatedSvd` of a matrix whose largest entry is about 1, of whatever size. */
export function lanczos(m: Matrix, r: number): Svd {
  if (m.rows < m.columns) {
    const { U, S, V } = lanczos(turned(m), r);
    return { U: V, S, V: U };
  }
  const n = m.columns;
  const rows = Array.from({ length: m.rows }, (_, i) => m.data.subarray(i * n, (i + 1) * n));
  // A run sees of equal values only one. So more follow, orthogonal to what is known, until one finds nothing that belongs here.
  let found: readonly Right[] = [];
  for (let count = 0; ; count++) {
    const more = run(rows, r, found, foldIn(key(0), count));
    if (more.length === 0) break;
    found = [...found, ...more].sort((a, b) => b.value - a.value).slice(0, r);
  }
  const right = found.map(({ vector }) => vector);
  const left = right.map((v) => along(rows, v));
  const { U, S, V } = svd(fromColumns(left, m.rows)); // M right = U diag(S) Vᵀ: what rounding mixed is told apart
  return { U, S, V: times(fromColumns(right, n), V) };
}

/** A singular value and its right vector. */
interface Right {
  readonly value: number;
  readonly vector: Float64Array;
}

/**
 * At most r leading triplets of M orthogonal to those that are known, and only such as belong to the r leading of all. After
 * k steps M V = U B and Mᵀ U = V Bᵀ + β v e_kᵀ, B [k, k] bidiagonal.
 */
function run(rows: Columns, r: number, known: readonly Right[], seed: Key): readonly Right[] {
  const n = rows[0]!.length;
  const others = known.map(({ vector }) => vector);
  const [U, V, entries]: [Columns, Columns, number[]] = [[], [], []];
  const floor = known[r - 1]?.value;
  let top = known[0]?.value ?? 0;
  let next: Float64Array = normals(seed, n);
  for (let beta = orthogonalise(next, others), check = 8; beta > 0; entries.push(beta)) {
    V.push(next);
    const u = along(rows, next);
    const alpha = orthogonalise(u, U);
    U.push(u);
    entries.push(alpha);
    next = addCombined(new Float64Array(n), rows, u);
    beta = orthogonalise(next, [...others, ...V]);
    top = Math.max(top, alpha, beta);
    if (V.length < check && Math.min(alpha, beta) > TOLERANCE * top) continue; // else M maps what was found to itself
    check = V.length + 8 + (V.length >> 4);
    const right = settled(entries, r, beta, top, floor, n);
    if (right) return right.map(({ value, vector }) => ({ value, vector: addCombined(new Float64Array(n), V, vector) })); // prettier-ignore
  }
  return [];
}

/** The triplets of B that are M's, if all that are asked for are; undefined if more steps are needed. */
function settled(
  entries: readonly number[],
  r: number,
  beta: number,
  top: number,
  floor: number | undefined,
  n: number,
): Right[] | undefined {
  const k = (entries.length + 1) / 2;
  const [left, right, values]: [Columns, Columns, number[]] = [[], [], []];
  let bound = boundOf(entries);
  const least = bound * 2 ** -60;
  for (let i = 0; i < Math.min(r, k); i++) {
    const value = valueOf(entries, i, bound, least);
    bound = value;
    if (floor !== undefined && excluded(value / floor, k, n)) break;
    addVectors(entries, value, normals(foldIn(key(1), i), 2 * k), left, right);
    if (beta * Math.abs(left[i]![k - 1]!) > TOLERANCE * top) return undefined; // how far Mᵀ u is from σ v
    if (floor !== undefined && value <= floor + TOLERANCE * top) break;
    values.push(value);
  }
  return values.map((value, i) => ({ value, vector: right[i]! }));
}

/**
 * Whether k steps from a random start, having found no more than `part` of some value, would have missed it with a probability
 * below e^-20. Kuczyński and Woźniakowski 1992, https://doi.org/10.1137/0613066: at most 1.648 √n e^(−√ε (2k − 1)), ε = 1 − part².
 */
const excluded = (part: number, k: number, n: number): boolean =>
  part < 1 && Math.sqrt(1 - part * part) * (2 * k - 1) > Math.log(1.648 * Math.sqrt(n)) + 20;
