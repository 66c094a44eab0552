/**
 * The instructions that a kernel of ours uses, by the names of the specification: `f32x4.add(a, b)` is the code of a,
 * the code of b, the opcode. https://webassembly.github.io/spec/core/binary/instructions.html
 */
import type { Code } from './code.ts';
import { signed, unsigned } from './leb128.ts';

type Unary = (a: Code) => Code;
type Binary = (a: Code, b: Code) => Code;
type Ternary = (a: Code, b: Code, c: Code) => Code;
/** `offset` bytes are added to the address. */
type Load = (address: Code, offset?: number) => Code;
type StoreLane = (address: Code, vector: Code, lane: number, offset?: number) => Code;
type Store = (address: Code, value: Code, offset?: number) => Code;

const plain =
  (...opcode: readonly number[]) =>
  (...operands: readonly Code[]): Code => [...operands, ...opcode];
/** SIMD instructions are numbered behind the prefix 0xfd. */
const simd = (number: number): ((...operands: readonly Code[]) => Code) => plain(0xfd, ...unsigned(number));
/** Saturating conversions are behind the prefix 0xfc. */
const saturating = (number: number): ((a: Code) => Code) => plain(0xfc, ...unsigned(number));

/** Unaligned addresses are legal everywhere: the alignment is a hint, and ours promises nothing (2^0). */
const access = (offset: number): number[] => [0, ...unsigned(offset)];
const load =
  (...opcode: readonly number[]): Load =>
  (address, offset = 0) => [address, ...opcode, ...access(offset)];
const store =
  (...opcode: readonly number[]): Store =>
  (address, value, offset = 0) => [address, value, ...opcode, ...access(offset)];
const simdLoad = (number: number): Load => load(0xfd, ...unsigned(number));
const loadLane =
  (number: number) =>
  (address: Code, vector: Code, lane: number): Code => [
    address,
    vector,
    0xfd,
    ...unsigned(number),
    ...access(0),
    lane,
  ];
const storeLane =
  (number: number) =>
  (address: Code, vector: Code, lane: number, offset = 0): Code => [
    address, vector, 0xfd, ...unsigned(number), ...access(offset), lane,
  ]; // prettier-ignore
const extractLane =
  (number: number) =>
  (vector: Code, lane: number): Code => [vector, 0xfd, ...unsigned(number), lane];
const replaceLane =
  (number: number) =>
  (vector: Code, lane: number, value: Code): Code => [vector, value, 0xfd, ...unsigned(number), lane];

const bytesOfF32 = (value: number): number[] => [...new Uint8Array(Float32Array.of(value).buffer)];
const bytesOfF64 = (value: number): number[] => [...new Uint8Array(Float64Array.of(value).buffer)];
const bytesOfI32 = (value: number): number[] => [...new Uint8Array(Int32Array.of(value).buffer)];

interface Integer {
  const(value: number): Code;
  load: Load; load8_u: Load; load16_u: Load;
  store: Store; store8: Store;
  eqz: Unary; eq: Binary; ne: Binary; lt_s: Binary; lt_u: Binary; gt_s: Binary; ge_u: Binary; le_u: Binary;
  add: Binary; sub: Binary; mul: Binary; div_u: Binary; rem_u: Binary; and: Binary; or: Binary; xor: Binary;
  shl: Binary; shr_u: Binary; rotl: Binary;
  trunc_sat_f64_s: Unary;
} // prettier-ignore
export const i32: Integer = {
  const: (value) => [0x41, ...signed(value)],
  load: load(0x28), load8_u: load(0x2d), load16_u: load(0x2f),
  store: store(0x36), store8: store(0x3a),
  eqz: plain(0x45), eq: plain(0x46), ne: plain(0x47), lt_s: plain(0x48), lt_u: plain(0x49), gt_s: plain(0x4a), le_u: plain(0x4d), ge_u: plain(0x4f),
  add: plain(0x6a), sub: plain(0x6b), mul: plain(0x6c), div_u: plain(0x6e), rem_u: plain(0x70), and: plain(0x71), or: plain(0x72), xor: plain(0x73),
  shl: plain(0x74), shr_u: plain(0x76), rotl: plain(0x77),
  trunc_sat_f64_s: saturating(2),
}; // prettier-ignore

interface Float {
  const(value: number): Code;
  load: Load; store: Store;
  eq: Binary; lt: Binary; gt: Binary;
  add: Binary; sub: Binary; mul: Binary; div: Binary; sqrt: Unary; max: Binary;
  convert_i32_s: Unary; convert_i32_u: Unary;
} // prettier-ignore
export const f32: Float & { demote_f64: Unary } = {
  const: (value) => [0x43, ...bytesOfF32(value)],
  load: load(0x2a), store: store(0x38),
  eq: plain(0x5b), lt: plain(0x5d), gt: plain(0x5e),
  sqrt: plain(0x91), add: plain(0x92), sub: plain(0x93), mul: plain(0x94), div: plain(0x95), max: plain(0x97),
  convert_i32_s: plain(0xb2), convert_i32_u: plain(0xb3), demote_f64: plain(0xb6),
}; // prettier-ignore
export const f64: Float & { promote_f32: Unary } = {
  const: (value) => [0x44, ...bytesOfF64(value)],
  load: load(0x2b), store: store(0x39),
  eq: plain(0x61), lt: plain(0x63), gt: plain(0x64),
  sqrt: plain(0x9f), add: plain(0xa0), sub: plain(0xa1), mul: plain(0xa2), div: plain(0xa3), max: plain(0xa5),
  convert_i32_s: plain(0xb7), convert_i32_u: plain(0xb8), promote_f32: plain(0xbb),
}; // prettier-ignore
/** a if the condition (the last operand) is not 0, else b. */
export const select: Ternary = plain(0x1b);

interface Vector {
  load: Load; load32_splat: Load; load64_splat: Load; load16x4_u: Load; load32_zero: Load; load64_zero: Load;
  load32_lane(address: Code, vector: Code, lane: number): Code;
  load64_lane(address: Code, vector: Code, lane: number): Code;
  store: Store;
  store32_lane: StoreLane; store64_lane: StoreLane;
  not: Unary; and: Binary; andnot: Binary; or: Binary; xor: Binary;
  /** Bits of a where the mask (the last operand) has ones, else of b. */
  bitselect: Ternary;
  any_true: Unary;
} // prettier-ignore
export const v128: Vector = {
  load: simdLoad(0x00), load32_splat: simdLoad(0x09), load64_splat: simdLoad(0x0a), load16x4_u: simdLoad(0x04),
  load32_zero: simdLoad(0x5c), load64_zero: simdLoad(0x5d),
  load32_lane: loadLane(0x56), load64_lane: loadLane(0x57),
  store: store(0xfd, ...unsigned(0x0b)),
  store32_lane: storeLane(0x5a), store64_lane: storeLane(0x5b),
  not: simd(0x4d), and: simd(0x4e), andnot: simd(0x4f), or: simd(0x50), xor: simd(0x51),
  bitselect: simd(0x52), any_true: simd(0x53),
}; // prettier-ignore

/** Lane i of the result is lane `lanes[i]` of the eight 32-bit lanes of a and b. */
export const shuffle32 = (a: Code, b: Code, lanes: readonly [number, number, number, number]): Code => [
  a, b, 0xfd, 0x0d, ...lanes.flatMap((lane) => [4 * lane, 4 * lane + 1, 4 * lane + 2, 4 * lane + 3]),
]; // prettier-ignore

export const i8x16: { extend_low_u_to_i16x8: Unary } = { extend_low_u_to_i16x8: simd(0x89) };

interface IntegerVector {
  /** The value in all lanes. */
  const(value: number): Code;
  consts(a: number, b: number, c: number, d: number): Code;
  splat: Unary;
  extract_lane(vector: Code, lane: number): Code;
  replace_lane(vector: Code, lane: number, value: Code): Code;
  eq: Binary; ne: Binary; lt_s: Binary; gt_s: Binary; le_s: Binary; ge_s: Binary;
  add: Binary; sub: Binary; mul: Binary; neg: Unary; abs: Unary; min_s: Binary; max_s: Binary;
  /** By a number of bits (i32) that is the same for all lanes. */
  shl: Binary; shr_s: Binary; shr_u: Binary;
  trunc_sat_f32x4_s: Unary; trunc_sat_f64x2_s_zero: Unary; extend_low_i16x8_u: Unary;
} // prettier-ignore
export const i32x4: IntegerVector = {
  const: (value) => i32x4.consts(value, value, value, value),
  consts: (...values) => [0xfd, 0x0c, ...values.flatMap(bytesOfI32)],
  splat: simd(0x11), extract_lane: extractLane(0x1b), replace_lane: replaceLane(0x1c),
  eq: simd(0x37), ne: simd(0x38), lt_s: simd(0x39), gt_s: simd(0x3b), le_s: simd(0x3d), ge_s: simd(0x3f),
  add: simd(0xae), sub: simd(0xb1), mul: simd(0xb5), neg: simd(0xa1), abs: simd(0xa0), min_s: simd(0xb6), max_s: simd(0xb8),
  shl: simd(0xab), shr_s: simd(0xac), shr_u: simd(0xad),
  trunc_sat_f32x4_s: simd(0xf8), trunc_sat_f64x2_s_zero: simd(0xfc), extend_low_i16x8_u: simd(0xa9),
}; // prettier-ignore

interface FloatVector {
  /** The value in all lanes. */
  const(value: number): Code;
  splat: Unary;
  extract_lane(vector: Code, lane: number): Code;
  replace_lane(vector: Code, lane: number, value: Code): Code;
  eq: Binary; ne: Binary; lt: Binary; gt: Binary; le: Binary; ge: Binary;
  abs: Unary; neg: Unary; sqrt: Unary; floor: Unary; nearest: Unary;
  add: Binary; sub: Binary; mul: Binary; div: Binary; min: Binary; max: Binary;
  /** b < a ? b : a, and a < b ? b : a: one instruction each, where min and max need several. */
  pmin: Binary; pmax: Binary;
  /** a · b + c, and c − a · b, rounded once. Relaxed: only where the engine has fused multiply-add. */
  relaxed_madd: Ternary; relaxed_nmadd: Ternary;
} // prettier-ignore
export const f32x4: FloatVector & { convert_i32x4_s: Unary; convert_i32x4_u: Unary; demote_f64x2_zero: Unary } = {
  const: (value) => [0xfd, 0x0c, ...[0, 0, 0, 0].flatMap(() => bytesOfF32(value))],
  splat: simd(0x13), extract_lane: extractLane(0x1f), replace_lane: replaceLane(0x20),
  eq: simd(0x41), ne: simd(0x42), lt: simd(0x43), gt: simd(0x44), le: simd(0x45), ge: simd(0x46),
  abs: simd(0xe0), neg: simd(0xe1), sqrt: simd(0xe3), floor: simd(0x68), nearest: simd(0x6a),
  add: simd(0xe4), sub: simd(0xe5), mul: simd(0xe6), div: simd(0xe7), min: simd(0xe8), max: simd(0xe9), pmin: simd(0xea), pmax: simd(0xeb),
  relaxed_madd: simd(0x105), relaxed_nmadd: simd(0x106),
  convert_i32x4_s: simd(0xfa), convert_i32x4_u: simd(0xfb), demote_f64x2_zero: simd(0x5e),
}; // prettier-ignore
export const f64x2: FloatVector & { convert_low_i32x4_s: Unary; convert_low_i32x4_u: Unary; promote_low_f32x4: Unary } = {
  const: (value) => [0xfd, 0x0c, ...bytesOfF64(value), ...bytesOfF64(value)],
  splat: simd(0x14), extract_lane: extractLane(0x21), replace_lane: replaceLane(0x22),
  eq: simd(0x47), ne: simd(0x48), lt: simd(0x49), gt: simd(0x4a), le: simd(0x4b), ge: simd(0x4c),
  abs: simd(0xec), neg: simd(0xed), sqrt: simd(0xef), floor: simd(0x75), nearest: simd(0x94),
  add: simd(0xf0), sub: simd(0xf1), mul: simd(0xf2), div: simd(0xf3), min: simd(0xf4), max: simd(0xf5), pmin: simd(0xf6), pmax: simd(0xf7),
  relaxed_madd: simd(0x107), relaxed_nmadd: simd(0x108),
  convert_low_i32x4_s: simd(0xfe), convert_low_i32x4_u: simd(0xff), promote_low_f32x4: simd(0x5f),
}; // prettier-ignore

/** Copies bytes; the ranges may overlap. */
export const memoryCopy: Ternary = (to, from, bytes) => [to, from, bytes, 0xfc, 0x0a, 0, 0];
