/** Numbers for checks, and what the bits of each storage type mean, straight from the definitions. */
import { type DType, type HalfFloat, hostArray, type Storage, type TypedArray } from '@bax/core';

/** Small integers from a seed: cheap, and different at neighbouring places. */
export const ints =
  (seed: number, range = 8) =>
  (i: number): number =>
    (((Math.imul(i + 1, 0x9e3779b1) + Math.imul(seed + 1, 0x85ebca6b)) >>> 16) % (2 * range + 1)) - range;

/** Small integers that the storage type can hold. */
export const intsFor = (type: Storage, seed: number, range = 8): ((i: number) => number) =>
  type === 'u8' || type === 'u32' ? (i) => Math.abs(ints(seed, range)(i)) : ints(seed, range);

/** Numbers as real programs hold them, with full mantissas and magnitudes from 2^-25 to 2^10. */
export const reals =
  (seed: number) =>
  (i: number): number =>
    (ints(seed, 32767)(i) / 32768) * 2 ** ints(seed + 9, 10)(i);

/** Real numbers for which the storage has normal patterns, with mantissas as full as it can hold. */
export const realsFor = (type: Storage, seed: number): ((i: number) => number) =>
  type === 'f16' || type === 'bf16'
    ? (i) => (ints(seed, 2047)(i) / 2048) * 2 ** ints(seed + 9, 3)(i)
    : reals(seed);

/** Exponent bits and fraction bits of the 16-bit floats. */
const halves = { f16: [5, 10], bf16: [8, 7] } as const;

/** The number that an element of the host's array stands for: itself, but for the 16-bit floats. */
export const decode = (type: Storage, raw: number): number =>
  type === 'f16' || type === 'bf16' ? patterns(type)[raw]! : raw;

const tables = new Map<HalfFloat, Float64Array>();
function patterns(type: HalfFloat): Float64Array {
  const table = tables.get(type) ?? Float64Array.from({ length: 2 ** 16 }, (_, raw) => meaning(type, raw));
  tables.set(type, table);
  return table;
}

function meaning(type: HalfFloat, raw: number): number {
  const [width, digits] = halves[type];
  const bias = 2 ** (width - 1) - 1;
  const sign = raw & 0x8000 ? -1 : 1;
  const exponent = (raw >> digits) & (2 ** width - 1);
  const fraction = raw & (2 ** digits - 1);
  if (exponent === 2 ** width - 1) return fraction ? NaN : sign * Infinity;
  if (exponent === 0) return sign * fraction * 2 ** (1 - bias - digits);
  return sign * (2 ** digits + fraction) * 2 ** (exponent - bias - digits);
}

/** The element of the host's array for a number that the type can hold exactly (not subnormal). */
export const encode = (type: Storage, value: number): number =>
  type === 'f16' || type === 'bf16' ? pattern(type, value) : value;

/** The patterns of small integers are asked for a million times. */
const small = { f16: new Map<number, number>(), bf16: new Map<number, number>() };
function pattern(type: HalfFloat, value: number): number {
  const known = small[type].get(value);
  if (known !== undefined) return known;
  const found = patternOf(type, value);
  if (Number.isInteger(value)) small[type].set(value, found);
  return found;
}

function patternOf(type: HalfFloat, value: number): number {
  if (value === 0) return value;
  const [width, digits] = halves[type];
  if (value !== value) return 0x7fff;
  const exponent = Math.floor(Math.log2(Math.abs(value)));
  const fraction = (Math.abs(value) / 2 ** exponent - 1) * 2 ** digits;
  return (value < 0 ? 0x8000 : 0) + ((exponent + 2 ** (width - 1) - 1) << digits) + fraction;
}

/** A number in a compute type; a float becomes an integer by dropping its fraction. */
export const round: Readonly<Record<DType, (x: number) => number>> = {
  f32: Math.fround,
  f64: (x) => x,
  i32: (x) => x | 0,
};

/** The unit roundoff of sums in a type; f64 only exists where it is IEEE's. */
export const roundoffOf = (type: DType, f32: number): number => (type === 'f64' ? 2 ** -53 : f32);

/** One number a bit pattern: −0 counts as +0, and every NaN as the same. */
export const same = (a: number, b: number): boolean => a === b || (a !== a && b !== b);

/** What memory holds that nobody has written: a NaN, or a number large enough to show in any sum. */
const POISON = [0x7fc00001, 0x4b000000]; // 0x4b000000: 2^23
const poisons = new Map<string, TypedArray>();

/** `length` elements of poison, of one kind or the other; to be read only. */
export function poison(type: Storage, length: number, kind: number): TypedArray {
  const key = `${type} ${kind % 2}`;
  let all = poisons.get(key);
  if (!all || all.length < length) {
    all = hostArray(type, 2 ** Math.ceil(Math.log2(Math.max(length, 1024))));
    new Uint32Array(all.buffer).fill(POISON[kind % 2]);
    if (length <= 2 ** 16) poisons.set(key, all);
  }
  return all.subarray(0, length);
}
