/**
 * The transcendental functions of f32x4. Errors are the largest found by a sweep over the function's whole domain
 * against f64, in units in the last place (test/wasm/math.test.ts repeats it), with fused multiply-add / without.
 *
 * | function | largest error |
 * |---|---|
 * | exp | 1 / 1 |
 * | log | 1 / 1 |
 * | tanh | 3 / 3 |
 * | sigmoid | 3 / 3 |
 * | erf | 2 / 2 |
 *
 * Polynomials were fitted by test/reference/minimax.py, if no other source is named.
 */
import { type Code, f32x4, i32, i32x4, v128 } from '../assembler/index.ts';
import { multiplyAdd } from './kernel.ts';
import type { Scope } from './scope.ts';

/** c[0] + c[1] x + c[2] x² + …, by Horner's rule. */
function polynomial(s: Scope, x: Code, coefficients: readonly number[]): Code {
  return coefficients
    .map((c): Code => s.f32(c))
    .reduceRight((sum, c) => multiplyAdd(s.target, sum, x, c));
}

/** ln 2 in two parts, the first so short that its product with a small integer is exact. */
const LN2_HIGH = 0.693359375;
const LN2_LOW = -2.12194440054690583e-4;

/**
 * e^x = 2^n e^r with |r| ≤ ln 2 / 2. 2^n is multiplied in two halves, so that subnormal results and those near the
 * largest float are right.
 */
export function exp(s: Scope, value: Code): Code {
  const [x, n, r, whole, half] = [s.temp(), s.temp(), s.temp(), s.temp(), s.temp()];
  // pmin and pmax let NaN pass. Beyond these bounds e^x is 0 or infinite.
  const clamped = f32x4.pmin(f32x4.pmax(value, s.f32(-104)), s.f32(89));
  const powerOf2 = (n: Code): Code => i32x4.shl(i32x4.add(n, s.i32(127)), i32.const(23));
  const c = [0.49999994, 0.16666521, 0.04166839, 0.008368718, 0.0013814596];
  return [
    x.set(clamped),
    n.set(f32x4.nearest(f32x4.mul(x, s.f32(Math.LOG2E)))),
    r.set(multiplyAdd(s.target, n, s.f32(-LN2_HIGH), x)),
    r.set(multiplyAdd(s.target, n, s.f32(-LN2_LOW), r)),
    whole.set(i32x4.trunc_sat_f32x4_s(n)),
    half.set(i32x4.shr_s(whole, i32.const(1))),
    f32x4.mul(
      f32x4.mul(
        f32x4.add(multiplyAdd(s.target, f32x4.mul(r, r), polynomial(s, r, c), r), s.f32(1)),
        powerOf2(half),
      ),
      powerOf2(i32x4.sub(whole, half)),
    ),
  ];
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

/** tanh x as a quotient of polynomials of degree 13 and 6 up to ±7.9, where f32 reaches ±1. Coefficients: Eigen, ptanh_float. */
export function tanh(s: Scope, value: Code): Code {
  const [x, z] = [s.temp(), s.temp()];
  const BOUND = 7.90531110763549805;
  // prettier-ignore
  const odd = [4.89352455891786e-3, 6.37261928875436e-4, 1.48572235717979e-5, 5.12229709037114e-8, -8.60467152213735e-11, 2.00018790482477e-13, -2.76076847742355e-16];
  const even = [4.89352518554385e-3, 2.268434632439e-3, 1.18534705686654e-4, 1.19825839466702e-6];
  const quotient = f32x4.div(f32x4.mul(x, polynomial(s, z, odd)), polynomial(s, z, even));
  return [
    x.set(f32x4.pmin(f32x4.pmax(value, s.f32(-BOUND)), s.f32(BOUND))),
    z.set(f32x4.mul(x, x)),
    // Below 0.0004 tanh x rounds to x, which the quotient of the first coefficients does not quite.
    v128.bitselect(x, quotient, f32x4.lt(f32x4.abs(x), s.f32(0.0004))),
  ];
}

/** 1 / (1 + e^−x), of negative x as e^x / (1 + e^x): e^−|x| cannot overflow. */
export function sigmoid(s: Scope, value: Code): Code {
  const [setX, x] = s.named(value);
  const e = s.temp();
  return [
    setX,
    e.set(exp(s, f32x4.neg(f32x4.abs(x)))),
    f32x4.div(
      v128.bitselect(e, s.f32(1), f32x4.lt(x, s.f32(0))),
      f32x4.add(e, s.f32(1)),
    ),
  ];
}

/** erf x = x P(x²) up to 1, and 1 − e^−Q(|x|) with x's sign above. */
export function erf(s: Scope, value: Code): Code {
  const [setX, x] = s.named(value);
  const [a, far, q] = [s.temp(), s.temp(), s.temp()];
  // prettier-ignore
  const P = [1.1283791, -0.37612626, 0.11283585, -0.026853811, 0.0051883277, -0.00080101925, 7.853858e-5];
  // prettier-ignore
  const Q = [0.00034151258, 1.1270893, 0.6381447, 0.10310682, -0.021838097, 0.002947667, -0.00018638009];
  const near = f32x4.mul(x, polynomial(s, f32x4.mul(x, x), P));
  return [
    setX,
    a.set(f32x4.pmin(f32x4.abs(x), s.f32(4))), // erf 4 rounds to 1
    q.set(exp(s, f32x4.neg(polynomial(s, a, Q)))),
    far.set(v128.or(f32x4.sub(s.f32(1), q), v128.and(x, s.f32(-0)))),
    v128.bitselect(near, far, f32x4.lt(f32x4.abs(x), s.f32(1))),
  ];
}
