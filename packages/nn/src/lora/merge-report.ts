/** How exact a merge is: every component of every merged weight against f64 on the host. */
import { BaxError } from '@bax/core';
import type { Active, Adaptable } from './changed-rows.ts';
import { matrixValues } from './host.ts';
import type { LoraEmbedding } from './lora-embedding.ts';
import type { LoraLinear } from './lora-linear.ts';

/** How far a merged weight Ŵ' is from W + Σ s B A (with DoRA, m ∘ (W + s B A)/‖W + s B A‖), which is computed in f64 beside it. */
export interface MergedLayer {
  readonly path: string;
  /** The largest |Ŵ' − W'| of all components. */
  readonly error: number;
  /**
   * What that component may be off: u |W'| + (1 + u) γ_{r+1} Σ |s| |B| |A| (law P33), one more in γ for each further product and
   * where f32 rounds s; held in f16 or bf16, its own rounding more; of DoRA see `doraRow`.
   */
  readonly bound: number;
  /** The largest error / bound of all components; at most 1. */
  readonly ratio: number;
}
export interface MergeReport {
  readonly layers: readonly MergedLayer[];
  /** The layer with the largest error. */
  readonly worst: MergedLayer;
  toString(): string;
}

/** Half a unit in the last place, relative, and the smallest that it can be. */
const STORAGE: Readonly<Record<string, readonly [relative: number, least: number]>> = {
  f16: [2 ** -11, 2 ** -25],
  bf16: [2 ** -8, 2 ** -134],
};

/** A row of the sum that was merged, on the host: its exact values and what each may be off. */
interface Row {
  readonly exact: Float64Array;
  readonly off: Float64Array;
}

/** In f64 on the host, so that every backend is measured alike. */
export async function measure(
  path: string,
  layer: LoraLinear | LoraEmbedding,
  merged: Adaptable,
): Promise<MergedLayer> {
  const [W, M] = await Promise.all([matrixValues(layer.base), matrixValues(merged)]);
  const k = layer.inFeatures;
  // In f64 the reference rounds as much as what it measures.
  const u = merged.weight.dtype === 'f64' ? 2 ** -52 : merged.weight.backend.info.roundoff;
  const [stored, least] = STORAGE[merged.weight.storage] ?? [0, 0];
  let [error, bound, ratio] = [0, 0, 0];
  const see = (row: number, { exact, off }: Row): void => {
    for (let j = 0; j < k; j++) {
      const distance = Math.abs(M[row * k + j]! - exact[j]!);
      const allowed = off[j]! * (1 + stored) + stored * Math.abs(exact[j]!) + least + 2 ** -149;
      if (!Number.isFinite(distance))
        throw new BaxError(
          `merge: ${path}: component [${row}, ${j}] is not finite${stored > 0 ? `, held in ${merged.weight.storage}` : ''}; the adapter or the base is broken. Nothing was merged`,
        );
      if (distance >= error) [error, bound] = [distance, allowed];
      ratio = Math.max(ratio, distance / allowed);
    }
  };
  const untouched = new Set(Array.from({ length: layer.outFeatures }, (_, i) => i));
  for (const { start, end, active } of layer.segments()) {
    const terms = await Promise.all(active.flatMap(({ branch, weight }) => branch.products(weight).map(async (p) => ({ A: await p.A.data(), B: await p.B.data(), r: p.A.shape[0]!, s: p.scale, start: branch.start })))); // prettier-ignore
    const lengths = await magnitudes(active);
    for (let i = start; i < end; i++) {
      untouched.delete(i);
      const row = sumRow(W.subarray(i * k, (i + 1) * k), terms, i, u);
      see(i, lengths ? doraRow(row, lengths[i - active[0]!.branch.start]!, u) : row);
    }
  }
  for (const i of untouched)
    see(i, { exact: Float64Array.from(W.subarray(i * k, (i + 1) * k)), off: new Float64Array(k) });
  return { path, error, bound, ratio };
}

interface Term {
  readonly A: ArrayLike<number>;
  readonly B: ArrayLike<number>;
  readonly r: number;
  readonly s: number;
  readonly start: number;
}

/** Row i of W + Σ s B A: the products are rounded and summed, and then W is added with one rounding. */
function sumRow(W: ArrayLike<number>, terms: readonly Term[], i: number, u: number): Row {
  const [exact, off] = [Float64Array.from(W), new Float64Array(W.length)];
  for (const { A, B, r, s, start } of terms) {
    const roundings = r + (Math.fround(s) === s ? 1 : 2) + terms.length - 1;
    const gamma = (roundings * u) / (1 - roundings * u);
    for (let j = 0; j < W.length; j++) {
      let [sum, magnitude] = [0, 0];
      for (let l = 0; l < r; l++) {
        const term = B[(i - start) * r + l]! * A[l * W.length + j]!;
        sum += term;
        magnitude += Math.abs(term);
      }
      exact[j]! += s * sum;
      off[j]! += (1 + u) * gamma * Math.abs(s) * magnitude;
    }
  }
  exact.forEach((w, j) => (off[j]! += u * Math.abs(w)));
  return { exact, off };
}

/**
 * m/‖V‖ ∘ V of a row V that comes out as some V̂, off by at most δ. The norm is a root of k squares (of which f32 loses those
 * below 2^-126); it, the quotient and the product round by e = (k/2 + 8) u together, and ‖V̂‖ is off by ‖δ‖. So with
 * β = ‖δ‖/‖V‖ + e < 1 the result is off by |m|/‖V‖ (δ + |V| β)/(1 − β) at most. Nor can it be off by more than what both rows
 * have, |m|/(1 − e) + |W'|, which alone is left where V is nothing but rounding: m then takes the direction of that.
 */
function doraRow({ exact, off }: Row, m: number, u: number): Row {
  const [norm, blur, k] = [Math.hypot(...exact), Math.hypot(...off), exact.length];
  if (norm + blur === 0) return { exact, off }; // a row of zeros stays one
  const f = norm > 0 ? m / norm : 0;
  const e = (k / 2 + 8) * u;
  const beta = norm > 0 ? blur / norm + e + (k * 2 ** -126) / norm ** 2 : Infinity;
  const scaled = exact.map((v) => f * v);
  return {
    exact: scaled,
    off: off.map((x, j) => {
      const most = Math.abs(m) / (1 - e) + Math.abs(scaled[j]!);
      return beta < 1 ? Math.min(most, (Math.abs(f) * (x + Math.abs(exact[j]!) * beta)) / (1 - beta)) : most;
    }),
  };
}

const magnitudes = async (active: readonly Active[]): Promise<ArrayLike<number> | undefined> =>
  active[0]?.branch.magnitude?.data();

export function reportOf(layers: readonly MergedLayer[]): MergeReport {
  if (layers.length === 0) return { layers, worst: { path: '', error: 0, bound: 0, ratio: 0 }, toString: () => 'no weight merged' }; // prettier-ignore
  const worst = layers.reduce((a, b) => (b.error > a.error ? b : a));
  const ratio = Math.max(...layers.map((l) => l.ratio));
  const text = `${layers.length} weights merged; largest error ${worst.error.toExponential(2)} in ${worst.path}, where ${worst.bound.toExponential(2)} is allowed; every component is within ${(100 * ratio).toFixed(0)} % of its bound`;
  return { layers, worst, toString: () => text };
}
