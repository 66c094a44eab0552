/**
 * The machine's ceiling, measured beside what is compared with it: loops of multiply-adds that depend on nothing but
 * themselves, one thread, no memory. In WebAssembly four f32 at a time, with and without fused multiply-add (relaxed
 * SIMD); and in plain JavaScript, where numbers are f64.
 */
import { setFlagsFromString } from 'node:v8';
import { timed, type Contender } from './rounds.ts';

/** Independent sums: as many as hide the latency of an addition and, with two factors, fit the sixteen registers. */
const SUMS = 12;
const STEPS = 100_000;

/** A loop of `steps` multiply-adds on each sum. @returns the operations of one call. */
interface Loop {
  readonly flops: number;
  readonly call: () => void;
}

/** The ceilings as contenders: each "runs" `flops` operations in the time that its loop would need for them. */
export const ceilings = (flops: number): Contender[] => [
  contender('ceiling: JS f64 ·, +', flops, jsLoop),
  contender('ceiling: WASM f32×4 ·, +', flops, () => wasmLoop(false)),
  fmaCeiling(flops),
];
export const fmaCeiling = (flops: number): Contender =>
  contender('ceiling: WASM f32×4 FMA', flops, () => wasmLoop(true));

const contender = (name: string, flops: number, make: () => Loop): Contender => ({
  name,
  async open() {
    const loop = make();
    await timed(loop.call, 100); // until the optimising compiler has replaced the first code
    return { run: async () => ((await timed(loop.call, 40)) / loop.flops) * flops };
  },
});

let sink = 0;
function jsLoop(): Loop {
  return {
    flops: 2 * 8 * STEPS,
    call: () => {
      sink += multiplyAdds(STEPS, 0.999, 0.001 + sink * 1e-9);
    },
  };
}

function multiplyAdds(steps: number, a: number, b: number): number {
  let [s0, s1, s2, s3, s4, s5, s6, s7] = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8];
  for (let i = 0; i < steps; i++) {
    s0 = s0 * a + b;
    s1 = s1 * a + b;
    s2 = s2 * a + b;
    s3 = s3 * a + b;
    s4 = s4 * a + b;
    s5 = s5 * a + b;
    s6 = s6 * a + b;
    s7 = s7 * a + b;
  }
  return s0 + s1 + s2 + s3 + s4 + s5 + s6 + s7;
}

function wasmLoop(fused: boolean): Loop {
  const bytes = moduleBytes(fused);
  if (!WebAssembly.validate(bytes)) setFlagsFromString('--experimental-wasm-relaxed-simd'); // off in Node 20
  if (!WebAssembly.validate(bytes)) throw new Error('this engine has no relaxed SIMD');
  const { exports } = new WebAssembly.Instance(new WebAssembly.Module(bytes));
  const loop = exports['f'] as (steps: number) => number;
  return { flops: 2 * 4 * SUMS * STEPS, call: () => void loop(STEPS) };
}

/** (module (func (export "f") (param $n i32) (result f32) …)), a section a line. */
function moduleBytes(fused: boolean): Uint8Array<ArrayBuffer> {
  const body = [1, 2 + SUMS, V128, ...loopCode(fused), 0x0b]; // one group of locals, all v128
  return Uint8Array.from([
    0, 0x61, 0x73, 0x6d, 1, 0, 0, 0, // magic and version
    ...section(1, [1, 0x60, 1, I32, 1, F32]),
    ...section(3, [1, 0]),
    ...section(7, [1, 1, 0x66, 0, 0]), // function 0 as 'f'
    ...section(10, [1, ...unsigned(body.length), ...body]),
  ]); // prettier-ignore
}

const [I32, F32, V128] = [0x7f, 0x7d, 0x7b] as const;
/** Locals: 0 is n, then the factor and the addend, then the sums. */
const [N, A, B, FIRST] = [0, 1, 2, 3] as const;
const get = (local: number): number[] => [0x20, local];
const set = (local: number): number[] => [0x21, local];
const simd = (op: number): number[] => [0xfd, ...unsigned(op)];
const [SPLAT, LANE, ADD, MUL, MADD] = [0x13, 0x1f, 0xe4, 0xe6, 0x105] as const;

function loopCode(fused: boolean): number[] {
  const sums = Array.from({ length: SUMS }, (_, i) => FIRST + i);
  const start = (local: number, value: number): number[] => [...f32(value), ...simd(SPLAT), ...set(local)];
  // s = s · a + b
  const step = (s: number): number[] =>
    fused
      ? [...get(s), ...get(A), ...get(B), ...simd(MADD), ...set(s)]
      : [...get(s), ...get(A), ...simd(MUL), ...get(B), ...simd(ADD), ...set(s)];
  return [
    ...start(A, 0.999),
    ...start(B, 0.001),
    ...sums.flatMap((s, i) => start(s, i / SUMS)),
    0x03, 0x40, // loop
    ...sums.flatMap(step),
    ...get(N), 0x41, 1, 0x6b, 0x22, N, 0x0d, 0, 0x0b, // while (--n)
    ...sums.flatMap((s, i) => (i === 0 ? get(s) : [...get(s), ...simd(ADD)])), // so that no sum is left out
    ...simd(LANE), 0,
  ]; // prettier-ignore
}

const f32 = (value: number): number[] => [0x43, ...new Uint8Array(Float32Array.of(value).buffer)];
const section = (id: number, bytes: readonly number[]): number[] => [id, ...unsigned(bytes.length), ...bytes];
/** LEB128. */
function unsigned(n: number): number[] {
  return n < 0x80 ? [n] : [(n & 0x7f) | 0x80, ...unsigned(n >>> 7)];
}
