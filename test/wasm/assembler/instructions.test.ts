/** Every instruction that the assembler exports, read back by WABT and taken by the engine. */
import { beforeAll, describe, expect, it } from 'vitest';
import * as assembler from '../../../packages/wasm/src/assembler/index.ts';
import { hasFma } from '../../../packages/wasm/src/features.ts';
import { instructionsOf } from '../support/disassemble.ts';

const { assemble, Func } = assembler;
type Code = assembler.Code;
type ValueType = assembler.ValueType;

const types: Readonly<Record<string, ValueType>> = { i: 'i32', f: 'f32', d: 'f64', v: 'v128' };
/** What the specification says of them: operands, '>' and the result; a name behind '=' where ours is another. */
const plain: Readonly<Record<string, Readonly<Record<string, string>>>> = {
  i32: {
    'i>i': 'eqz',
    'ii>i': 'eq ne lt_s lt_u gt_s le_u ge_u add sub mul div_u rem_u and or xor shl shr_u rotl',
    'd>i': 'trunc_sat_f64_s',
  },
  f32: { 'f>f': 'sqrt', 'ff>f': 'add sub mul div max', 'ff>i': 'eq lt gt', 'i>f': 'convert_i32_s convert_i32_u', 'd>f': 'demote_f64' },
  f64: { 'd>d': 'sqrt', 'dd>d': 'add sub mul div max', 'dd>i': 'eq lt gt', 'i>d': 'convert_i32_s convert_i32_u', 'f>d': 'promote_f32' },
  v128: { 'v>v': 'not', 'vv>v': 'and andnot or xor', 'vvv>v': 'bitselect', 'v>i': 'any_true' },
  i8x16: { 'v>v': 'extend_low_u_to_i16x8=i16x8.extend_low_i8x16_u' },
  i32x4: {
    'i>v': 'splat',
    'v>v': 'neg abs trunc_sat_f32x4_s trunc_sat_f64x2_s_zero extend_low_i16x8_u',
    'vv>v': 'eq ne lt_s gt_s le_s ge_s add sub mul min_s max_s',
    'vi>v': 'shl shr_s shr_u',
  },
  f32x4: {
    'f>v': 'splat',
    'v>v': 'abs neg sqrt floor nearest convert_i32x4_s convert_i32x4_u demote_f64x2_zero',
    'vv>v': 'eq ne lt gt le ge add sub mul div min max pmin pmax',
    'vvv>v': 'relaxed_madd relaxed_nmadd',
  },
  f64x2: {
    'd>v': 'splat',
    'v>v': 'abs neg sqrt floor nearest convert_low_i32x4_s convert_low_i32x4_u promote_low_f32x4',
    'vv>v': 'eq ne lt gt le ge add sub mul div min max pmin pmax',
    'vvv>v': 'relaxed_madd relaxed_nmadd',
  },
}; // prettier-ignore

/** Those with an immediate: as they are called, and as they are to be read. */
const { i32, f32, f64, v128, i8x16, i32x4, f32x4, f64x2 } = assembler;
const named = { i32, f32, f64, v128, i8x16, i32x4, f32x4, f64x2 } as unknown as Readonly<
  Record<string, Readonly<Record<string, Row['write']>>>
>;
interface Row {
  /** `i32.load`: the assembler's name. */
  readonly name: string;
  readonly signature: string;
  readonly write: (...operands: Code[]) => Code;
  readonly read: string;
}
const row = (name: string, signature: string, write: Row['write'], read = name): Row => ({
  name,
  signature,
  write,
  read,
});
const FAR = 70000; // three bytes as an unsigned integer
const loads = (of: 'i32' | 'f32' | 'f64' | 'v128', result: string, ...names: string[]): Row[] =>
  names.flatMap((name) => {
    const load = named[of][name] as typeof i32.load;
    const natural = /16x4|64/.test(name)
      ? 8
      : /32/.test(name)
        ? 4
        : /16/.test(name)
          ? 2
          : /8/.test(name)
            ? 1
            : { i32: 4, f32: 4, f64: 8, v128: 16 }[of];
    const align = natural === 1 ? '' : ' align=1'; // said only where it is not the natural one
    return [
      row(`${of}.${name}`, `i>${result}`, (p) => load(p), `${of}.${name}${align}`),
      row(`${of}.${name}`, `i>${result}`, (p) => load(p, FAR), `${of}.${name} offset=${FAR}${align}`),
    ];
  });
const withImmediates: readonly Row[] = [
  row('i32.const', '>i', () => i32.const(-123456), 'i32.const -123456'),
  row('f32.const', '>f', () => f32.const(-1.5), 'f32.const -0x1.8p+0'),
  row('f64.const', '>d', () => f64.const(-12), 'f64.const -0x1.8p+3'),
  row('i32x4.const', '>v', () => i32x4.const(-2), 'v128.const i32x4 0xfffffffe 0xfffffffe 0xfffffffe 0xfffffffe'),
  row('i32x4.consts', '>v', () => i32x4.consts(1, 2, -3, 4), 'v128.const i32x4 0x00000001 0x00000002 0xfffffffd 0x00000004'),
  row('f32x4.const', '>v', () => f32x4.const(1), 'v128.const i32x4 0x3f800000 0x3f800000 0x3f800000 0x3f800000'),
  row('f64x2.const', '>v', () => f64x2.const(1), 'v128.const i32x4 0x00000000 0x3ff00000 0x00000000 0x3ff00000'),
  ...loads('i32', 'i', 'load', 'load8_u', 'load16_u'),
  ...loads('f32', 'f', 'load'),
  ...loads('f64', 'd', 'load'),
  ...loads('v128', 'v', 'load', 'load32_splat', 'load64_splat', 'load16x4_u', 'load32_zero', 'load64_zero'),
  row('i32.store', 'ii>', (p, v) => i32.store(p, v, 4), 'i32.store offset=4 align=1'),
  row('i32.store8', 'ii>', (p, v) => i32.store8(p, v), 'i32.store8'),
  row('f32.store', 'if>', (p, v) => f32.store(p, v), 'f32.store align=1'),
  row('f64.store', 'id>', (p, v) => f64.store(p, v, FAR), `f64.store offset=${FAR} align=1`),
  row('v128.store', 'iv>', (p, v) => v128.store(p, v, 16), 'v128.store offset=16 align=1'),
  row('v128.load32_lane', 'iv>v', (p, v) => v128.load32_lane(p, v, 3), 'v128.load32_lane align=1 3'),
  row('v128.load64_lane', 'iv>v', (p, v) => v128.load64_lane(p, v, 1), 'v128.load64_lane align=1 1'),
  row('v128.store32_lane', 'iv>', (p, v) => v128.store32_lane(p, v, 2, 8), 'v128.store32_lane offset=8 align=1 2'),
  row('v128.store64_lane', 'iv>', (p, v) => v128.store64_lane(p, v, 1), 'v128.store64_lane align=1 1'),
  row('i32x4.extract_lane', 'v>i', (v) => i32x4.extract_lane(v, 3), 'i32x4.extract_lane 3'),
  row('f32x4.extract_lane', 'v>f', (v) => f32x4.extract_lane(v, 2), 'f32x4.extract_lane 2'),
  row('f64x2.extract_lane', 'v>d', (v) => f64x2.extract_lane(v, 1), 'f64x2.extract_lane 1'),
  row('i32x4.replace_lane', 'vi>v', (v, x) => i32x4.replace_lane(v, 3, x), 'i32x4.replace_lane 3'),
  row('f32x4.replace_lane', 'vf>v', (v, x) => f32x4.replace_lane(v, 2, x), 'f32x4.replace_lane 2'),
  row('f64x2.replace_lane', 'vd>v', (v, x) => f64x2.replace_lane(v, 1, x), 'f64x2.replace_lane 1'),
  row('select', 'ffi>f', (a, b, c) => assembler.select(a, b, c)),
  row(
    'shuffle32', 'vv>v',
    (a, b) => assembler.shuffle32(a, b, [0, 5, 2, 7]),
    'i8x16.shuffle 0 1 2 3 20 21 22 23 8 9 10 11 28 29 30 31',
  ),
  row('memoryCopy', 'iii>', (a, b, c) => assembler.memoryCopy(a, b, c), 'memory.copy'),
]; // prettier-ignore

const withoutImmediates: readonly Row[] = Object.entries(plain).flatMap(([of, bySignature]) =>
  Object.entries(bySignature).flatMap(([signature, names]) =>
    names.split(' ').map((entry) => {
      const [name, read = `${of}.${entry}`] = entry.split('=');
      const make = named[of][name];
      return row(`${of}.${name}`, signature, make, read);
    }),
  ),
);
const table = [...withoutImmediates, ...withImmediates];

beforeAll(() => expect(hasFma(), 'this engine takes relaxed instructions').toBe(true));

it('the table has every instruction that there is', () => {
  const exported = Object.entries(named).flatMap(([of, all]) =>
    Object.keys(all).map((name) => `${of}.${name}`),
  );
  const listed = new Set(table.map(({ name }) => name));
  expect([...exported, 'select', 'shuffle32', 'memoryCopy'].sort()).toEqual([...listed].sort());
});

describe.each([
  ['memory of its own', false],
  ['shared memory', true],
])('with %s', (_, sharedMemory) => {
  it.each(table)('$read', ({ signature, write, read }) => {
    const [operands, result] = signature.split('>');
    const f = new Func('run', types[result]);
    f.body = write(...operands.split('').map((letter, i) => f.param(`x${i}`, types[letter])));
    const bytes = assemble({ sharedMemory, functions: [f] });
    expect(instructionsOf(bytes)).toEqual([...operands.split('').map((_, i) => `local.get ${i}`), read]);
    expect(WebAssembly.validate(bytes)).toBe(true);
  });
});
