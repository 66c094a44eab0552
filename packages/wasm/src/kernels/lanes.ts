/**
 * How many elements a vector holds and how they come and go: four of f32 or i32, two of f64. Loads widen what is stored
 * more narrowly, stores convert to what is held.
 */
import { bytesOf, type DType, type Storage } from '@bax/core';
import { type Code, f32x4, f64x2, i32, i32x4, i8x16, type Local, select, v128, when } from '../assembler/index.ts'; // prettier-ignore
import type { Scope } from './scope.ts';

export interface Lanes {
  readonly type: DType;
  /** Elements in a vector. */
  readonly width: number;
  /** The elements from `address` on, side by side. It may read, though not use, some bytes beyond the last. */
  load(s: Scope, address: Code, storage: Storage): Code;
  /** The element at `address` in all lanes. */
  broadcast(s: Scope, address: Code, storage: Storage): Code;
  /** Elements `step` bytes apart, of which `left` exist. */
  gather(s: Scope, address: Code, storage: Storage, step: Code, left: Code): Code;
  /** Writes all lanes side by side. */
  store(address: Code, value: Code, storage: Storage): Code;
  /** Writes the first `left` lanes, `step` bytes apart. */
  scatter(s: Scope, address: Code, value: Code, storage: Storage, step: Code, left: Code): Code;
}

/** The bits of 16-bit floats as f32: moved to where f32 has them; a factor makes up for the exponents' other zero. */
function widenHalves(s: Scope, bits: Code): Code {
  const [set, h] = s.named(bits);
  const magnitude = v128.and(h, s.i32(0x7fff));
  return [
    set,
    v128.or(
      v128.or(
        i32x4.shl(v128.and(h, s.i32(0x8000)), i32.const(16)),
        f32x4.mul(i32x4.shl(magnitude, i32.const(13)), s.f32(2 ** 112)),
      ),
      v128.and(i32x4.ge_s(magnitude, s.i32(0x7c00)), s.f32(Infinity)),
    ),
  ];
}

/** What the lanes of each type read and write themselves; anything else comes and goes by way of a copy. */
export const reads: Readonly<Record<DType, readonly Storage[]>> = {
  f32: ['f32', 'i32', 'f16', 'bf16', 'u8', 'u32'],
  f64: ['f64', 'f32', 'i32', 'f16', 'bf16', 'u8', 'u32'],
  i32: ['i32', 'u8', 'u32'],
};
export const writes: Readonly<Record<DType, readonly Storage[]>> = {
  f32: ['f32', 'i32'],
  f64: ['f64', 'f32', 'i32'],
  i32: ['i32', 'u32', 'f32'],
};

/** Four elements' bits, one in each 32-bit lane. Only storage of at most four bytes. */
const loadBits = (address: Code, storage: Storage): Code =>
  bytesOf(storage) === 4
    ? v128.load(address)
    : bytesOf(storage) === 2
      ? v128.load16x4_u(address)
      : i32x4.extend_low_i16x8_u(i8x16.extend_low_u_to_i16x8(v128.load32_zero(address)));
const loadScalarBits = (address: Code, storage: Storage): Code =>
  ({ 4: i32.load, 2: i32.load16_u, 1: i32.load8_u })[bytesOf(storage)]!(address);

/** The lanes' bits as f32. */
function toF32(s: Scope, bits: Code, storage: Storage): Code {
  if (storage === 'f32') return bits;
  if (storage === 'f16') return widenHalves(s, bits);
  if (storage === 'bf16') return i32x4.shl(bits, i32.const(16));
  return storage === 'u32' ? f32x4.convert_i32x4_u(bits) : f32x4.convert_i32x4_s(bits);
}
function toF64(s: Scope, bits: Code, storage: Storage): Code {
  if (storage === 'i32' || storage === 'u8') return f64x2.convert_low_i32x4_s(bits);
  if (storage === 'u32') return f64x2.convert_low_i32x4_u(bits);
  return f64x2.promote_low_f32x4(toF32(s, bits, storage));
}
const toI32 = (_: Scope, bits: Code): Code => bits;

const fromF32 = (value: Code, storage: Storage): Code =>
  storage === 'i32' ? i32x4.trunc_sat_f32x4_s(value) : value;
function fromF64(value: Code, storage: Storage): Code {
  if (storage === 'f32') return f32x4.demote_f64x2_zero(value);
  return storage === 'i32' ? i32x4.trunc_sat_f64x2_s_zero(value) : value;
}
const fromI32 = (value: Code, storage: Storage): Code =>
  storage === 'f32' ? f32x4.convert_i32x4_s(value) : value;

/** The addresses of the lanes: those that do not exist repeat the last one's. */
function addresses(s: Scope, width: number, address: Code, step: Code, left: Code): [set: Code, at: Local[]] {
  const at = Array.from({ length: width }, () => s.temp('i32'));
  const set = at.map((p, lane) =>
    p.set(
      lane === 0
        ? address
        : select(i32.add(at[lane - 1], step), at[lane - 1], i32.lt_u(i32.const(lane), left)),
    ),
  );
  return [set, at];
}

/** Writes lane after lane of already converted values, as long as they exist. */
function scatterLanes(
  s: Scope,
  width: number,
  size: number,
  address: Code,
  bits: Code,
  step: Code,
  left: Code,
): Code {
  const [p, v] = [s.temp('i32'), s.temp()];
  const put = size === 8 ? v128.store64_lane : v128.store32_lane;
  return [
    p.set(address),
    v.set(bits),
    Array.from({ length: width }, (_, lane) =>
      when(i32.lt_u(i32.const(lane), left), [put(p, v, lane), p.set(i32.add(p, step))]),
    ),
  ];
}

/** Four lanes of 32 bits. */
function lanesOf32(
  type: 'f32' | 'i32',
  to: (s: Scope, bits: Code, storage: Storage) => Code,
  from: (value: Code, storage: Storage) => Code,
): Lanes {
  return {
    type,
    width: 4,
    load: (s, address, storage) => to(s, loadBits(address, storage), storage),
    broadcast: (s, address, storage) => to(s, i32x4.splat(loadScalarBits(address, storage)), storage),
    gather(s, address, storage, step, left) {
      const [set, at] = addresses(s, 4, address, step, left);
      const first = i32x4.splat(loadScalarBits(at[0], storage));
      const bits = [1, 2, 3].reduce(
        (v, lane) => i32x4.replace_lane(v, lane, loadScalarBits(at[lane], storage)),
        first,
      );
      return [set, to(s, bits, storage)];
    },
    store: (address, value, storage) => v128.store(address, from(value, storage)),
    scatter: (s, address, value, storage, step, left) =>
      scatterLanes(s, 4, 4, address, from(value, storage), step, left),
  };
}

/** Two lanes of f64; what is stored more narrowly comes by way of the two lower 32-bit lanes. */
const f64Lanes: Lanes = {
  type: 'f64',
  width: 2,
  load(s, address, storage) {
    if (storage === 'f64') return v128.load(address);
    return toF64(s, loadBits(address, storage), storage);
  },
  broadcast(s, address, storage) {
    if (storage === 'f64') return v128.load64_splat(address);
    return toF64(s, i32x4.splat(loadScalarBits(address, storage)), storage);
  },
  gather(s, address, storage, step, left) {
    const [set, [p, q]] = addresses(s, 2, address, step, left);
    if (storage === 'f64') return [set, v128.load64_lane(q, v128.load64_zero(p), 1)];
    const bits = i32x4.replace_lane(i32x4.splat(loadScalarBits(p, storage)), 1, loadScalarBits(q, storage));
    return [set, toF64(s, bits, storage)];
  },
  store(address, value, storage) {
    const bits = fromF64(value, storage);
    return storage === 'f64' ? v128.store(address, bits) : v128.store64_lane(address, bits, 0);
  },
  scatter: (s, address, value, storage, step, left) =>
    scatterLanes(s, 2, bytesOf(storage), address, fromF64(value, storage), step, left),
};

/** The arithmetic of each type's vectors. */
export const vectors: { readonly f32: typeof f32x4; readonly f64: typeof f64x2; readonly i32: typeof i32x4 } =
  {
    f32: f32x4,
    f64: f64x2,
    i32: i32x4,
  };

export const lanes: Readonly<Record<DType, Lanes>> = {
  f32: lanesOf32('f32', toF32, fromF32),
  i32: lanesOf32('i32', toI32, fromI32),
  f64: f64Lanes,
};
