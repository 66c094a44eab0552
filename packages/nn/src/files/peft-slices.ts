/**
 * Slices of a fused layer in PEFT's format. PEFT knows one pair of A and B for a module, so q and v become
 * A' = [A_q; A_v] and a B' that holds each B in its block, with zeros elsewhere; r' and α' are the sums. Which slices
 * they were stands in the weights file's metadata, which PEFT ignores.
 */
import { BaxError } from '@bax/core';
import type { OutputSlice } from '../layers/linear.ts';
import type { Target } from '../lora/targets.ts';
import { isJsonObject, parseJson, type JsonObject } from './json.ts';
import type { Safetensors } from './safetensors.ts';

/** The key of the metadata under which the slices stand, as JSON. */
export const SLICES_KEY = 'bax';
const MAX_BYTES = 1 << 20;

export interface SliceRecord extends OutputSlice {
  readonly name: string;
  readonly r: number;
  readonly alpha: number;
}
/** Which PEFT modules were made of slices: module path → its slices in order. */
export type SliceMap = Record<string, SliceRecord[]>;

/** @throws if there is such metadata and it is malformed. */
export function readSlices(file: Safetensors): SliceMap {
  const text = file.metadata[SLICES_KEY];
  if (text === undefined) return {};
  const json = parseJson(text, { where: `${file.name}: metadata '${SLICES_KEY}'`, maxBytes: MAX_BYTES });
  const slices = isJsonObject(json) ? json['slices'] : undefined;
  if (!isJsonObject(slices) || (json as JsonObject)['version'] !== 1)
    throw new BaxError(`loadAdapter: ${file.name}: metadata '${SLICES_KEY}' is not of version 1`);
  return slices as unknown as SliceMap;
}

/** @throws if the slices are not those of the model's layer, or their ranks and scales not the module's. */
export function checkSlices(
  path: string,
  own: readonly SliceRecord[],
  { layer }: Target,
  sum: { r: number; alpha: number },
): void {
  const wrong = (why: string): never => {
    throw new BaxError(
      `loadAdapter: the slices recorded for ${path} ${why}; the file was changed after it was saved`,
    );
  };
  const isRecord = (s: SliceRecord | null): boolean =>
    typeof s?.name === 'string' && typeof s.alpha === 'number';
  if (!Array.isArray(own) || own.length === 0 || !own.every(isRecord)) wrong('are no list of slices');
  for (const s of own) {
    const known = Object.hasOwn(layer.slices, s.name) ? layer.slices[s.name] : undefined;
    if (!known || known.start !== s.start || known.length !== s.length)
      wrong(`name '${s.name}', which the model's layer has not there`);
    if (!Number.isSafeInteger(s.r) || s.r < 1) wrong(`have a rank of ${s.r}`);
    const [scale, whole] = [s.alpha / s.r, sum.alpha / sum.r];
    if (!(s.alpha > 0 && Math.abs(scale - whole) <= 2 ** -50 * whole))
      // the sum of some α is rounded
      wrong('have another scale than its α/r');
  }
  if (own.reduce((n, s) => n + s.r, 0) !== sum.r) wrong(`have ranks that do not sum to ${sum.r}`);
}

/** Outside of its block every number of B' must be 0, or the slices would not be the adapter that was saved. */
export function checkBlocks(path: string, own: readonly SliceRecord[], B: Float32Array | Float64Array): void {
  const r = own.reduce((n, s) => n + s.r, 0);
  let rank = 0;
  const inside = new Set<number>();
  for (const s of own) {
    for (let i = 0; i < s.length; i++) for (let j = 0; j < s.r; j++) inside.add((s.start + i) * r + rank + j);
    rank += s.r;
  }
  if (B.some((v, i) => v !== 0 && !inside.has(i)))
    throw new BaxError(
      `loadAdapter: lora_B of ${path} is not zero outside of its slices; it was trained as a whole since. Remove the '${SLICES_KEY}' metadata to load it so`,
    );
}

/** A or B of one slice, cut out of its module's. */
export function block(
  whole: Float32Array | Float64Array,
  own: readonly SliceRecord[],
  name: string,
  factor: 'A' | 'B',
  k: number,
): Float32Array | Float64Array {
  const r = own.reduce((n, s) => n + s.r, 0);
  const index = own.findIndex((s) => s.name === name);
  const rank = own.slice(0, index).reduce((n, s) => n + s.r, 0);
  const { start, length, r: mine } = own[index]!;
  if (factor === 'A') return whole.slice(rank * k, (rank + mine) * k);
  return whole
    .slice(0, length * mine)
    .map((_, i) => whole[(start + Math.floor(i / mine)) * r + rank + (i % mine)]!);
}
