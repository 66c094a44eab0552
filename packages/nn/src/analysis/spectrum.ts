/** How many directions an update really uses. */
import { svd, type Matrix, type Svd } from '../linalg/index.ts';

export interface Spectrum {
  /** Singular values, largest first. */
  readonly values: Float64Array;
  /** ‖ΔW‖_F = √Σ σ². */
  readonly frobenius: number;
  /** How many values exceed max(d, k) · 2^-52 · σ₁. */
  readonly rank: number;
  /** exp of the entropy of σ / Σ σ: n if n values are equal and the rest zero; undefined of zero. Roy and Vetterli 2007, definition 1. */
  readonly effectiveRank: number | undefined;
  /** ‖ΔW‖_F² / σ₁²: never above the rank, and continuous; undefined of zero. Rudelson and Vershynin 2007, https://doi.org/10.1145/1255443.1255449 */
  readonly stableRank: number | undefined;
  toString(): string;
}

/**
 * The singular values of ΔW [d, k], or of its SVD (`linalg.svdOfProduct` of B and A), and what they say of its rank.
 * @throws if an entry is not finite.
 */
export function spectrum(delta: Matrix | Svd): Spectrum {
  const { U, S, V } = 'S' in delta ? delta : svd(delta);
  const top = S[0] ?? 0;
  const parts = S.map((s) => s / top); // in [0, 1]: squares neither overflow nor vanish
  const total = parts.reduce((sum, p) => sum + p, 0);
  const entropy = -parts.reduce((sum, p) => sum + (p > 0 ? (p / total) * Math.log(p / total) : 0), 0);
  const found = {
    values: S,
    frobenius: Math.hypot(...S),
    rank: S.filter((s) => s > Math.max(U.rows, V.rows) * 2 ** -52 * top).length,
    effectiveRank: top > 0 ? Math.exp(entropy) : undefined,
    stableRank: top > 0 ? parts.reduce((sum, p) => sum + p * p, 0) : undefined,
  };
  return { ...found, toString: () => show(found) };
}

function show({ values, rank, effectiveRank, stableRank }: Omit<Spectrum, 'toString'>): string {
  const shown = Array.from(values.subarray(0, 8), (s) => s.toExponential(2)).join(' ');
  const number = (x: number | undefined): string => (x === undefined ? 'undefined' : x.toFixed(2));
  return `σ ${shown}${values.length > 8 ? ' …' : ''}; rank ${rank}, effective ${number(effectiveRank)}, stable ${number(stableRank)}`;
}
