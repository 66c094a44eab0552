/** Each scalar function on vectors: an instruction, a polynomial of `math.ts`, or the host's function lane by lane. */
import { type DType, type Expr, type expr, functions as scalar } from '@bax/core';
import { type Code, call, f32, f32x4, f64, f64x2, i32, i32x4, Import, v128 } from '../assembler/index.ts';
import * as math from './math.ts';
import type { Scope } from './scope.ts';

/** What kernels import from the host, for f64 and for the functions that have no polynomial. */
export const hostFunctions: Readonly<Record<string, (a: number, b: number) => number>> = {
  exp: Math.exp,
  log: Math.log,
  tanh: Math.tanh,
  sin: Math.sin,
  cos: Math.cos,
  pow: Math.pow,
  sigmoid: scalar.sigmoid,
  erf: scalar.erf,
};
export const imports: Readonly<Record<string, Import>> = Object.fromEntries(
  Object.entries(hostFunctions).map(([name]) => [
    name,
    new Import(name, name === 'pow' ? ['f64', 'f64'] : ['f64'], 'f64'),
  ]),
);

/** The value of fn(…args); `nodes` are the arguments' expressions. Comparisons give masks: see `isMask`. */
type Emit = (s: Scope, args: readonly Code[], nodes: readonly Expr[]) => Code;
type Table = Readonly<Partial<Record<expr.Fn, Emit>>>;

export const isMask = (node: Expr): boolean =>
  node.kind === 'call' && (node.fn === 'lt' || node.fn === 'le' || node.fn === 'eq');

/** fn of the host, for each lane. */
const onHost =
  (name: string, lanes: 'f32' | 'f64'): Emit =>
  (s, args) => {
    const named = args.map((a) => s.named(a));
    const lane = (i: number): Code => {
      const values = named.map(([, v]) =>
        lanes === 'f64' ? f64x2.extract_lane(v, i) : f64.promote_f32(f32x4.extract_lane(v, i)),
      );
      const result = call(imports[name], ...values);
      return lanes === 'f64' ? result : f32.demote_f64(result);
    };
    const x = lanes === 'f64' ? f64x2 : f32x4;
    const rest = lanes === 'f64' ? [1] : [1, 2, 3];
    return [
      named.map(([set]) => set),
      rest.reduce((v, i) => x.replace_lane(v, i, lane(i)), x.splat(lane(0))),
    ];
  };

const two =
  (f: (a: Code, b: Code) => Code): Emit =>
  (_, [a, b]) =>
    f(a, b);
const one =
  (f: (a: Code) => Code): Emit =>
  (_, [a]) =>
    f(a);

function floats(x: typeof f32x4 | typeof f64x2, constant: (s: Scope, value: number) => Code): Table {
  return {
    add: two(x.add), sub: two(x.sub), mul: two(x.mul), div: two(x.div), min: two(x.min), max: two(x.max),
    neg: one(x.neg), abs: one(x.abs), floor: one(x.floor), sqrt: one(x.sqrt),
    lt: two(x.lt), le: two(x.le), eq: two(x.eq),
    select: (s, [c, a, b], [condition]) =>
      v128.bitselect(a, b, isMask(condition) ? c : x.ne(c, constant(s, 0))),
  }; // prettier-ignore
}

const emitters: Readonly<Record<DType, Table>> = {
  f32: {
    ...floats(f32x4, (s, value) => s.f32(value)),
    exp: (s, [a]) => math.exp(s, a),
    log: (s, [a]) => math.log(s, a),
    tanh: (s, [a]) => math.tanh(s, a),
    sigmoid: (s, [a]) => math.sigmoid(s, a),
    erf: (s, [a]) => math.erf(s, a),
    sin: onHost('sin', 'f32'),
    cos: onHost('cos', 'f32'),
    pow: onHost('pow', 'f32'),
  },
  f64: {
    ...floats(f64x2, (s, value) => s.f64(value)),
    ...Object.fromEntries(Object.keys(hostFunctions).map((name) => [name, onHost(name, 'f64')])),
  },
  i32: {
    add: two(i32x4.add), sub: two(i32x4.sub), mul: two(i32x4.mul), min: two(i32x4.min_s), max: two(i32x4.max_s),
    neg: one(i32x4.neg), abs: one(i32x4.abs), floor: one((a) => a),
    lt: two(i32x4.lt_s), le: two(i32x4.le_s), eq: two(i32x4.eq),
    select: (s, [c, a, b], [condition]) => v128.bitselect(a, b, isMask(condition) ? c : i32x4.ne(c, s.i32(0))),
    ushr: (s, [a, b]) => {
      const [[setA, x], [setB, by]] = [s.named(a), s.named(b)];
      const lane = (i: number): Code => i32.shr_u(i32x4.extract_lane(x, i), i32x4.extract_lane(by, i));
      return [setA, setB, [1, 2, 3].reduce((v, i) => i32x4.replace_lane(v, i, lane(i)), i32x4.splat(lane(0)))];
    },
  }, // prettier-ignore
};

/** The code of one call of an expression. */
export function emitCall(
  s: Scope,
  type: DType,
  fn: expr.Fn,
  args: readonly Code[],
  nodes: readonly Expr[],
): Code {
  const emit = emitters[type][fn];
  if (!emit) throw new Error(`wasm: ${fn} is not defined for ${type}`);
  return emit(s, args, nodes);
}

/** A mask of ones as the number 1. */
export const maskToNumber = (s: Scope, type: DType, mask: Code): Code => v128.and(mask, s[type](1));
