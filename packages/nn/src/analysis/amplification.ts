/** How much of what a weight does little an adapter makes much. LoRA §7.3, table 7; appendix H.4. */
import { BaxError, foldIn, key as keyOf, normals, type Key } from '@bax/core';
import {
  firstColumns, frobenius, matrix, qr, times, truncatedSvd, turned, type Matrix, type Svd,
} from '../linalg/index.ts'; // prettier-ignore
import { countOf, determined, leading } from './similarity.ts';

export interface AmplificationOptions {
  /** α/r, as far as ΔW has it in it. Default 1. */
  readonly scale?: number;
  /** Of the random column. Default key(0). */
  readonly key?: Key;
}

/** Table 7 for one weight: ‖Uᵀ W V‖_F, W seen only along r directions on either side, with U [d, r] and V [k, r] of three kinds. */
export interface Amplification {
  readonly r: number;
  /** ‖W‖_F. */
  readonly weight: number;
  /** ‖ΔW‖_F, with α/r in it and without. */
  readonly delta: number;
  readonly deltaUnscaled: number;
  readonly projected: {
    /** With the top r singular vectors of ΔW; undefined where they are not determined, as of ΔW = 0. */
    readonly ofDelta: number | undefined;
    /** With those of W: √Σ σ_i², i ≤ r, the most there is. */
    readonly ofWeight: number;
    /** With a random pair of subspaces. */
    readonly random: number;
    /** √E of the square of that: r ‖W‖_F / √(d k), exactly. */
    readonly randomExpected: number;
  };
  /** ‖ΔW‖_F / ‖Uᵀ W V‖_F with U and V of ΔW; Infinity if W has nothing there. */
  readonly factor: number | undefined;
  /** The same without α/r in ΔW: the paper does not say which it means. */
  readonly factorUnscaled: number | undefined;
  toString(): string;
}

/**
 * The amplification factor ‖ΔW‖_F / ‖Uᵀ W V‖_F, U [d, r] and V [k, r] the top singular vectors of ΔW, and beside it what
 * table 7 compares with. W [d, k]; ΔW [d, k], or its SVD (`linalg.svdOfProduct`), with α/r in it.
 * @throws if the shapes differ, or r is not from 1 to the number of ΔW's singular values.
 */
export function amplification(
  W: Matrix,
  delta: Matrix | Svd,
  r: number,
  { scale = 1, key = keyOf(0) }: AmplificationOptions = {},
): Amplification {
  const [d, k] = [W.rows, W.columns];
  const [rows, columns] = 'S' in delta ? [delta.U.rows, delta.V.rows] : [delta.rows, delta.columns];
  if (rows !== d || columns !== k)
    throw new BaxError(`amplification: W is [${d}, ${k}] and ΔW [${rows}, ${columns}]; they must be alike`);
  const most = countOf(delta);
  if (!Number.isSafeInteger(r) || r < 1 || r > most)
    throw new BaxError(`amplification: r is ${r}; it counts ΔW's directions, of which there are ${most}`);
  if (!(Math.abs(scale) > 0 && Math.abs(scale) < Infinity))
    throw new BaxError(`amplification: scale is ${scale}; it must be a finite number other than 0`);
  const found = leading(delta, r);
  const { U, V } = found;
  const [weightNorm, deltaNorm] = [frobenius(W), 'S' in delta ? Math.hypot(...delta.S) : frobenius(delta)];
  const ofDelta = determined(found, r) ? projection(W, firstColumns(U, r), firstColumns(V, r)) : undefined;
  const table: Omit<Amplification, 'toString'> = {
    r,
    weight: weightNorm,
    delta: deltaNorm,
    deltaUnscaled: deltaNorm / Math.abs(scale),
    projected: {
      ofDelta,
      ofWeight: Math.hypot(...truncatedSvd(W, r).S),
      random: projection(W, randomDirections(d, r, foldIn(key, 0)), randomDirections(k, r, foldIn(key, 1))),
      randomExpected: randomProjection(weightNorm, r, d, k),
    },
    factor: ofDelta === undefined ? undefined : deltaNorm / ofDelta,
    factorUnscaled: ofDelta === undefined ? undefined : deltaNorm / Math.abs(scale) / ofDelta,
  };
  return { ...table, toString: () => show(table) };
}

/**
 * What is left of W [d, k] along r random directions on either side: √E ‖Uᵀ W V‖_F² = r ‖W‖_F / √(d k), exactly; the norm's own
 * mean is a little less, about 2 % for small matrices.
 */
export const randomProjection = (weightNorm: number, r: number, d: number, k: number): number =>
  (r * weightNorm) / Math.sqrt(d * k);

/** ‖Uᵀ W V‖_F. */
const projection = (W: Matrix, U: Matrix, V: Matrix): number => frobenius(times(turned(U), times(W, V)));

/** r orthonormal columns of length n, uniformly distributed: Q of a Gaussian matrix. */
function randomDirections(n: number, r: number, key: Key): Matrix {
  return qr(matrix(n, r, normals(key, n * r))).Q;
}

function show({
  r,
  weight,
  delta,
  deltaUnscaled,
  projected,
  factor,
  factorUnscaled,
}: Omit<Amplification, 'toString'>): string {
  const number = (x: number | undefined): string => (x === undefined ? 'undefined' : x.toPrecision(4));
  return [
    `‖W‖ = ${number(weight)}, ‖ΔW‖ = ${number(delta)} (without α/r ${number(deltaUnscaled)}), r = ${r}`,
    `‖UᵀWV‖ with U and V of ΔW ${number(projected.ofDelta)}, of W ${number(projected.ofWeight)}, random ${number(projected.random)} (expected ${number(projected.randomExpected)})`,
    `amplification ${number(factor)} (without α/r ${number(factorUnscaled)})`,
  ].join('\n');
}
