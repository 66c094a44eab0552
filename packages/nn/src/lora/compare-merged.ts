import { assign, key, noGrad, randomBits, scope, tensor, type Tensor } from '@bax/core';
import { castModule, type Module } from '../module.ts';

/** A model whose logits can be asked for. */
interface LanguageModel extends Module {
  forward(ids: Tensor): Tensor;
}

/** Logits of the merged model against those of the model with its adapter, on the same tokens. */
export interface MergedComparison {
  /** max |merged − unmerged|. */
  readonly difference: number;
  /** What rounding alone may make of it. */
  readonly bound: number;
  /** Where the bound comes from, in words. */
  readonly rule: string;
}

/**
 * Whether merging costs more than f32 already costs. Where the backend has f64, the unmerged model is computed in it
 * too: |m − u| ≤ 5 · err_u + 4κ + 8u · max|z| with err_u the f32 error of the unmerged logits z, and κ what it does to them to
 * move each weight by ±u (law P34, rule 2): merging rounds weights, and err_u of a small model can be small by luck.
 * Elsewhere the bound is the heuristic 16 (L + 1) u · max|z| for L layers (rule 5).
 */
export async function compareMerged<M extends LanguageModel>(
  adapted: M,
  merged: M,
  ids: Tensor,
  layers: number,
): Promise<MergedComparison> {
  const logits = async (model: LanguageModel): Promise<ArrayLike<number>> => {
    const z = scope(() => noGrad(() => model.forward(ids)));
    try {
      return await z.data();
    } finally {
      z.dispose();
    }
  };
  const [unmergedLogits, mergedLogits] = [await logits(adapted), await logits(merged)];
  const distance = (a: ArrayLike<number>, b: ArrayLike<number>): number =>
    Array.from(a).reduce((max, v, i) => Math.max(max, Math.abs(v - b[i]!)), 0);
  const difference = distance(mergedLogits, unmergedLogits);
  const top = Array.from(unmergedLogits).reduce((max, z) => Math.max(max, Math.abs(z)), 0);
  const { dtypes, roundoff } = ids.backend.info;
  const u = merged.parameters().some(({ dtype }) => dtype === 'f64') ? 2 ** -53 : roundoff;
  if (!dtypes.includes('f64'))
    return { difference, bound: 16 * (layers + 1) * u * top, rule: 'a heuristic for f32' };
  const wide = castModule(adapted, 'f64');
  /** κ; moves the weights of `wide`. */
  const sensitivity = async (model: M, exact: ArrayLike<number>): Promise<number> => {
    for (const [i, p] of model.parameters().entries()) {
      const signs = randomBits(key(i), p.size);
      const moved = Float64Array.from(await p.data(), (w, j) => w * (1 + (signs[j]! & 1 ? u : -u)));
      scope(() => assign(p, tensor(moved, { shape: p.shape, backend: p.backend })));
    }
    return distance(await logits(model), exact);
  };
  try {
    const exact = await logits(wide);
    return {
      difference,
      bound: 5 * distance(unmergedLogits, exact) + 4 * (await sensitivity(wide, exact)) + 8 * u * top,
      rule: 'five times what f32 costs the unmerged model, measured in f64, and what one rounding of each weight does',
    };
  } finally {
    wide.dispose();
  }
}
