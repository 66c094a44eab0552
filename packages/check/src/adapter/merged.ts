/** Merged is unmerged: each weight within its bound, and the outputs within what f32 costs anyway. */
import { foldIn, isFloat, key, randomBits } from '@bax/core';
import type { LoraModel, Merged, MergedLayer, Module } from '@bax/nn';
import { CheckError } from '../errors.ts';
import { answer, type Ask, type Case } from './asked.ts';
import { copyOf, dtypeOf, hasF64, put } from './factors.ts';

/** What merging did to the outputs, and what it may do. */
export interface OutputProof {
  /** The largest error, of the merged outputs against the exact ones, or against the unmerged where nothing is exact. */
  readonly error: number;
  readonly bound: number;
  /** Where the bound comes from, in words. */
  readonly rule: string;
}

/** Law P33. @throws CheckError that names the worst layer that is not within the report's bound. */
export function assertWeights({ report }: Merged<Module>): readonly MergedLayer[] {
  const worst = report.layers.reduce<MergedLayer | undefined>((a, b) => (!a || b.ratio > a.ratio ? b : a), undefined); // prettier-ignore
  if (worst && !(worst.ratio <= 1))
    throw new CheckError(
      `the merged weight of ${worst.path} is not W + s B A: off by ${worst.ratio.toPrecision(3)} times what rounding may make of a component; ` +
        `its largest error is ${worst.error}, where ${worst.bound} is allowed`,
    );
  return report.layers;
}

const largest = (z: Float64Array): number => z.reduce((most, x) => Math.max(most, Math.abs(x)), 0);
const distance = (a: Float64Array, b: Float64Array): number =>
  a.reduce((most, x, i) => Math.max(most, Math.abs(x - b[i]!)), 0);

/** Of so few outputs the largest change says little; then it is the largest of several draws. */
const FEW = 64;

/**
 * Law P34. For a model in f64: |m − u| ≤ 2^-40 max|z|. In f32, where the backend has f64: err_m ≤ 4 (err_u + κ) + 8u max|z|,
 * errors against the unmerged outputs in f64, κ what one rounding of each weight does to them; merging then costs no more
 * than f32 costs already. Elsewhere the heuristic 16 (L + 1) u max|z| for L adapted layers.
 * @throws CheckError if the outputs are further apart, or not finite.
 */
export async function assertOutputs<M extends Module>(
  lora: LoraModel<M>,
  merged: M,
  ask: Ask<M>,
  at: Case,
): Promise<OutputProof> {
  const [unmerged, z] = [await answer(ask, lora.model, at), await answer(ask, merged, at)];
  if (![...unmerged, ...z].every(Number.isFinite))
    throw new CheckError('the outputs are not finite; the base or the adapter is broken, or what is asked overflows'); // prettier-ignore
  const proof = await within(lora, ask, at, unmerged, z);
  if (!(proof.error <= proof.bound)) {
    const i = z.findIndex((x, j) => Math.abs(x - unmerged[j]!) === distance(z, unmerged));
    throw new CheckError(
      `merged and unmerged outputs differ: ${z[i]} and ${unmerged[i]} at ${i} of ${z.length}; the error is ${proof.error}, allowed is ${proof.bound} (${proof.rule})`,
    );
  }
  return proof;
}

async function within<M extends Module>(
  lora: LoraModel<M>,
  ask: Ask<M>,
  at: Case,
  unmerged: Float64Array,
  merged: Float64Array,
): Promise<OutputProof> {
  const top = largest(unmerged);
  if (dtypeOf(lora) === 'f64')
    return { error: distance(merged, unmerged), bound: 2 ** -40 * top, rule: '2^-40 of the largest, in f64' };
  const u = [...lora.parameters().values()][0]?.backend.info.roundoff ?? 2 ** -24;
  if (!hasF64(lora))
    return {
      error: distance(merged, unmerged),
      bound: 16 * (lora.layers.size + 1) * u * top,
      rule: `16 (L + 1) u of the largest for L = ${lora.layers.size} layers, a heuristic: the backend has no f64`,
    };
  const wide = copyOf(lora, 'f64');
  try {
    const exact = await answer(ask, wide.model, at);
    const floor = distance(unmerged, exact);
    let kappa = 0;
    for (let draw = 0; draw < (unmerged.length < FEW ? 3 : 1); draw++) {
      await roundWeights(wide.model, u, draw);
      kappa = Math.max(kappa, distance(await answer(ask, wide.model, at), exact));
    }
    return {
      error: distance(merged, exact),
      bound: 4 * (floor + kappa) + 8 * u * top,
      rule: 'four times what f32 costs the unmerged model and what one rounding of each weight does, and 8 roundings of the largest; measured in f64',
    };
  } finally {
    wide.dispose();
  }
}

/** Moves each weight by ±u of itself, at random. */
async function roundWeights(model: Module, u: number, draw: number): Promise<void> {
  for (const [i, p] of model.parameters().entries()) {
    if (!isFloat(p.dtype)) continue;
    const [values, signs] = [await p.data(), randomBits(foldIn(key(draw), i), p.size)];
    put(p, (j) => values[j]! * (1 + (signs[j]! & 1 ? u : -u)));
  }
}
