/**
 * A scalar expression is an elementwise op written once. The CPU's loop, the GPU's and the SIMD kernel, the derivative
 * and fusion all derive from it. Expressions are built by functions and interned: equal expressions are the same
 * object, so common sub-expressions are shared and a derivative stays as small as its formula.
 */
import type { DType } from './dtype.ts';

/** Comparisons give 1 or 0. `select(c, a, b)` is a where c ≠ 0, else b. `ushr` is the logical shift of i32. */
export type Fn =
  | 'add' | 'sub' | 'mul' | 'div' | 'neg' | 'abs' | 'min' | 'max' | 'pow' | 'floor'
  | 'exp' | 'log' | 'sqrt' | 'tanh' | 'sigmoid' | 'sin' | 'cos' | 'erf'
  | 'lt' | 'le' | 'eq' | 'select' | 'ushr'; // prettier-ignore

export type Expr =
  | { readonly kind: 'const'; readonly id: number; readonly value: number }
  | { readonly kind: 'input'; readonly id: number; readonly index: number }
  | { readonly kind: 'scalar'; readonly id: number; readonly index: number }
  | { readonly kind: 'call'; readonly id: number; readonly fn: Fn; readonly args: readonly Expr[] };

/** An expression ready for a backend: computed in `type`, whatever its inputs and outputs are stored as. */
export interface ScalarFn {
  readonly type: DType;
  readonly inputs: number;
  readonly scalars: number;
  readonly outputs: readonly Expr[];
  /** Equal for equal functions, within one process. */
  readonly key: string;
}

type Arg = Expr | number;
type Body<E> = E extends Expr ? Omit<E, 'id'> : never;

const interned = new Map<string, Expr>();
function intern(key: string, body: Body<Expr>): Expr {
  let node = interned.get(key);
  if (!node) interned.set(key, (node = { ...body, id: interned.size } as Expr));
  return node;
}

export const constant = (value: number): Expr =>
  intern(Object.is(value, -0) ? 'c-0' : `c${value}`, { kind: 'const', value });
/** The i-th tensor. */
export const input = (index: number): Expr => intern(`i${index}`, { kind: 'input', index });
/** The i-th number that is given anew at each call: it may change from step to step without a new kernel. */
export const scalar = (index: number): Expr => intern(`s${index}`, { kind: 'scalar', index });

const toExpr = (a: Arg): Expr => (typeof a === 'number' ? constant(a) : a);
const is = (a: Expr, value: number): boolean => a.kind === 'const' && a.value === value;
const call = (fn: Fn, ...args: Expr[]): Expr =>
  intern(`${fn}(${args.map((a) => a.id).join()})`, { kind: 'call', fn, args });

export function add(...terms: Arg[]): Expr {
  return terms.map(toExpr).reduce((a, b) => (is(a, 0) ? b : is(b, 0) ? a : call('add', a, b)));
}
export function mul(...factors: Arg[]): Expr {
  return factors.map(toExpr).reduce((a, b) => {
    if (is(a, 0) || is(b, 0)) return constant(0);
    return is(a, 1) ? b : is(b, 1) ? a : is(a, -1) ? neg(b) : is(b, -1) ? neg(a) : call('mul', a, b);
  });
}
export function sub(a: Arg, b: Arg): Expr {
  const [x, y] = [toExpr(a), toExpr(b)];
  return is(y, 0) ? x : is(x, 0) ? neg(y) : call('sub', x, y);
}
export function div(a: Arg, b: Arg): Expr {
  const [x, y] = [toExpr(a), toExpr(b)];
  return is(x, 0) ? x : is(y, 1) ? x : call('div', x, y);
}
export function neg(a: Arg): Expr {
  const x = toExpr(a);
  if (x.kind === 'const') return constant(-x.value);
  return x.kind === 'call' && x.fn === 'neg' ? x.args[0]! : call('neg', x);
}
export function select(c: Expr, a: Arg, b: Arg): Expr {
  const [x, y] = [toExpr(a), toExpr(b)];
  return x === y ? x : call('select', c, x, y);
}
const unary =
  (fn: Fn) =>
  (a: Arg): Expr =>
    call(fn, toExpr(a));
const binary =
  (fn: Fn) =>
  (a: Arg, b: Arg): Expr =>
    call(fn, toExpr(a), toExpr(b));
type Unary = (a: Arg) => Expr;
type Binary = (a: Arg, b: Arg) => Expr;
export const abs: Unary = unary('abs');
export const floor: Unary = unary('floor');
export const exp: Unary = unary('exp');
export const log: Unary = unary('log');
export const sqrt: Unary = unary('sqrt');
export const tanh: Unary = unary('tanh');
export const sigmoid: Unary = unary('sigmoid');
export const sin: Unary = unary('sin');
export const cos: Unary = unary('cos');
export const erf: Unary = unary('erf');
export const min: Binary = binary('min');
export const max: Binary = binary('max');
export const pow: Binary = binary('pow');
export const lt: Binary = binary('lt');
export const le: Binary = binary('le');
export const eq: Binary = binary('eq');
export const ushr: Binary = binary('ushr');

/** ∂fn/∂aᵢ · ∂aᵢ, summed over the arguments. A tie of min or max is split in half, as in PyTorch. */
const derivatives: Record<Fn, (a: readonly Expr[], d: readonly Expr[], y: Expr) => Expr> = {
  add: (_, [da, db]) => add(da!, db!),
  sub: (_, [da, db]) => sub(da!, db!),
  mul: ([a, b], [da, db]) => add(mul(da!, b!), mul(a!, db!)),
  div: ([, b], [da, db], y) => div(sub(da!, mul(y, db!)), b!),
  neg: (_, [da]) => neg(da!),
  abs: ([a], [da]) => select(lt(0, a!), da!, select(lt(a!, 0), neg(da!), 0)),
  min: ([a, b], [da, db]) => select(lt(a!, b!), da!, select(lt(b!, a!), db!, mul(0.5, add(da!, db!)))),
  max: ([a, b], [da, db]) => select(lt(b!, a!), da!, select(lt(a!, b!), db!, mul(0.5, add(da!, db!)))),
  pow: ([a, b], [da, db], y) =>
    add(
      mul(da!, select(eq(b!, 0), 0, mul(b!, pow(a!, sub(b!, 1))))),
      mul(db!, select(eq(a!, 0), 0, mul(y, log(a!)))),
    ),
  floor: () => constant(0),
  exp: (_, [da], y) => mul(da!, y),
  log: ([a], [da]) => div(da!, a!),
  sqrt: (_, [da], y) => div(da!, mul(2, y)),
  tanh: (_, [da], y) => mul(da!, sub(1, mul(y, y))),
  sigmoid: (_, [da], y) => mul(da!, y, sub(1, y)),
  sin: ([a], [da]) => mul(da!, cos(a!)),
  cos: ([a], [da]) => neg(mul(da!, sin(a!))),
  erf: ([a], [da]) => mul(da!, 2 / Math.sqrt(Math.PI), exp(neg(mul(a!, a!)))),
  lt: () => constant(0),
  le: () => constant(0),
  eq: () => constant(0),
  select: ([c], [, da, db]) => select(c!, da!, db!),
  ushr: () => constant(0),
};

/** ∂y/∂input(index), by the chain rule over the expression. */
export function derivative(y: Expr, index: number): Expr {
  const done = new Map<Expr, Expr>();
  const d = (node: Expr): Expr => {
    let result = done.get(node);
    if (result) return result;
    if (node.kind === 'call') {
      const parts = node.args.map(d);
      result = parts.every((p) => is(p, 0)) ? constant(0) : derivatives[node.fn](node.args, parts, node);
    } else result = constant(node.kind === 'input' && node.index === index ? 1 : 0);
    done.set(node, result);
    return result;
  };
  return d(y);
}

/**
 * The expression with its leaves replaced: substitution is how expressions compose. `exact` keeps every operation, also
 * those that algebra would leave out (0 · x is 0, but not of NaN).
 */
export function substitute(
  y: Expr,
  leaf: (node: Expr) => Expr,
  { exact = false }: { readonly exact?: boolean } = {},
): Expr {
  const done = new Map<Expr, Expr>();
  const walk = (node: Expr): Expr => {
    let result = done.get(node);
    if (result) return result;
    if (node.kind !== 'call') result = leaf(node);
    else if (exact) result = call(node.fn, ...node.args.map(walk));
    else result = rebuild(node.fn, node.args.map(walk));
    done.set(node, result);
    return result;
  };
  return walk(y);
}

function rebuild(fn: Fn, args: Expr[]): Expr {
  if (fn === 'add') return add(...args);
  if (fn === 'mul') return mul(...args);
  if (fn === 'sub') return sub(args[0]!, args[1]!);
  if (fn === 'neg') return neg(args[0]!);
  return call(fn, ...args);
}

/** Which inputs the expressions read, in rising order. */
export function inputsOf(...ys: Expr[]): number[] {
  const seen = new Set<Expr>();
  const found = new Set<number>();
  const walk = (node: Expr): void => {
    if (seen.has(node)) return;
    seen.add(node);
    if (node.kind === 'input') found.add(node.index);
    if (node.kind === 'call') node.args.forEach(walk);
  };
  ys.forEach(walk);
  return [...found].sort((a, b) => a - b);
}

/** How many different nodes the expressions are made of. */
export function countNodes(...ys: Expr[]): number {
  const seen = new Set<Expr>();
  const walk = (node: Expr): void => {
    if (seen.has(node)) return;
    seen.add(node);
    if (node.kind === 'call') node.args.forEach(walk);
  };
  ys.forEach(walk);
  return seen.size;
}

const functions = new Map<string, ScalarFn>();
/** The function of `inputs` tensors and `scalars` numbers that gives `outputs`; the same object for the same function. */
export function scalarFn(type: DType, inputs: number, scalars: number, outputs: readonly Expr[]): ScalarFn {
  const key = `${type}:${inputs}:${scalars}:${outputs.map((y) => y.id).join()}`;
  let fn = functions.get(key);
  if (!fn) functions.set(key, (fn = { type, inputs, scalars, outputs, key }));
  return fn;
}

/** The formula in words, for `explain` and for reading: `0.5 * x0 * (1 + tanh(x0))`. */
export function show(y: Expr, names: (index: number) => string = (i) => `x${i}`): string {
  if (y.kind === 'const') return `${y.value}`;
  if (y.kind === 'scalar') return `s${y.index}`;
  if (y.kind === 'input') return names(y.index);
  const args = y.args.map((a) => show(a, names));
  const infix = { add: '+', sub: '-', mul: '*', div: '/', lt: '<', le: '<=', eq: '==' }[y.fn as string];
  if (infix) return `(${args[0]} ${infix} ${args[1]})`;
  return `${y.fn}(${args.join(', ')})`;
}
