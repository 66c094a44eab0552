/**
 * The scalar functions of core's expressions in WGSL, on numbers or on four at a time (V). Those whose native forms are
 * too coarse on some adapter (tanh, sin and cos may be off by 2^-11, pow knows no negative base) are written out here;
 * the polynomials are those of @bax/wasm's math.ts and of Cephes' sinf and cosf (https://www.netlib.org/cephes/).
 */
import type { DType, Expr, expr } from '@bax/core';

/** f32 numbers as WGSL writes them. */
export const float = (value: number): string => {
  const text = String(Math.fround(value));
  return `${/[.e]/.test(text) ? text : `${text}.0`}f`;
};

const horner = (x: string, coefficients: readonly number[]): string =>
  coefficients.map((c) => `V(${float(c)})`).reduceRight((sum, c) => `(${sum} * ${x} + ${c})`);

// prettier-ignore
const ERF_NEAR = [0.12837917, -0.37612626, 0.112835854, -0.026853811, 0.0051883277, -0.00080101925, 0.00007853858];
// prettier-ignore
const ERF_FAR = [0.00034151258, 1.1270893, 0.63814473, 0.10310682, -0.021838097, 0.002947667, -0.00018638009];
const TANH_NEAR = [-0.333333, 0.13331924, -0.053783827, 0.020795964, -0.0058951504];

/** sin or cos: x = n π/2 + r with |r| ≤ π/4, and of n's quadrant the right polynomial in r. */
const turning = (name: string, shift: string): string => `
fn ${name}_(x: V) -> V {
  let n = round(x * V(${float(2 / Math.PI)}));
  let r = ((x - n * V(1.5703125f)) - n * V(4.837512969970703e-4f)) - n * V(7.549789948768648e-8f);
  let z = r * r;
  let s = r + r * z * ${horner('z', [-1.6666654611e-1, 8.3321608736e-3, -1.9515295891e-4])};
  let c = V(1.0f) - V(0.5f) * z + z * z * ${horner('z', [4.166664568298827e-2, -1.388731625493765e-3, 2.443315711809948e-5])};
  let q = n${shift} - V(4.0f) * floor((n${shift}) * V(0.25f));
  let even = select(c, s, q * V(0.5f) == floor(q * V(0.5f)));
  return select(even, -even, q >= V(2.0f));
}`;

const definitions: Partial<Record<expr.Fn, string>> = {
  tanh: `
fn tanh_(x: V) -> V {
  let a = min(abs(x), V(10.0f));
  let z = a * a;
  let near = a + a * z * ${horner('z', TANH_NEAR)};
  let far = V(1.0f) - V(2.0f) / (exp(a + a) + V(1.0f));
  let y = select(far, near, a < V(0.6f));
  return select(y, -y, x < V(0.0f));
}`,
  sigmoid: `
fn sigmoid_(x: V) -> V {
  let e = exp(-abs(x));
  return select(V(1.0f), e, x < V(0.0f)) / (V(1.0f) + e);
}`,
  erf: `
fn erf_(x: V) -> V {
  let a = min(abs(x), V(4.0f));
  let z = a * a;
  let near = a + a * ${horner('z', ERF_NEAR)};
  let far = V(1.0f) - exp(-${horner('a', ERF_FAR)});
  let y = select(far, near, a < V(1.0f));
  return select(y, -y, x < V(0.0f));
}`,
  sin: turning('sin', ''),
  cos: turning('cos', ' + V(1.0f)'),
  pow: `
fn pow_(x: V, y: V) -> V {
  let size = exp2(y * log2(abs(x)));
  let whole = floor(y) == y;
  let odd = floor(y * V(0.5f)) * V(2.0f) != y;
  let signed = select(size, select(log2(x), select(size, -size, odd), whole), x < V(0.0f));
  return select(select(signed, V(0.0f), x == V(0.0f)), V(1.0f), y == V(0.0f));
}`,
};

/** The definitions of the functions that are called. */
export const library = (called: Iterable<expr.Fn>): string =>
  [...new Set(called)].map((fn) => definitions[fn] ?? '').join('\n');

export const isComparison = (node: Expr): boolean =>
  node.kind === 'call' && (node.fn === 'lt' || node.fn === 'le' || node.fn === 'eq');

type Emit = (a: string, b: string, c: string, nodes: readonly Expr[]) => string;
const infix =
  (sign: string): Emit =>
  (a, b) =>
    `${a} ${sign} ${b}`;
const named =
  (name: string): Emit =>
  (a) =>
    `${name}(${a})`;

const both: Partial<Record<expr.Fn, Emit>> = {
  add: infix('+'),
  sub: infix('-'),
  mul: infix('*'),
  div: infix('/'),
  lt: infix('<'),
  le: infix('<='),
  eq: infix('=='),
  neg: (a) => `-${a}`,
  abs: named('abs'),
  min: (a, b) => `min(${a}, ${b})`,
  max: (a, b) => `max(${a}, ${b})`,
  select: (c, a, b, [condition]) => `select(${b}, ${a}, ${isComparison(condition) ? c : `${c} != V(0)`})`,
};

/** x to a small whole power, as products: exact on integers, for either sign. */
function wholePower(x: string, n: number): string {
  const product = Array.from({ length: Math.abs(n) }, () => x).join(' * ');
  return n === 0 ? 'V(1.0f)' : n > 0 ? product : `V(1.0f) / (${product})`;
}

const emitters: Readonly<Record<'f32' | 'i32', Partial<Record<expr.Fn, Emit>>>> = {
  f32: {
    ...both,
    floor: named('floor'),
    exp: named('exp'),
    log: named('log'),
    sqrt: named('sqrt'),
    tanh: named('tanh_'),
    sigmoid: named('sigmoid_'),
    erf: named('erf_'),
    sin: named('sin_'),
    cos: named('cos_'),
    pow(x, y, _, [, exponent]) {
      const whole =
        exponent.kind === 'const' && Number.isInteger(exponent.value) && Math.abs(exponent.value) <= 8;
      return whole ? wholePower(x, exponent.value) : `pow_(${x}, ${y})`;
    },
  },
  i32: {
    ...both,
    floor: (a) => a,
    ushr: (a, b) => `bitcast<V>(bitcast<U>(${a}) >> bitcast<U>(${b}))`,
  },
};

/** The WGSL of one call, whose arguments are names. A comparison gives a bool. */
export function emitCall(type: DType, fn: expr.Fn, args: readonly string[], nodes: readonly Expr[]): string {
  const emit = type === 'f64' ? undefined : emitters[type][fn];
  if (!emit) throw new Error(`webgpu: ${fn} is not defined for ${type}`);
  return emit(args[0], args[1], args[2], nodes);
}
