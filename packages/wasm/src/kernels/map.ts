/**
 * From a scalar expression (core's expr.ts) to the bytes of its kernel. Rows of elements are walked a vector at a time:
 * load each input's lanes, evaluate the expression, store each output's. Shared parts of the expression are computed
 * once, into a local; so a chain of ops that was composed into one expression makes one pass over memory.
 *
 * For example x0 · 2 + 1, which is `add(mul(input(0), constant(2)), constant(1))` there, becomes for elements side by side:
 *
 *     loop
 *       local.get $p0   v128.load   local.set $x0                                   ;; four elements
 *       local.get $x0   local.get $two   f32x4.mul   local.get $one   f32x4.add   local.set $y
 *       local.get $p1   local.get $y   v128.store                                   ;; the row's last ones lane by lane
 *       …                                                                           ;; both pointers on by 16 bytes
 *       br_if 0                                                                     ;; as long as elements are left
 */
import { bytesOf, type DType, type Expr, type ScalarFn, type Storage } from '@bax/core';
import { type Code, i32, type Local, loop, repeatWhile, when } from '../assembler/index.ts';
import { emitCall, imports, isMask, maskToNumber } from './functions.ts';
import { defineKernel, type ArgType, type Kernel } from './kernel.ts';
import { lanes as lanesOf, vectors } from './lanes.ts';
import { Scope } from './scope.ts';

/** How an operand's elements of one row lie: side by side, all in one place (broadcast), or some bytes apart. */
export type Step = 'unit' | 'zero' | 'any';
export interface Operand {
  readonly storage: Storage;
  readonly step: Step;
}

/** Axes of rows: with the rows' own axis, so many axes are walked in one run. */
export const ROW_AXES = 3;

/**
 * Arguments: rows of `length` elements, the last (row `lastRow`) of `lastLength`; the lengths of the two inner axes of rows;
 * for each operand, inputs first, its address, the bytes from one to the next along each axis of rows, and from element to
 * element; then the scalars. Units: rows.
 */
export function mapKernel(fn: ScalarFn, inputs: readonly Operand[], outputs: readonly Operand[]): Kernel {
  const operands = [...inputs, ...outputs];
  const { type } = fn;
  const args: Record<string, ArgType> = {
    length: 'i32',
    lastRow: 'i32',
    lastLength: 'i32',
    middle: 'i32',
    inner: 'i32',
  };
  operands.forEach((_, i) => {
    for (const name of ['at', 'outerStep', 'middleStep', 'innerStep', 'step']) args[`${name}${i}`] = 'i32';
  });
  for (let i = 0; i < fn.scalars; i++) args[`scalar${i}`] = type;

  return defineKernel('map', args, ({ target, f, args: x, from: row, to, use }) => {
    use(...usedImports(type, fn.outputs));
    const s = new Scope(f, target);
    const lanes = lanesOf[type];
    const left = f.local('left');
    const pointers = operands.map((_, i) => f.local(`p${i}`));
    const scalars = Array.from({ length: fn.scalars }, (_, i) => f.local(`s${i}`, 'v128'));
    const { splat } = vectors[type];
    const values = inputs.map((_, i) => f.local(`x${i}`, 'v128'));

    const ofRow = inputs.map(({ storage, step }, i) =>
      step === 'zero' ? values[i].set(lanes.broadcast(s, pointers[i], storage)) : [],
    );
    const loads = inputs.map(({ storage, step }, i) => {
      if (step === 'zero') return [];
      if (step === 'unit') return values[i].set(lanes.load(s, pointers[i], storage));
      return values[i].set(lanes.gather(s, pointers[i], storage, x[`step${i}`], left));
    });
    const [compute, results] = evaluate(s, type, fn.outputs, values, scalars);
    const stores = outputs.map(({ storage, step }, o) => {
      const i = inputs.length + o;
      const by = step === 'unit' ? i32.const(bytesOf(storage)) : x[`step${i}`];
      const laneByLane = lanes.scatter(s, pointers[i], results[o], storage, by, left);
      if (step !== 'unit') return laneByLane;
      const all = i32.ge_u(left, i32.const(lanes.width));
      return when(all, lanes.store(pointers[i], results[o], storage), laneByLane);
    });
    const advance = operands.map(({ storage, step }, i) => {
      if (step === 'zero') return [];
      const by =
        step === 'unit'
          ? i32.const(bytesOf(storage) * lanes.width)
          : i32.mul(x[`step${i}`], i32.const(lanes.width));
      return pointers[i].set(i32.add(pointers[i], by));
    });
    const [outer, middle, inner] = f.locals('outer', 'middle', 'inner');
    const along = (i: number): Code =>
      [
        i32.mul(outer, x[`outerStep${i}`]),
        i32.mul(middle, x[`middleStep${i}`]),
        i32.mul(inner, x[`innerStep${i}`]),
      ].reduce((sum, part) => i32.add(sum, part), x[`at${i}`] as Code);
    const rows = loop(row, row, to, i32.const(1), [
      inner.set(i32.rem_u(row, x.inner)),
      outer.set(i32.div_u(row, x.inner)),
      middle.set(i32.rem_u(outer, x.middle)),
      outer.set(i32.div_u(outer, x.middle)),
      pointers.map((p, i) => p.set(along(i))),
      left.set(x.length),
      when(i32.eq(row, x.lastRow), left.set(x.lastLength)),
      ofRow,
      repeatWhile(
        [loads, compute, stores, advance],
        i32.gt_s(left.tee(i32.sub(left, i32.const(lanes.width))), i32.const(0)),
      ),
    ]);
    return [s.before, scalars.map((v, i) => v.set(splat(x[`scalar${i}`]))), rows];
  });
}

/** Code that computes what several need, and the outputs' values. */
function evaluate(
  s: Scope,
  type: DType,
  outputs: readonly Expr[],
  inputs: readonly Local[],
  scalars: readonly Local[],
): [Code, Code[]] {
  const uses = new Map<Expr, number>();
  const count = (node: Expr): void => {
    const before = uses.get(node) ?? 0;
    uses.set(node, before + 1);
    if (before === 0 && node.kind === 'call') node.args.forEach(count);
  };
  outputs.forEach(count);

  const compute: Code[] = [];
  const done = new Map<Expr, Code>();
  /** The node's value; of a comparison its mask. */
  const visit = (node: Expr): Code => {
    if (node.kind === 'const') return s[type](node.value);
    if (node.kind === 'input') return inputs[node.index];
    if (node.kind === 'scalar') return scalars[node.index];
    const known = done.get(node);
    if (known) return known;
    const args = node.args.map((arg, i) => (node.fn === 'select' && i === 0 ? visit(arg) : number(arg)));
    let code = emitCall(s, type, node.fn, args, node.args);
    if (uses.get(node)! > 1) {
      const shared = s.temp();
      compute.push(shared.set(code));
      code = shared;
    }
    done.set(node, code);
    return code;
  };
  const number = (node: Expr): Code => (isMask(node) ? maskToNumber(s, type, visit(node)) : visit(node));
  const results = outputs.map((y) => {
    const local = s.temp();
    compute.push(local.set(number(y)));
    return local;
  });
  return [compute, results];
}

/** About how many multiplications an element costs: what a division or a polynomial of `math.ts` takes beside one. */
export function costOf(fn: ScalarFn): number {
  const weights: Partial<Record<string, number>> = {
    div: 3,
    sqrt: 3,
    exp: 10,
    log: 12,
    tanh: 12,
    sigmoid: 14,
    erf: 20,
  };
  const seen = new Set<Expr>();
  const visit = (node: Expr): number => {
    if (node.kind !== 'call' || seen.has(node)) return 0;
    seen.add(node);
    return node.args.reduce((sum, arg) => sum + visit(arg), weights[node.fn] ?? 1);
  };
  return Math.max(
    2,
    fn.outputs.reduce((sum, y) => sum + visit(y), 0),
  ); // no less than loading and storing it
}

/** The host functions that the expressions call. */
function usedImports(type: DType, outputs: readonly Expr[]): (typeof imports)[string][] {
  const names = new Set<string>();
  const seen = new Set<Expr>();
  const visit = (node: Expr): void => {
    if (node.kind !== 'call' || seen.has(node)) return;
    seen.add(node);
    node.args.forEach(visit);
    if (type === 'f64' || ['sin', 'cos', 'pow'].includes(node.fn)) names.add(node.fn);
  };
  outputs.forEach(visit);
  return [...names].flatMap((name) => imports[name] ?? []);
}
