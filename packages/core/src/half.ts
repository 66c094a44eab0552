// The two 16-bit floats that models are stored in, as raw patterns in a Uint16Array (Node 20 has no Float16Array).
// Everything works on bits and never lets JavaScript see the numbers, so NaN payloads and signed zeros survive.
//
//   f16   1 sign, 5 exponent, 10 mantissa bits: IEEE 754 binary16
//   bf16  1 sign, 8 exponent,  7 mantissa bits: the upper half of an f32
import type { DType, HalfFloat, HostArrays, Storage, TypedArray } from './dtype.ts';
import { BaxError } from './errors.ts';

/** The f32 bits of all 65,536 f16 patterns. */
let table: Uint32Array | undefined;

/** For each sign and exponent of an f32 (its upper 9 bits): what to shift the mantissa by, and what to add to it. */
let steps: { shift: Uint8Array; base: Uint16Array } | undefined;

/** Every f16 is an f32: exact, for all 65,536 patterns. Fills and returns `out`; throws if the lengths differ. */
export function f16ToF32(x: Uint16Array, out: Float32Array = new Float32Array(x.length)): Float32Array {
  const bits = bitsOf(out, x);
  table ??= Uint32Array.from({ length: 65536 }, (_, pattern) => widen(pattern));
  const known = table;
  for (let i = 0; i < x.length; i++) bits[i] = known[x[i]!]!;
  return out;
}

/**
 * The nearest f16, ties to even; from 65520 on infinity, NaN stays NaN. Undoes `f16ToF32` bit for bit.
 * Fills and returns `out`; throws if the lengths differ.
 */
export function f32ToF16(x: Float32Array, out: Uint16Array = new Uint16Array(x.length)): Uint16Array {
  const bits = bitsOf(x, out);
  steps ??= narrowing();
  const { shift, base } = steps;
  for (let i = 0; i < bits.length; i++) {
    const b = bits[i]!;
    if ((b & 0x7fffffff) > 0x7f800000) {
      out[i] = ((b >>> 16) & 0x8000) | 0x7c00 | ((b >>> 13) & 0x3ff || 1);
      continue;
    }
    const s = shift[b >>> 23]!;
    const mantissa = (b & 0x7fffff) | 0x800000;
    const kept = mantissa >>> s;
    const rest = mantissa & ((1 << s) - 1);
    const half = 1 << (s - 1);
    // Rounding up may carry into the exponent: the next binade, or infinity, which is what it should be.
    out[i] = base[b >>> 23]! + kept + (rest > half || (rest === half && (kept & 1) === 1) ? 1 : 0);
  }
  return out;
}

/** Every bf16 is an f32 with its lower half zero: exact. Fills and returns `out`; throws if the lengths differ. */
export function bf16ToF32(x: Uint16Array, out: Float32Array = new Float32Array(x.length)): Float32Array {
  const bits = bitsOf(out, x);
  for (let i = 0; i < x.length; i++) bits[i] = x[i]! << 16;
  return out;
}

/**
 * The nearest bf16, ties to even; NaN stays NaN. Undoes `bf16ToF32` bit for bit.
 * Fills and returns `out`; throws if the lengths differ.
 */
export function f32ToBf16(x: Float32Array, out: Uint16Array = new Uint16Array(x.length)): Uint16Array {
  const bits = bitsOf(x, out);
  for (let i = 0; i < bits.length; i++) {
    const b = bits[i]!;
    const nan = (b & 0x7fffffff) > 0x7f800000;
    // A NaN whose payload lies in the lower half alone would become infinity: set a bit that stays.
    out[i] = nan ? (b >>> 16) | ((b & 0x7f0000) === 0 ? 1 : 0) : (b + 0x7fff + ((b >>> 16) & 1)) >>> 16;
  }
  return out;
}

/**
 * The numbers in f16 or bf16, each rounded once, to nearest even, also from f64: by way of an f32 that keeps a trace of what
 * it drops (rounding to odd), so that nothing becomes a tie that was none.
 */
export function narrowed(type: HalfFloat, numbers: ArrayLike<number>): Uint16Array {
  const floats = numbers instanceof Float32Array ? numbers : Float32Array.from(numbers);
  if (floats !== numbers) {
    const bits = bitsOf(floats, numbers);
    for (let i = 0; i < floats.length; i++) {
      const [exact, near] = [numbers[i]!, floats[i]!];
      if (near === exact || exact !== exact) continue;
      if (Math.abs(near) > Math.abs(exact)) bits[i]!--; // back towards zero
      bits[i]! |= 1;
    }
  }
  return type === 'f16' ? f32ToF16(floats) : f32ToBf16(floats);
}

/** The bits of `floats`, once it is as long as `other`. */
function bitsOf(floats: Float32Array, other: ArrayLike<number>): Uint32Array {
  if (floats.length !== other.length) {
    throw new BaxError(
      `half: ${floats.length} f32 numbers cannot fill ${other.length} 16-bit ones or be filled by them`,
    );
  }
  return new Uint32Array(floats.buffer, floats.byteOffset, floats.length);
}

/** The f32 bits of one f16 pattern. */
function widen(pattern: number): number {
  const sign = (pattern & 0x8000) << 16;
  const exponent = (pattern >>> 10) & 31;
  const mantissa = pattern & 0x3ff;
  if (exponent === 31) return sign | 0x7f800000 | (mantissa << 13);
  if (exponent > 0) return sign | ((exponent + 112) << 23) | (mantissa << 13);
  if (mantissa === 0) return sign;
  // Subnormal: m / 2^24. Bring the leading one to bit 10; each place is one less in the exponent.
  const places = Math.clz32(mantissa) - 21;
  return sign | ((113 - places) << 23) | (((mantissa << places) & 0x3ff) << 13);
}

/** f32 exponent e + 127 becomes f16 exponent e + 15, so 112 less. */
function narrowing(): { shift: Uint8Array; base: Uint16Array } {
  const shift = new Uint8Array(512);
  const base = new Uint16Array(512);
  for (let i = 0; i < 512; i++) {
    const sign = (i & 256) << 7;
    const exponent = (i & 255) - 112;
    if (exponent >= 31) {
      shift[i] = 25; // too large: the whole mantissa is dropped, the base is infinity
      base[i] = sign | 0x7c00;
    } else if (exponent > 0) {
      shift[i] = 13; // the leading one that is kept adds 1 to the exponent field, so take it off here
      base[i] = sign | ((exponent - 1) << 10);
    } else {
      shift[i] = Math.min(14 - exponent, 25); // subnormal; 25 places leave less than half of the smallest: zero
      base[i] = sign;
    }
  }
  return { shift, base };
}

/** The numbers of a host array of that storage, in the array of the dtype that it computes as; itself if it is that. */
export function valuesOf(type: Storage, held: TypedArray): HostArrays[DType] {
  if (held instanceof Uint16Array) return type === 'bf16' ? bf16ToF32(held) : f16ToF32(held);
  if (held instanceof Uint8Array || held instanceof Uint32Array) return Int32Array.from(held);
  return held;
}
