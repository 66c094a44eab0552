/** Adapters as vectors: sums, multiples, and the nearest of a smaller rank. Products only: nothing here mixes one's B with another's A. */
import { BaxError, concat, copy, keep, mul, noGrad, pad, scope } from '@bax/core';
import { at, matrix, type Matrix, svdOfProduct } from '../linalg/index.ts';
import { Adapter } from './adapter.ts';
import { LoraBranch, type Place, targetPath } from './branch.ts';
import { loraConfig } from './config.ts';
import { keptMatrix } from './host.ts';
import { productOf } from './product.ts';

/** An adapter and its factor in a sum. */
export interface Weighted {
  readonly adapter: Adapter;
  /** Default 1. */
  readonly weight?: number;
}

/**
 * Σ w ΔW as one adapter: for each target A' = [w₁ s₁ A₁; w₂ s₂ A₂; …] and B' = [B₁ | B₂ | …], so that ranks add up and s is 1;
 * of one adapter alone, w B and its own A and s. What the sum does is, but for rounding, what `activate` with these weights
 * does. Its tensors are new, and trainable. https://arxiv.org/abs/2106.09685 eq. 3 is linear in B A, and in neither factor.
 * @throws if there is none, a weight is not finite, one is no sum (DoRA, or what is trained whole), or they are not of one
 * model.
 */
export function sumAdapters(given: readonly (Adapter | Weighted)[]): Adapter {
  const terms = given.map((term): Weighted => (term instanceof Adapter ? { adapter: term } : term));
  if (terms.length === 0) throw new BaxError('sumAdapters: there is no adapter to sum');
  for (const { adapter, weight = 1 } of terms) {
    wantSummable('sumAdapters', adapter);
    if (!Number.isFinite(weight))
      throw new BaxError(`sumAdapters: a weight is ${weight}; it must be a finite number`);
  }
  const places = new Map<string, { branch: LoraBranch; weight: number }[]>();
  for (const { adapter, weight = 1 } of terms)
    for (const branch of adapter.branches.values()) {
      const key = targetPath(placeIn(terms, branch));
      places.set(key, [...(places.get(key) ?? []), { branch, weight }]);
    }
  for (const [path, all] of places) wantAlike(path, all);
  const [only] = terms;
  if (terms.length === 1 && [...only!.adapter.branches.values()].every((b) => !b.A0)) {
    const branches = [...places.values()].map(([one]) => multiple(one!));
    return adapterOf(branches, only!.adapter.config.rslora);
  }
  return adapterOf([...places.values()].map((all) => stacked(all, placeIn(terms, all[0]!.branch))));
}

/** −ΔW: with it active beside the adapter, the base comes back, within rounding. @throws as `sumAdapters` does. */
export const negateAdapter = (adapter: Adapter): Adapter => sumAdapters([{ adapter, weight: -1 }]);

/** What a smaller rank costs one target. */
export interface CompressionError {
  readonly path: string;
  readonly r: number;
  /** ‖ΔW − ΔW_r‖_F = √Σ_{i>r} σᵢ². */
  readonly error: number;
  /** The same as a share of ‖ΔW‖_F; 0 where ΔW is zero. */
  readonly relative: number;
}

/**
 * The adapter of rank r that is nearest to this one in each target, by the singular values of ΔW (Eckart and Young, 1936),
 * and how far from it it is. Its A and B share the singular values evenly, and s is 1.
 * @throws if r is no rank, or the adapter is no sum: DoRA, or what is trained whole.
 */
export async function compressAdapter(
  adapter: Adapter,
  r: number,
): Promise<{ adapter: Adapter; errors: readonly CompressionError[] }> {
  wantSummable('compressAdapter', adapter);
  if (!Number.isSafeInteger(r) || r < 1)
    throw new BaxError(`compressAdapter: r is ${r}; the rank is an integer from 1`);
  const errors: CompressionError[] = [];
  const nearest: { branch: LoraBranch; A: Matrix; B: Matrix }[] = [];
  for (const [path, branch] of adapter.branches) {
    const { B, A } = await productOf(branch);
    const { U, S, V } = svdOfProduct(B, A);
    const rank = Math.min(r, S.length);
    const root = (i: number): number => Math.sqrt(S[i]!);
    nearest.push({
      branch,
      A: matrix(rank, A.columns, (i, j) => root(i) * at(V, j, i)),
      B: matrix(B.rows, rank, (i, j) => root(j) * at(U, i, j)),
    });
    const [lost, all] = [S.subarray(rank), S].map((s) => Math.hypot(...s));
    errors.push({ path, r: rank, error: lost!, relative: all! > 0 ? lost! / all! : 0 });
  }
  const branches = nearest.map(({ branch, A, B }) => {
    const parts = { A: keptMatrix(A, branch.A), B: keptMatrix(B, branch.A) };
    return new LoraBranch(parts, { alpha: A.rows, place: branch.place });
  });
  return { adapter: adapterOf(branches), errors };
}

function wantSummable(by: string, { config, full, branches }: Adapter): void {
  const [path] = full.keys();
  if (config.dora) throw new BaxError(`${by}: an adapter uses DoRA, which is not linear in B A; merge it instead`);
  if (path !== undefined)
    throw new BaxError(`${by}: an adapter trains ${path} whole, which is no product B A; merge it instead`);
  if (branches.size === 0) throw new BaxError(`${by}: an adapter has no branch`);
} // prettier-ignore

/** @throws unless branches that are to be added up are of one layer, as far as they show it. */
function wantAlike(path: string, all: readonly { readonly branch: LoraBranch }[]): void {
  const branches = all.map(({ branch }) => branch);
  const first = branches.find(({ slice }) => !slice) ?? branches[0]!;
  const fits = ({ A, slice, start, length }: LoraBranch): boolean => {
    const alike = slice && !first.slice ? start + length <= first.length : start === first.start && length === first.length; // prettier-ignore
    return alike && A.shape[1] === first.A.shape[1] && A.dtype === first.A.dtype && A.backend === first.A.backend;
  }; // prettier-ignore
  const show = ({ A, start, length }: LoraBranch): string =>
    `${A.shape[1]} inputs and outputs ${start} to ${start + length}, ${A.dtype} on ${A.backend.name}`;
  const other = branches.find((branch) => !fits(branch));
  if (other)
    throw new BaxError(
      `sumAdapters: adapters of different models: at ${path} one has ${show(first)}, another ${show(other)}`,
    );
}

const adapterOf = (branches: readonly LoraBranch[], rslora = false): Adapter => {
  const r = Math.max(...branches.map((b) => b.r));
  return new Adapter(loraConfig({ r, alpha: r, rslora, targets: branches.map((b) => b.target) }), branches);
};

/** Where a branch goes in the sum: its own slice, or the whole layer if some other branch has that. */
function placeIn(terms: readonly Weighted[], { place: { modulePath, slice } }: LoraBranch): Place {
  const whole = terms.some(({ adapter }) =>
    [...adapter.branches.values()].some((b) => b.place.modulePath === modulePath && !b.slice),
  );
  return { modulePath, slice: whole ? undefined : slice };
}

/** w times one branch: its s and A, and w B. */
function multiple({ branch, weight }: { branch: LoraBranch; weight: number }): LoraBranch {
  const { A, B, alpha, rslora, place } = branch;
  const parts = noGrad(() => ({ A: keep(copy(A)), B: keep(weight === 1 ? copy(B) : mul(B, weight)) }));
  return new LoraBranch(parts, { alpha, rslora, place });
}

function stacked(all: readonly { branch: LoraBranch; weight: number }[], place: Place): LoraBranch {
  const out = Math.max(...all.map(({ branch }) => branch.start + branch.length));
  const { A, B } = scope(() =>
    noGrad(() => {
      const products = all.flatMap(({ branch, weight }) =>
        branch.products(weight).map((p) => ({
          A: mul(p.A, p.scale), // [r, in]
          B: place.slice ? p.B : pad(p.B, 0, branch.start, out - branch.start - branch.length), // [out, r]
        })),
      );
      return {
        A: keep(concat(products.map((p) => p.A), 0)),
        B: keep(concat(products.map((p) => p.B), 1)),
      };
    }),
  ); // prettier-ignore
  return new LoraBranch({ A, B }, { alpha: A.shape[0]!, place });
}
