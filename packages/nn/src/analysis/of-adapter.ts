/** The analyses on an adapter that lives on a device. All that they need to know of how one is attached is here. */
import { BaxError, type Tensor } from '@bax/core';
import { matrix, rowsOf, svdOfProduct, type Matrix, type Svd } from '../linalg/index.ts';
import type { LoraBranch } from '../lora/branch.ts';
import type { Adaptable } from '../lora/changed-rows.ts';
import { matrixValues } from '../lora/host.ts';
import type { LoraModel } from '../lora/lora-model.ts';
import { productOf } from '../lora/product.ts';
import { listOf } from '../lora/targets.ts';
import type { Module } from '../module.ts';
import { amplification, type Amplification, type AmplificationOptions } from './amplification.ts';
import { similarityGrid, type DirectionOptions, type SimilarityGrid } from './similarity.ts';
import { spectrum, type Spectrum } from './spectrum.ts';

/** One target of an adapter, read to the host. */
export interface AdapterMatrices {
  /** [r, k] */
  readonly A: Matrix;
  /** [d, r] */
  readonly B: Matrix;
  /** α/r, or α/√r. The weight with which it is active is not in it. */
  readonly scale: number;
  /** ΔW = s B A as its SVD, less what PiSSA or OLoRA took out of W. With DoRA what is added before rows are given their lengths. */
  readonly delta: Svd;
  /** The frozen W [d, k] beside it, which is read when it is asked for. */
  readonly weight: () => Promise<Matrix>;
}

/** An adapter on its model: the only one, or one of several by name. */
export type Adapted = LoraModel<Module> | { readonly lora: LoraModel<Module>; readonly adapter: string };

/**
 * Reads A and B of every target by its path (`transformer.h.0.attn.c_attn.q`), in the model's order. With DoRA, too, ΔW is
 * s B A, as it is added to W before the rows of W + s B A are given the lengths m: not the whole change of W.
 */
export async function matricesOf(of: Adapted): Promise<Map<string, AdapterMatrices>> {
  const [lora, adapter] = 'lora' in of ? [of.lora, of.adapter] : [of, undefined];
  const found = new Map<string, AdapterMatrices>();
  for (const [path, branch] of lora.adapter(adapter).branches)
    found.set(path, await readBranch(lora.layers.get(branch.place.modulePath)!.base, branch));
  return found;
}

async function readBranch(layer: Adaptable, branch: LoraBranch): Promise<AdapterMatrices> {
  const [A, B] = [await read(branch.A), await read(branch.B)];
  const { scale, start } = branch;
  const product = await productOf(branch);
  return {
    A,
    B,
    scale,
    delta: svdOfProduct(product.B, product.A),
    weight: async () =>
      rowsOf(matrix(layer.outFeatures, layer.inFeatures, await matrixValues(layer)), start, B.rows),
  };
}

async function read(t: Tensor): Promise<Matrix> {
  const [rows, columns] = t.shape as readonly [number, number];
  return matrix(rows, columns, await t.data());
}

/** `spectrum` of ΔW = s B A for every target, by path; with DoRA before rows are given their lengths, as in `matricesOf`. */
export async function spectraOf(of: Adapted): Promise<Map<string, Spectrum>> {
  const found = new Map<string, Spectrum>();
  for (const [path, { delta }] of await matricesOf(of)) found.set(path, spectrum(delta));
  return found;
}

/**
 * `similarityGrid` of the A's of each target that both adapters have: of two ranks, two seeds or two tasks. [LoRA §7.2]
 * @throws if they have no target in common.
 */
export async function similaritiesOf(
  one: Adapted,
  other: Adapted,
  options: DirectionOptions = {},
): Promise<Map<string, SimilarityGrid>> {
  const [mine, others] = [await matricesOf(one), await matricesOf(other)];
  const found = new Map<string, SimilarityGrid>();
  for (const [path, { A }] of mine) {
    const match = others.get(path);
    if (!match) continue;
    if (match.A.columns !== A.columns)
      throw new BaxError(
        `similaritiesOf: ${path} has ${A.columns} inputs in one model and ${match.A.columns} in the other`,
      );
    found.set(path, similarityGrid(A, match.A, options));
  }
  if (found.size === 0)
    throw new BaxError(
      `similaritiesOf: the adapters have no target in common: ${listOf([...mine.keys()])}; and ${listOf([...others.keys()])}`,
    );
  return found;
}

/**
 * `amplification` of each target's W by its ΔW = s B A, r its own rank unless given, by path; with DoRA before rows are given
 * their lengths, as in `matricesOf`. [LoRA §7.3]
 */
export async function amplificationsOf(
  of: Adapted,
  { r, key }: { readonly r?: number } & Pick<AmplificationOptions, 'key'> = {},
): Promise<Map<string, Amplification>> {
  const found = new Map<string, Amplification>();
  for (const [path, { delta, scale, weight }] of await matricesOf(of))
    found.set(
      path,
      amplification(await weight(), delta, r ?? delta.S.length, { scale, ...(key && { key }) }),
    );
  return found;
}
