/** The definition of a scalar expression, node by node: the oracle of map. */
import type { DType, Expr, expr } from '@bax/core';
import { round } from './numbers.ts';

/** Values, and whether every backend gets them: no node was rounded, nor left the numbers that the type holds exactly. */
export interface Values {
  readonly values: Float64Array;
  readonly exact: readonly boolean[];
}

/** Numbers that sums and products of few, in any order, hold exactly: so fused multiply-add makes no difference. */
const holds: Record<DType, (x: number) => boolean> = {
  f32: (x) => Math.fround(x) === x && Math.abs(x) < 2 ** 60,
  f64: (x) => Number.isInteger(x * 4096) && Math.abs(x) < 2 ** 40,
  i32: () => true,
};

const definitions: Partial<Record<expr.Fn, (a: number, b: number, c: number) => number>> = {
  add: (a, b) => a + b,
  sub: (a, b) => a - b,
  mul: (a, b) => a * b,
  neg: (a) => -a,
  abs: (a) => Math.abs(a),
  floor: (a) => Math.floor(a),
  min: (a, b) => Math.min(a, b),
  max: (a, b) => Math.max(a, b),
  lt: (a, b) => Number(a < b),
  le: (a, b) => Number(a <= b),
  eq: (a, b) => Number(a === b),
  select: (a, b, c) => (a !== 0 ? b : c),
  ushr: (a, b) => a >>> b,
};

/** The formula, node by node from the definitions, for all elements. */
export function evaluate(
  y: Expr,
  type: DType,
  n: number,
  inputs: readonly Float64Array[],
  scalars: readonly number[],
): Values {
  const done = new Map<Expr, Float64Array>();
  const exact = new Array<boolean>(n).fill(true);
  const visit = (node: Expr): Float64Array => {
    const known = done.get(node);
    if (known) return known;
    const values = new Float64Array(n);
    if (node.kind === 'const') values.fill(node.value);
    else if (node.kind === 'scalar') values.fill(scalars[node.index]);
    else if (node.kind === 'input') values.set(inputs[node.index]);
    else {
      const [a, b = a, c = a] = node.args.map(visit);
      const f = type === 'i32' && node.fn === 'mul' ? Math.imul : definitions[node.fn]!;
      for (let e = 0; e < n; e++) values[e] = f(a[e], b[e], c[e]);
      for (let e = 0; e < n; e++) if (!holds[type](values[e])) exact[e] = false;
    }
    for (let e = 0; e < n; e++) values[e] = round[type](values[e]);
    done.set(node, values);
    return values;
  };
  return { values: visit(y), exact };
}
