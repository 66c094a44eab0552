import { BaxError, contiguous, keep, noGrad, scope, transpose } from '@bax/core';
import { Conv1D } from '../layers/conv1d.ts';
import { Linear } from '../layers/linear.ts';
import { transform, type Module } from '../module.ts';
import type { AdapterState, LoraLinear } from './lora-linear.ts';

/** How far a merged weight Ŵ' is from W + s B A, which is computed in f64 beside it. */
export interface MergedLayer {
  readonly path: string;
  /** The largest |Ŵ' − (W + s B A)| of all components. */
  readonly error: number;
  /** What that component may be off: u |W + s B A| + (1 + u) γ_{r+1} |s| |B| |A| (law P33); γ_{r+2} if f32 rounds s. */
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
export interface Merged<M> {
  /** A plain model of the base's class: the same calls, no adapter in it. It shares every tensor that merging did not change. */
  readonly model: M;
  readonly report: MergeReport;
  /** Frees the weights that merging made, and no other: the base and the adapter stay usable. */
  dispose(): void;
}
export interface MergeOptions {
  /** A merged weight that is tied to another one becomes a weight of its own; without this such a merge is refused. */
  readonly untie?: boolean;
}

/**
 * Replaces every adapted layer by a plain one with W + s B A, which is held in f32 also where W is held in f16 or bf16: it is
 * computed from the widened W, and rounding it back would cost more than the adapter changes.
 * @throws if the adapter is disabled, a tied weight would change, or a result is not finite.
 */
export async function mergeLora<M extends Module>(
  adapted: M,
  layers: ReadonlyMap<string, LoraLinear>,
  state: AdapterState,
  { untie = false }: MergeOptions = {},
): Promise<Merged<M>> {
  const untied = Object.keys(adapted.tied).filter((name) => layers.has(name.replace(/\.weight$/, '')));
  if (untied.length > 0 && !untie)
    throw new BaxError(
      `merge: ${untied[0]} is tied to ${adapted.tied[untied[0]!]}; merging would change both. Pass { untie: true } to give the head a weight of its own`,
    );
  if (!state.enabled)
    throw new BaxError('merge: the adapter is disabled, so merging would give the base; call enable() first');
  const { strength } = state;
  const merged = new Map<string, Linear>();
  const dispose = (): void => {
    for (const layer of merged.values()) layer.weight.dispose();
  };
  const reports: MergedLayer[] = [];
  try {
    for (const [path, layer] of layers) merged.set(path, mergedLinear(layer, strength));
    for (const [path, layer] of layers) reports.push(await measure(path, layer, merged.get(path)!, strength));
  } catch (error) {
    dispose();
    throw error;
  }
  const model = transform(adapted, { module: (_, path) => merged.get(path) });
  if (untied.length > 0) {
    model.tied = Object.fromEntries(Object.entries(model.tied).filter(([name]) => !untied.includes(name)));
    if ('config' in model)
      Object.assign(model, { config: { ...(model.config as object), tie_word_embeddings: false } });
  }
  return { model, report: reportOf(reports), dispose };
}

function mergedLinear(layer: LoraLinear, strength: number): Linear {
  const { base } = layer;
  const weight = scope(() =>
    noGrad(() => {
      const matrix = layer.mergedMatrix(strength);
      return contiguous(base instanceof Conv1D ? transpose(matrix) : matrix);
    }),
  );
  const plain = new (base instanceof Conv1D ? Conv1D : Linear)(keep(weight), base.bias);
  plain.slices = base.slices;
  return plain;
}

/** In f64 on the host, so that every backend is measured alike. */
async function measure(
  path: string,
  layer: LoraLinear,
  merged: Linear,
  strength: number,
): Promise<MergedLayer> {
  const [W, M] = await Promise.all([matrixOf(layer.base), matrixOf(merged)]);
  const k = layer.inFeatures;
  // In f64 the reference rounds as much as what it measures.
  const u = merged.weight.dtype === 'f64' ? 2 ** -52 : merged.weight.backend.info.roundoff;
  let [error, bound, ratio] = [0, 0, 0];
  const see = (row: number, column: number, exact: number, magnitude: number, roundings: number): void => {
    const gamma = (roundings * u) / (1 - roundings * u);
    const off = Math.abs(M[row * k + column]! - exact);
    const allowed = u * Math.abs(exact) + (1 + u) * gamma * magnitude + 2 ** -149;
    if (!Number.isFinite(off))
      throw new BaxError(
        `merge: ${path}: component [${row}, ${column}] is not finite; the adapter or the base is broken. Nothing was merged`,
      );
    if (off >= error) [error, bound] = [off, allowed];
    ratio = Math.max(ratio, off / allowed);
  };
  const untouched = new Set(Array.from({ length: layer.outFeatures }, (_, i) => i));
  for (const branch of layer.branches) {
    const [A, B] = await Promise.all([branch.A.data(), branch.B.data()]);
    const [r, s] = [branch.r, branch.scale * strength];
    const roundings = r + (Math.fround(s) === s ? 1 : 2);
    const start = branch.slice?.start ?? 0;
    for (let i = 0; i < branch.B.shape[0]!; i++) {
      untouched.delete(start + i);
      for (let j = 0; j < k; j++) {
        let [sum, magnitude] = [0, 0];
        for (let l = 0; l < r; l++) {
          const term = B[i * r + l]! * A[l * k + j]!;
          sum += term;
          magnitude += Math.abs(term);
        }
        see(start + i, j, W[(start + i) * k + j]! + s * sum, Math.abs(s) * magnitude, roundings);
      }
    }
  }
  for (const row of untouched) for (let j = 0; j < k; j++) see(row, j, W[row * k + j]!, 0, 0);
  return { path, error, bound, ratio };
}

/** The weight as [out, in] on the host. */
async function matrixOf(layer: Linear): Promise<ArrayLike<number>> {
  const { matrix } = layer;
  try {
    return await matrix.data();
  } finally {
    if (matrix !== layer.weight) matrix.dispose(); // a view would keep the weight's memory
  }
}

function reportOf(layers: readonly MergedLayer[]): MergeReport {
  const worst = layers.reduce((a, b) => (b.error > a.error ? b : a));
  const ratio = Math.max(...layers.map((l) => l.ratio));
  const text = `${layers.length} weights merged; largest error ${worst.error.toExponential(2)} in ${worst.path}, where ${worst.bound.toExponential(2)} is allowed; every component is within ${(100 * ratio).toFixed(0)} % of its bound`;
  return { layers, worst, toString: () => text };
}
