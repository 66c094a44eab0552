/**
 * Elementwise ops: each is one scalar expression. The kernel, the broadcasting, the number arguments and the gradient
 * (which is again an elementwise op) all derive from it.
 */
import { dtypeOf, isFloat, type DType } from '../dtype.ts';
import * as e from '../expr.ts';
import type { Expr } from '../expr.ts';
import { apply, type Draw, type Op, type Sample } from '../op.ts';
import { broadcastShapes, showShape } from '../shape.ts';
import { isTensor, type Tensor } from '../tensor.ts';
import { expandView } from '../view.ts';
import { fail, wantFloat, wantSameDtype } from './check.ts';

type Arg = Tensor | number;
type Range = readonly [min: number, max: number];
interface Scalars {
  readonly scalars: readonly number[];
}

interface Traits {
  /** Where the law tests draw each argument from. Default [-2, 2]. */
  readonly ranges?: readonly Range[];
  /** Takes floats alone. */
  readonly float?: boolean;
  /** The result's dtype, if it is not the arguments'; such an op has no gradient unless it is a cast. */
  readonly result?: DType;
  readonly discrete?: boolean;
  /** Integer arguments may stand beside floats (conditions). */
  readonly mixed?: boolean;
}

/** Draws up to `ranges.length` shapes that broadcast to one. */
export function broadcastable(
  draw: Draw,
  ranges: readonly Range[],
  dtypes: readonly ('float' | 'i32')[] = [],
): Sample<Scalars> {
  const shape = draw.shape();
  const whole = draw.integer(0, ranges.length - 1);
  const narrow = (): number[] =>
    shape.slice(draw.integer(0, shape.length)).map((n) => (draw.integer(0, 3) === 0 ? 1 : n));
  const inputs = ranges.map((range, i) => ({
    shape: i === whole ? shape : narrow(),
    range,
    dtype: dtypes[i] ?? 'float',
  }));
  return { inputs, attrs: { scalars: [] } };
}

type Rule = 'zero' | 'g' | { readonly op: Op<Scalars>; readonly used: readonly number[] };

const made = new Map<string, Op<Scalars>>();

/** The op that computes `y` from `tensors` tensors and `scalars` numbers. The same op for the same expression. */
function pointwise(name: string, y: Expr, tensors: number, scalars: number, traits: Traits): Op<Scalars> {
  const key = `${name}:${y.id}:${tensors}:${scalars}:${traits.result}`;
  let op = made.get(key);
  if (!op) made.set(key, (op = build(name, y, tensors, scalars, traits)));
  return op;
}

function build(name: string, y: Expr, tensors: number, scalars: number, traits: Traits): Op<Scalars> {
  const computeType = (inputs: readonly { readonly dtype: DType }[]): DType =>
    inputs.find((x) => isFloat(x.dtype))?.dtype ?? 'i32';
  /** g · ∂y/∂x_index as an expression of (x₀, …, g); of those it reads only some. */
  const gradientRule = (index: number): Rule => {
    const product = e.mul(e.input(tensors), e.derivative(y, index));
    if (product === e.constant(0)) return 'zero';
    if (product === e.input(tensors)) return 'g';
    const used = e.inputsOf(product);
    const body = e.substitute(product, (leaf) =>
      leaf.kind === 'input' ? e.input(used.indexOf(leaf.index)) : leaf,
    );
    return { op: pointwise(`${name}'`, body, used.length, scalars, { mixed: true }), used };
  };
  const rules: Rule[] = [];
  return {
    name,
    widens: 'all',
    discrete: traits.discrete ?? false,
    domain: (draw) => {
      const ranges = Array.from({ length: tensors }, (_, i) => traits.ranges?.[i] ?? ([-2, 2] as const));
      return broadcastable(draw, ranges, traits.mixed ? ['i32'] : []);
    },
    out(inputs, attrs) {
      const shape = broadcastShapes(...inputs.map((x) => x.shape));
      if (!shape)
        return fail(
          name,
          `shapes do not broadcast: ${inputs.map((x) => showShape(x.shape)).join(' with ')}; two lengths must be equal, or one of them 1`,
        );
      const dtype = computeType(inputs);
      for (const x of inputs) {
        if (traits.float) wantFloat(name, x);
        if (!(traits.mixed && x.dtype === 'i32'))
          inputs.forEach((z) => !(traits.mixed && z.dtype === 'i32') && wantSameDtype(name, x, z));
      }
      if (dtype === 'i32')
        for (const s of attrs.scalars)
          if (s !== (s | 0))
            fail(
              name,
              `the number ${s} is ${Number.isInteger(s) ? 'too large for i32' : 'not an integer'}, and the tensor is i32; cast it first: x.cast('f32')`,
            );
      return [{ shape, dtype: traits.result ?? dtype }];
    },
    run(backend, inputs, [out], attrs) {
      const type = computeType(inputs.map((x) => ({ dtype: dtypeOf(x.buffer.type) })));
      const fn = e.scalarFn(type, tensors, scalars, [y]);
      backend.map(fn, inputs.map((x) => expandView(x, out!.shape)), [out!], attrs.scalars); // prettier-ignore
    },
    vjp({ g, x, attrs, index }) {
      const rule = (rules[index] ??= gradientRule(index));
      if (rule === 'zero') return undefined;
      if (rule === 'g') return g;
      return apply(rule.op, rule.used.map((i) => (i === tensors ? g : x[i]!)), attrs); // prettier-ignore
    },
  };
}

/** Numbers among the arguments become scalars of the kernel: their values may change without a new one. */
function call(name: string, body: (...x: Expr[]) => Expr, traits: Traits, args: readonly Arg[]): Tensor {
  const tensors: Tensor[] = [];
  const scalars: number[] = [];
  const leaves = args.map((a) =>
    isTensor(a) ? e.input(tensors.push(a) - 1) : e.scalar(scalars.push(a) - 1),
  );
  if (tensors.length === 0) fail(name, 'needs at least one tensor; wrap a number in tensor()');
  for (const s of scalars)
    if (typeof s !== 'number') fail(name, `${typeof s} is neither a tensor nor a number`);
  return apply(pointwise(name, body(...leaves), tensors.length, scalars.length, traits), tensors, {
    scalars,
  });
}

export type UnaryOp = ((x: Tensor) => Tensor) & { readonly op: Op<Scalars> };
export type BinaryOp = ((a: Arg, b: Arg) => Tensor) & { readonly op: Op<Scalars> };
export type TernaryOp = ((a: Arg, b: Arg, c: Arg) => Tensor) & { readonly op: Op<Scalars> };

function elementwise<F>(name: string, arity: number, body: (...x: Expr[]) => Expr, traits: Traits): F {
  const leaves = Array.from({ length: arity }, (_, i) => e.input(i));
  const f = (...args: Arg[]): Tensor => call(name, body, traits, args);
  return Object.assign(f, { op: pointwise(name, body(...leaves), arity, 0, traits) }) as F;
}
const unary = (name: string, body: (x: Expr) => Expr, traits: Traits = {}): UnaryOp =>
  elementwise(name, 1, body, { float: true, ...traits });
const binary = (name: string, body: (a: Expr, b: Expr) => Expr, traits: Traits = {}): BinaryOp =>
  elementwise(name, 2, body, traits);

const ANY: Range = [-2, 2];
const POSITIVE: Range = [0.1, 4];
const SQRT_2_OVER_PI = Math.sqrt(2 / Math.PI);

/** a + b, broadcast. Either may be a number. */
export const add: BinaryOp = binary('add', (a, b) => e.add(a, b));
/** a − b, broadcast. */
export const sub: BinaryOp = binary('sub', e.sub);
/** a · b, elementwise, broadcast. */
export const mul: BinaryOp = binary('mul', (a, b) => e.mul(a, b));
/** a / b, broadcast; floats alone. */
export const div: BinaryOp = binary('div', e.div, { float: true, ranges: [ANY, POSITIVE] });
/** a to the power b, broadcast; for negative a the power must be a whole number. */
export const pow: BinaryOp = binary('pow', e.pow, { float: true, ranges: [POSITIVE, ANY] });
/** The larger of a and b, elementwise; at a tie the gradient is shared half and half. */
export const maximum: BinaryOp = binary('maximum', e.max);
/** The smaller of a and b, elementwise; at a tie the gradient is shared half and half. */
export const minimum: BinaryOp = binary('minimum', e.min);

/** −x */
export const neg: UnaryOp = unary('neg', e.neg, { float: false });
/** |x|; its derivative at 0 is 0. */
export const abs: UnaryOp = unary('abs', e.abs, { float: false });
/** e^x */
export const exp: UnaryOp = unary('exp', e.exp);
/** Natural logarithm. */
export const log: UnaryOp = unary('log', e.log, { ranges: [POSITIVE] });
/** Square root. */
export const sqrt: UnaryOp = unary('sqrt', e.sqrt, { ranges: [POSITIVE] });
/** 1 / √x */
export const rsqrt: UnaryOp = unary('rsqrt', (x) => e.div(1, e.sqrt(x)), { ranges: [POSITIVE] });
export const sin: UnaryOp = unary('sin', e.sin);
export const cos: UnaryOp = unary('cos', e.cos);
export const tanh: UnaryOp = unary('tanh', e.tanh);
/** The error function, 2/√π ∫₀ˣ exp(−t²) dt. */
export const erf: UnaryOp = unary('erf', e.erf);
/** 1 / (1 + e^−x) */
export const sigmoid: UnaryOp = unary('sigmoid', e.sigmoid);
/** max(x, 0), of NaN NaN; its derivative at 0 is 0. */
export const relu: UnaryOp = unary('relu', (x) => e.select(e.le(x, 0), 0, x), { float: false });
/** x · sigmoid(x). https://arxiv.org/abs/1702.03118 */
export const silu: UnaryOp = unary('silu', (x) => e.mul(x, e.sigmoid(x)));
/** Gaussian error linear unit, tanh approximation (GPT-2's `gelu_new`). https://arxiv.org/abs/1606.08415 §2 */
export const gelu: UnaryOp = unary('gelu', (x) =>
  e.mul(0.5, x, e.add(1, e.tanh(e.mul(SQRT_2_OVER_PI, e.add(x, e.mul(0.044715, x, x, x)))))),
);
/** Gaussian error linear unit, exact: x · Φ(x). https://arxiv.org/abs/1606.08415 §2 */
export const geluExact: UnaryOp = unary('geluExact', (x) =>
  e.mul(0.5, x, e.add(1, e.erf(e.mul(Math.SQRT1_2, x)))),
);

const comparison = (name: string, body: (a: Expr, b: Expr) => Expr): BinaryOp =>
  binary(name, body, { result: 'i32', discrete: true });
/** a < b as 1 or 0 (i32), broadcast; so are the five that follow. */
export const lt: BinaryOp = comparison('lt', e.lt);
export const le: BinaryOp = comparison('le', e.le);
export const gt: BinaryOp = comparison('gt', (a, b) => e.lt(b, a));
export const ge: BinaryOp = comparison('ge', (a, b) => e.le(b, a));
export const eq: BinaryOp = comparison('eq', e.eq);
export const ne: BinaryOp = comparison('ne', (a, b) => e.sub(e.constant(1), e.eq(a, b)));

/** a where the condition (i32) is not 0, else b; broadcast. What is not chosen has no influence, NaN or not. */
export const where: TernaryOp = elementwise('where', 3, (c, a, b) => e.select(c, a, b), {
  mixed: true,
  ranges: [[0, 1], ANY, ANY],
});

const casts: Record<DType, UnaryOp> = {
  f32: unary('castF32', (x) => x, { float: false, result: 'f32' }),
  f64: unary('castF64', (x) => x, { float: false, result: 'f64' }),
  i32: unary('castI32', (x) => x, { float: false, result: 'i32', discrete: true }),
};

/** The same numbers in another dtype; floats are cut towards zero on their way to i32. x itself if it has that dtype, however it is held. */
export const cast = (x: Tensor, dtype: DType): Tensor => (x.dtype === dtype ? x : casts[dtype](x));

/** A copy of x in fresh, row-major memory, wide if x is held narrow. */
export const copy: UnaryOp = unary('copy', (x) => x, { float: false });

/** The logical shift right of i32 bits. */
export const ushr = (x: Tensor, by: number): Tensor => call('ushr', e.ushr, { discrete: true }, [x, by]);

/** Every named elementwise op, for the registry. */
export const elementwiseOps: readonly Op<Scalars>[] = [
  add, sub, mul, div, pow, maximum, minimum, neg, abs, exp, log, sqrt, rsqrt, sin, cos, tanh, erf, sigmoid, relu, silu,
  gelu, geluExact, lt, le, gt, ge, eq, ne, where, casts.f32, casts.f64, casts.i32, copy,
].map((f) => f.op); // prettier-ignore
