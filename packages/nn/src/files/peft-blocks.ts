/**
 * How the branches of one module lie in the one pair of A and B that PEFT knows for it. Slices of a fused layer, q and v,
 * become A' = [A_q; A_v] and a B' that holds each B in its block, with zeros elsewhere. What PiSSA and OLoRA took out of W
 * lies behind, [A; A0] and [B | −B0]: a plain adapter of twice the rank, for W as it was.
 */
import { BaxError } from '@bax/core';
import { at, matrix, type Matrix, rowsOf, scaled } from '../linalg/index.ts';
import type { LoraBranch } from '../lora/branch.ts';
import type { Adaptable } from '../lora/changed-rows.ts';
import { matrixValues } from '../lora/host.ts';
import { loraScale } from '../lora/config.ts';
import { Linear } from '../layers/linear.ts';
import type { Target } from '../lora/targets.ts';
import { type BranchRecord, changed, RECORD_KEY } from './peft-record.ts';

/** Factors of a branch on the host, what was taken out of W among them. */
export interface HostBranch {
  readonly A: Matrix;
  readonly B: Matrix;
  readonly A0?: Matrix | undefined;
  readonly B0?: Matrix | undefined;
}
/** One module as PEFT stores it. */
export interface PeftModule {
  readonly r: number;
  readonly alpha: number;
  readonly A: Matrix;
  readonly B: Matrix;
  /** What makes branches of it again; none for a plain pair. */
  readonly records: readonly BranchRecord[] | undefined;
}

/** @throws if the branches differ in scale, of which PEFT holds one for a module. */
export function toBlocks(
  path: string,
  out: number,
  all: readonly { readonly branch: LoraBranch; readonly host: HostBranch }[],
): PeftModule {
  const [first] = all;
  for (const { branch } of all)
    if (branch.scale !== first!.branch.scale)
      throw new BaxError(
        `saveAdapter: the slices of ${path} have different scales, ${branch.scale} and ${first!.branch.scale}; PEFT holds one for a module`,
      );
  const stacked = all.map(({ branch, host: { A, B, A0, B0 } }) => ({
    start: branch.start,
    A: A0 ? below(A, A0) : A,
    B: B0 ? beside(B, scaled(B0, -1)) : B,
  }));
  const r = stacked.reduce((n, { A }) => n + A.rows, 0);
  const B = new Float64Array(out * r);
  let rank = 0;
  for (const { start, B: own } of stacked) {
    for (let i = 0; i < own.rows; i++)
      for (let j = 0; j < own.columns; j++) B[(start + i) * r + rank + j] = at(own, i, j);
    rank += own.columns;
  }
  const { rslora, scale } = first!.branch;
  const plain = all.length === 1 && !first!.branch.slice && !first!.host.A0;
  return {
    r,
    // s r' or s √r', which for α/r is the sum of the branches' own α
    alpha: rslora && !plain ? scale * Math.sqrt(r) : all.reduce((sum, { branch, host }) => sum + (host.A0 ? 2 : 1) * branch.alpha, 0),
    A: stacked.map((s) => s.A).reduce(below),
    B: matrix(out, r, B),
    records: plain
      ? undefined
      : all.map(({ branch: { slice, start, length, r, alpha }, host: { A0 } }) => ({ name: slice?.name ?? '', start, length, r, alpha, taken: A0 !== undefined })),
  };
} // prettier-ignore

const below = (a: Matrix, b: Matrix): Matrix => matrix(a.rows + b.rows, a.columns, [...a.data, ...b.data]);
const beside = (a: Matrix, b: Matrix): Matrix =>
  matrix(a.rows, a.columns + b.columns, (i, j) => (j < a.columns ? at(a, i, j) : at(b, i, j - a.columns)));

/** @throws if the records are not those of the model's layer, or their ranks and scales not the module's. */
export function checkRecords(
  path: string,
  own: readonly BranchRecord[],
  { layer }: Target,
  whole: { readonly r: number; readonly alpha: number; readonly rslora: boolean },
): void {
  const wrong = (why: string): never => {
    throw changed(path, why);
  };
  const { rslora } = whole;
  const slices = layer instanceof Linear ? layer.slices : {};
  for (const s of own) {
    const known =
      s.name === '' ? { start: 0, length: layer.outFeatures } : Object.hasOwn(slices, s.name) ? slices[s.name] : undefined; // prettier-ignore
    if (!known || known.start !== s.start || known.length !== s.length)
      wrong(`name '${s.name}', which the model's layer has not there`);
    const [scale, all] = [loraScale(s.alpha, s.r, rslora), loraScale(whole.alpha, whole.r, rslora)];
    if (!(Math.abs(scale - all) <= 2 ** -50 * all))
      // the sum of some α is rounded
      wrong('have another scale than its α/r');
  }
  if (own.reduce((n, s) => n + widthOf(s), 0) !== whole.r) wrong(`have ranks that do not sum to ${whole.r}`);
}

/** The rows of A that a branch has. */
const widthOf = ({ r, taken }: Pick<BranchRecord, 'r' | 'taken'>): number => (taken ? 2 * r : r);

/** The branches' own factors again, in the order of the records. @throws if B' is not zero outside of its blocks. */
export function fromBlocks(path: string, own: readonly BranchRecord[], A: Matrix, B: Matrix): HostBranch[] {
  let rank = 0;
  const inside = new Uint8Array(B.data.length);
  const branches = own.map(({ start, length, r, taken }): HostBranch => {
    const from = rank;
    rank += widthOf({ r, taken });
    for (let i = 0; i < length; i++) inside.fill(1, (start + i) * B.columns + from, (start + i) * B.columns + rank); // prettier-ignore
    const columns = (first: number): Matrix => matrix(length, r, (i, j) => at(B, start + i, first + j));
    const pair = { A: rowsOf(A, from, r), B: columns(from) };
    return taken ? { ...pair, A0: rowsOf(A, from + r, r), B0: scaled(columns(from + r), -1) } : pair;
  });
  if (B.data.some((v, i) => v !== 0 && inside[i] === 0))
    throw new BaxError(
      `loadAdapter: lora_B of ${path} is not zero outside of its slices; it was trained as a whole since. Remove the '${RECORD_KEY}' metadata to load it so`,
    );
  return branches;
}

/** ‖W‖ of each row [out]: DoRA's m where no branch changes it. */
export async function rowLengths(layer: Adaptable): Promise<Float64Array> {
  const [W, k] = [await matrixValues(layer), layer.inFeatures];
  return Float64Array.from({ length: layer.outFeatures }, (_, i) => Math.hypot(...W.subarray(i * k, (i + 1) * k)));
} // prettier-ignore

/** @throws unless the rows outside of the branches have W's lengths in m, for which there is no place here. */
export async function checkLengths(
  path: string,
  own: readonly BranchRecord[],
  layer: Adaptable,
  m: Float64Array,
): Promise<void> {
  const outside = (i: number): boolean => own.every(({ start, length }) => i < start || i >= start + length);
  if (!m.some((_, i) => outside(i))) return;
  const lengths = await rowLengths(layer);
  if (m.some((v, i) => outside(i) && !(Math.abs(v - lengths[i]!) <= 2 ** -20 * lengths[i]!)))
    throw new BaxError(
      `loadAdapter: the magnitude of ${path} is not W's outside of its slices; it was trained as a whole since. Remove the '${RECORD_KEY}' metadata to load it so`,
    );
}
