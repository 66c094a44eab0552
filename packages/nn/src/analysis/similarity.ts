/** How much of one adapter's directions another one shares. LoRA §7.2, equation 4 and figures 3 and 4; appendix G. */
import { BaxError } from '@bax/core';
import { svd, times, truncatedSvd, turned, type Matrix, type Svd } from '../linalg/index.ts';

export interface DirectionOptions {
  /** The relative error of each entry. Default 2^-52, f64's; give f32's for matrices that were computed in f32. */
  readonly roundoff?: number;
}

/** φ of the top i directions of A and the top j of B, for all i and j: what figure 3 shows. */
export interface SimilarityGrid {
  /** `values[i - 1][j - 1]` = φ(A, B, i, j) in [0, 1]; undefined where the top i directions of A, or j of B, are not determined. */
  readonly values: readonly (readonly (number | undefined)[])[];
  /** What random matrices would give at i, j: max(i, j) / k. */
  random(i: number, j: number): number;
  /** k, the length of a direction. */
  readonly width: number;
  /** A table for people at i and j of 1, 2, 4, … and the last, in percent, with the random baseline. */
  toString(): string;
}

const asSvd = (m: Matrix | Svd): Svd => ('S' in m ? m : svd(m));

/** How many singular values there are. */
export const countOf = (m: Matrix | Svd): number => ('S' in m ? m.S.length : Math.min(m.rows, m.columns));
/** As much of the SVD as the top i directions need: with σ_{i+1}, which says whether they are determined. */
export const leading = (m: Matrix | Svd, i: number): Svd =>
  'S' in m ? m : truncatedSvd(m, Math.min(i + 1, countOf(m)));

/**
 * Whether the i largest singular values stand out: σ_i > σ_{i+1} by more than rounding. Else (a zero or rank-deficient
 * matrix, equal values) the top i directions are whatever the algorithm happens to find, and mean nothing.
 */
export function determined(
  { U, S, V }: Svd,
  i: number,
  { roundoff = 2 ** -52 }: DirectionOptions = {},
): boolean {
  return S[i - 1]! - (S[i] ?? 0) > Math.max(U.rows, V.rows) * roundoff * S[0]!;
}

/**
 * φ(A, B, i, j) = ‖U_Aⁱᵀ U_Bʲ‖_F² / min(i, j) for all i and j, U_Aⁱ [k, i] being A's top right singular directions: 1 if
 * one of the spaces holds the other, 0 if they are orthogonal. A [r, k] and B [r', k], or their SVDs (`linalg.svdOfProduct`);
 * for left directions give them turned.
 * @throws if A and B have not the same k, or an entry is not finite.
 */
export function similarityGrid(
  A: Matrix | Svd,
  B: Matrix | Svd,
  options: DirectionOptions = {},
): SimilarityGrid {
  const [a, b] = [asSvd(A), asSvd(B)];
  const width = a.V.rows;
  if (b.V.rows !== width)
    throw new BaxError(`similarity: directions of length ${width} and ${b.V.rows} cannot be compared`);
  const cosines = times(turned(a.V), b.V); // [r, r']
  const columns = new Float64Array(cosines.columns); // Σ over the first i rows of cos², for each column
  const [known, knownOther] = [a, b].map((x) => Array.from(x.S, (_, i) => determined(x, i + 1, options)));
  const values = Array.from(a.S, (_, i) => {
    let shared = 0;
    return Array.from(b.S, (_unused, j) => {
      shared += columns[j]! += cosines.data[i * cosines.columns + j]! ** 2;
      return known![i]! && knownOther![j]! ? Math.min(1, shared / (Math.min(i, j) + 1)) : undefined;
    });
  });
  const grid = { values, width, random: (i: number, j: number) => randomSimilarity(i, j, width) };
  return { ...grid, toString: () => show(grid) };
}

/**
 * φ(A, B, i, j) of equation 4: see `similarityGrid`. Undefined where the top i directions of A, or j of B, are not
 * determined: of a zero or rank-deficient matrix, or among equal singular values.
 * @throws if i or j is not from 1 to the number of singular values.
 */
export function subspaceSimilarity(
  A: Matrix | Svd,
  B: Matrix | Svd,
  i: number,
  j: number,
  options: DirectionOptions = {},
): number | undefined {
  for (const [name, n, most] of [
    ['i', i, countOf(A)],
    ['j', j, countOf(B)],
  ] as const)
    // prettier-ignore
    if (!Number.isSafeInteger(n) || n < 1 || n > most)
      throw new BaxError(`subspaceSimilarity: ${name} is ${n}; it counts directions, of which there are ${most}`);
  return similarityGrid(leading(A, i), leading(B, j), options).values[i - 1]![j - 1];
}

/**
 * E φ(A, B, i, j) = max(i, j) / k for independent Gaussian A and B with directions of length k: exact, since a random
 * subspace lies alike to all directions. Where it nears 1 (k as small as the ranks), φ tells nothing.
 * @throws if i or j is not from 1 to k.
 */
export function randomSimilarity(i: number, j: number, k: number): number {
  for (const n of [i, j])
    if (!Number.isSafeInteger(n) || n < 1 || n > k)
      throw new BaxError(`randomSimilarity: there are no ${n} directions among ${k}`);
  return Math.max(i, j) / k;
}

/**
 * The projection metric d = √(p − Σ σ²), p = min(i, j), σ the singular values of U_Aⁱᵀ U_Bʲ: from 0 (one space holds the
 * other) to √p (orthogonal). φ = 1 − d²/p; appendix G writes (1 − d²)/p, which does not follow. Undefined where φ is.
 */
export function projectionMetric(
  A: Matrix | Svd,
  B: Matrix | Svd,
  i: number,
  j: number,
  options: DirectionOptions = {},
): number | undefined {
  const phi = subspaceSimilarity(A, B, i, j, options);
  return phi === undefined ? undefined : Math.sqrt(Math.min(i, j) * (1 - phi));
}

/** A grid of 64 x 64 is for a picture. */
function show({ values, random }: Omit<SimilarityGrid, 'toString'>): string {
  const steps = (n: number): number[] =>
    Array.from({ length: n }, (_, i) => i + 1).filter((i) => i === n || Number.isInteger(Math.log2(i)));
  const [rows, columns] = [steps(values.length), steps(values[0]?.length ?? 0)];
  const cell = (text: string): string => text.padStart(11);
  const percent = (x: number): string => (100 * x).toFixed(0);
  const line = (i: number): string =>
    columns
      .map((j) => {
        const value = values[i - 1]![j - 1];
        return cell(`${value === undefined ? '–' : percent(value)} (${percent(random(i, j))})`);
      })
      .join('');
  return [
    'φ(i, j) in percent (– is undefined), and in brackets what random matrices share',
    `${'i \\ j'.padStart(5)}${columns.map((j) => cell(`${j}`)).join('')}`,
    ...rows.map((i) => `${`${i}`.padStart(5)}${line(i)}`),
  ].join('\n');
}
