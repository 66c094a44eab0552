/**
 * The transcendental functions of f32x4. Errors are the largest found among 250 million floats, every 17th there is,
 * against f64, in units in the last place, with fused multiply-add / without. test/wasm/kernels/math.test.ts measures a million of
 * them, and the floats around each place where a formula changes.
 *
 * | function | largest error |
 * |---|---|
 * | exp | 1.0 / 1.0 |
 * | log | 0.9 / 0.9 |
 * | tanh | 1.4 / 1.4 |
 * | sigmoid | 2.5 / 2.5 |
 * | erf | 1.1 / 1.3 |
 *
 * Polynomials were fitted by test/reference/minimax.py, if no other source is named.
 */
import { type Code, f32x4, i32, i32x4, type Local, v128 } from '../assembler/index.ts';
import { multiplyAdd } from './kernel.ts';
import type { Scope } from './scope.ts';

/** c[0] + c[1] x + c[2] x² + …, by Horner's rule. */
function polynomial(s: Scope, x: Code, coefficients: readonly number[]): Code {
  return coefficients.map((c): Code => s.f32(c)).reduceRight((sum, c) => multiplyAdd(s.target, sum, x, c));
}

/** ln 2 in two parts, the first so short that its product with a small integer is exact. */
const LN2_HIGH = 0.693359375;
const LN2_LOW = Math.LN2 - LN2_HIGH;

/** e^x = 2^n e^r with |r| ≤ ln 2 / 2: what gives n, and e^r, for x in a local and within exp's bounds. */
function exponent(s: Scope, x: Local): [set: Code, n: Local, power: Code] {
  const [n, r, whole] = [s.temp(), s.temp(), s.temp()];
  const c = [0.49999994, 0.16666521, 0.04166839, 0.0083687175, 0.0013814596];
  const set = [
    n.set(f32x4.nearest(f32x4.mul(x, s.f32(Math.LOG2E)))),
    r.set(multiplyAdd(s.target, n, s.f32(-LN2_HIGH), x)),
    r.set(multiplyAdd(s.target, n, s.f32(-LN2_LOW), r)),
    whole.set(i32x4.trunc_sat_f32x4_s(n)),
  ];
  const power = f32x4.add(multiplyAdd(s.target, f32x4.mul(r, r), polynomial(s, r, c), r), s.f32(1));
  return [set, whole, power];
}
/** 2^n for integers n from −126 to 127. */
const powerOf2 = (s: Scope, n: Code): Code => i32x4.shl(i32x4.add(n, s.i32(127)), i32.const(23));

/** 2^n is multiplied in two halves, so that subnormal results and those near the largest float are right. */
export function exp(s: Scope, value: Code): Code {
  const [x, half] = [s.temp(), s.temp()];
  const [set, n, power] = exponent(s, x);
  return [
    // pmin and pmax let NaN pass. Beyond these bounds e^x is 0 or infinite.
    x.set(f32x4.pmin(f32x4.pmax(value, s.f32(-104)), s.f32(89))),
    set,
    half.set(i32x4.shr_s(n, i32.const(1))),
    f32x4.mul(f32x4.mul(power, powerOf2(s, half)), powerOf2(s, i32x4.sub(n, half))),
  ];
}

/** exp for |x| ≤ 87, where 2^n is a normal number. */
function expInRange(s: Scope, value: Code): Code {
  const x = s.temp();
  const [set, n, power] = exponent(s, x);
  return [x.set(value), set, f32x4.mul(power, powerOf2(s, n))];
}

/** log x = e ln 2 + log m with m in [√½, √2): x's exponent and fraction. Coefficients: Cephes, logf. */
export function log(s: Scope, value: Code): Code {
  const [x, e, m, z, tiny, small] = [s.temp(), s.temp(), s.temp(), s.temp(), s.temp(), s.temp()];
  // prettier-ignore
  const c = [3.3333331174e-1, -2.4999993993e-1, 2.0000714765e-1, -1.6668057665e-1, 1.4249322787e-1, -1.2420140846e-1, 1.167699874e-1, -1.151461031e-1, 7.0376836292e-2];
  const p = f32x4.mul(f32x4.mul(z, m), polynomial(s, m, c));
  const result = s.temp();
  return [
    x.set(value),
    tiny.set(f32x4.lt(x, s.f32(2 ** -126))), // subnormal: made normal first
    m.set(v128.bitselect(f32x4.mul(x, s.f32(2 ** 23)), x, tiny)),
    e.set(i32x4.sub(i32x4.shr_s(m, i32.const(23)), v128.bitselect(s.i32(126 + 23), s.i32(126), tiny))),
    m.set(v128.or(v128.and(m, s.i32(0x007fffff)), s.f32(0.5))), // in [½, 1)
    small.set(f32x4.lt(m, s.f32(Math.SQRT1_2))),
    e.set(i32x4.add(e, small)), // a mask of ones is −1
    m.set(f32x4.sub(f32x4.add(m, v128.and(m, small)), s.f32(1))),
    e.set(f32x4.convert_i32x4_s(e)),
    z.set(f32x4.mul(m, m)),
    result.set(multiplyAdd(s.target, e, s.f32(LN2_LOW), p)),
    result.set(f32x4.sub(result, f32x4.mul(z, s.f32(0.5)))),
    result.set(multiplyAdd(s.target, e, s.f32(LN2_HIGH), f32x4.add(result, m))),
    // Infinity and NaN are themselves, 0 gives −∞, what is negative NaN.
    result.set(v128.bitselect(result, x, f32x4.lt(x, s.f32(Infinity)))),
    result.set(v128.bitselect(s.f32(-Infinity), result, f32x4.eq(x, s.f32(0)))),
    v128.or(result, f32x4.lt(x, s.f32(0))),
  ];
}

/** f(|x|) with the sign of x: odd functions are odd in every bit, and keep −0. `f` is given |x|, or `bound` if that is less. */
function odd(s: Scope, value: Code, bound: number, f: (a: Local) => Code): Code {
  const [setX, x] = s.named(value);
  const a = s.temp();
  // pmin lets NaN pass.
  return [setX, a.set(f32x4.pmin(f32x4.abs(x), s.f32(bound))), v128.or(f(a), v128.and(x, s.f32(-0)))];
}

/** tanh x = x + x³ P(x²) up to 0.6, and 1 − 2 / (e^2x + 1) above. */
export function tanh(s: Scope, value: Code): Code {
  // tanh 10 rounds to 1
  return odd(s, value, 10, (a) => {
    const z = s.temp();
    const P = [-0.333333, 0.13331924, -0.053783827, 0.020795964, -0.0058951504];
    const near = multiplyAdd(s.target, f32x4.mul(a, z), polynomial(s, z, P), a);
    const far = f32x4.sub(s.f32(1), f32x4.div(s.f32(2), f32x4.add(expInRange(s, f32x4.add(a, a)), s.f32(1))));
    return [z.set(f32x4.mul(a, a)), v128.bitselect(near, far, f32x4.lt(a, s.f32(0.6)))];
  });
}

/** 1 / (1 + e^−x), of negative x as e^x / (1 + e^x): e^−|x| cannot overflow. */
export function sigmoid(s: Scope, value: Code): Code {
  const [setX, x] = s.named(value);
  const e = s.temp();
  return [
    setX,
    e.set(exp(s, f32x4.neg(f32x4.abs(x)))),
    f32x4.div(v128.bitselect(e, s.f32(1), f32x4.lt(x, s.f32(0))), f32x4.add(e, s.f32(1))),
  ];
}

/** erf x = x + x P(x²) up to 1, and 1 − e^−Q(x) above. */
export function erf(s: Scope, value: Code): Code {
  // erf 4 rounds to 1
  return odd(s, value, 4, (a) => {
    const z = s.temp();
    // prettier-ignore
    const P = [0.12837917, -0.37612626, 0.112835854, -0.026853811, 0.0051883277, -0.00080101925, 0.00007853858];
    // prettier-ignore
    const Q = [0.00034151258, 1.1270893, 0.63814473, 0.10310682, -0.021838097, 0.002947667, -0.00018638009];
    const near = multiplyAdd(s.target, a, polynomial(s, z, P), a);
    const far = f32x4.sub(s.f32(1), expInRange(s, f32x4.neg(polynomial(s, a, Q))));
    return [z.set(f32x4.mul(a, a)), v128.bitselect(near, far, f32x4.lt(a, s.f32(1)))];
  });
}
