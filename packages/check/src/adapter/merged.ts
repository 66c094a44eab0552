/** Merged is unmerged: each weight within its bound, and the outputs within what f32 costs anyway. */
import type { LoraModel, Merged, MergedLayer, Module } from '@bax/nn';
import { CheckError } from '../errors.ts';
import { answer, type Ask, type Case } from './asked.ts';
import { copyOf, dtypeOf, hasF64, withFactors } from './factors.ts';

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

/** Of so few outputs the largest error says little of what f32 costs; then it is measured several times. */
const FEW = 64;
const MOST_SAMPLES = 8;

/**
 * Law P34. For a model in f64: |m − u| ≤ 2^-40 max|z|. In f32, where the backend has f64: err_m ≤ 4 err_u + 8u max|z|,
 * errors against the unmerged outputs in f64; merging then costs no more than f32 costs already. Elsewhere the heuristic
 * 16 (L + 1) u max|z| for L adapted layers.
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
    const samples = Math.min(MOST_SAMPLES, Math.ceil(FEW / unmerged.length));
    let floor = distance(unmerged, exact);
    for (let i = 1; i < samples; i++) floor = Math.max(floor, await costNearby(lora, ask, at, i));
    return {
      error: distance(merged, exact),
      bound: 4 * floor + 8 * u * top,
      rule: 'four times what f32 costs the unmerged model, and 8 roundings of the largest; measured in f64',
    };
  } finally {
    wide.dispose();
  }
}

/** The f32 error of the unmerged outputs a little beside the factors as they are: the same roundings, drawn again. */
const costNearby = async <M extends Module>(
  lora: LoraModel<M>,
  ask: Ask<M>,
  at: Case,
  sample: number,
): Promise<number> =>
  withFactors(lora, { seed: sample, size: 2 ** -10 }, async () => {
    const wide = copyOf(lora, 'f64');
    try {
      return distance(await answer(ask, lora.model, at), await answer(ask, wide.model, at));
    } finally {
      wide.dispose();
    }
  });
