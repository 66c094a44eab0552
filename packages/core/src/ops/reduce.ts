/** Reductions. The ops keep the reduced axes with length 1; the public functions drop them unless asked not to. */
import { apply, defineOp, type Draw, type Op, type Sample } from '../op.ts';
import { composite } from '../scope.ts';
import { showShape, type Shape } from '../shape.ts';
import type { Tensor } from '../tensor.ts';
import { positions } from '../create.ts';
import { axesOf, axisOf, fail, like, wantFloat } from './check.ts';
import { add, cast, div, eq, exp, log, maximum, mul, neg, sub, where } from './elementwise.ts';
import { expand, reshape } from './view.ts';

interface Axes {
  readonly axes: readonly number[];
}
export type AxisArg = number | readonly number[] | undefined;
export interface ReduceOptions {
  /** Keep the reduced axes, with length 1. Default false. */
  readonly keepDims?: boolean;
}

const reduced = (shape: Shape, axes: readonly number[]): number[] =>
  shape.map((n, i) => (axes.includes(i) ? 1 : n));
const countOf = (x: Tensor, axes: readonly number[]): number => axes.reduce((n, a) => n * x.shape[a]!, 1);
const someAxes = (draw: Draw): Sample<Axes> => {
  const shape = draw.shape([1, 4]);
  const axes = shape.map((_, i) => i).filter(() => draw.integer(0, 1) === 1);
  return { inputs: [{ shape }], attrs: { axes } };
};
/** Calls `op` and drops the axes that it reduced, unless they shall stay. */
function reduce<A>(
  op: Op<A>,
  x: Tensor,
  attrs: A,
  axes: readonly number[],
  { keepDims = false }: ReduceOptions,
): Tensor {
  if (keepDims) return apply(op, [x], attrs);
  return composite(() => reshape(apply(op, [x], attrs), x.shape.filter((_, i) => !axes.includes(i)))); // prettier-ignore
}
function over(op: Op<Axes>, x: Tensor, axis: AxisArg, options: ReduceOptions): Tensor {
  const axes = axesOf(op.name, axis, x.rank);
  return reduce(op, x, { axes }, axes, options);
}

export const sumOp: Op<Axes> = defineOp({
  name: 'sum',
  domain: someAxes,
  out: ([x], { axes }) => like(x!, reduced(x!.shape, axes)),
  run: (backend, [x], [out]) => backend.reduce('sum', x!, out!),
  vjp: ({ g, x }) => expand(g, x[0]!.shape),
});
/** Σ x over `axis` (a number, several, or all if undefined). The sum of nothing is 0. */
export const sum = (x: Tensor, axis?: AxisArg, options: ReduceOptions = {}): Tensor =>
  over(sumOp, x, axis, options);

export const maxOp: Op<Axes> = defineOp({
  name: 'max',
  domain: someAxes,
  out: ([x], { axes }) => {
    if (countOf(x!, axes) === 0) fail('max', `the maximum of nothing: x is ${showShape(x!.shape)}`);
    return like(x!, reduced(x!.shape, axes));
  },
  run: (backend, [x], [out]) => backend.reduce('max', x!, out!),
  vjp({ g, x, y, attrs: { axes } }) {
    const hit = cast(eq(x[0]!, y), g.dtype);
    return mul(g, div(hit, sum(hit, axes, { keepDims: true })));
  },
});
/** The largest element over `axis`; equal ones share the gradient. */
export const max = (x: Tensor, axis?: AxisArg, options: ReduceOptions = {}): Tensor =>
  over(maxOp, x, axis, options);

/** The smallest element over `axis`; equal ones share the gradient. */
export const min = (x: Tensor, axis?: AxisArg, options: ReduceOptions = {}): Tensor =>
  composite(() => neg(max(neg(x), axis, options)));

export const meanOp: Op<Axes> = defineOp({
  name: 'mean',
  domain: someAxes,
  out: ([x], { axes }) => {
    wantFloat('mean', x!);
    if (countOf(x!, axes) === 0) fail('mean', `the mean of nothing: x is ${showShape(x!.shape)}`);
    return like(x!, reduced(x!.shape, axes));
  },
  compose: ([x], { axes }) => div(sum(x!, axes, { keepDims: true }), countOf(x!, axes)),
});
/** Σ x / n over `axis`. */
export const mean = (x: Tensor, axis?: AxisArg, options: ReduceOptions = {}): Tensor =>
  over(meanOp, x, axis, options);

export const logSumExpOp: Op<Axes> = defineOp({
  name: 'logSumExp',
  domain: someAxes,
  out: ([x], { axes }) => {
    wantFloat('logSumExp', x!);
    return like(x!, reduced(x!.shape, axes));
  },
  compose([x], { axes }) {
    const top = detach(max(x!, axes, { keepDims: true }));
    return add(log(sum(exp(sub(x!, top)), axes, { keepDims: true })), top);
  },
  vjp: ({ g, x, y }) => mul(g, exp(sub(x[0]!, y))),
});
/** log Σ e^x over `axis`, without overflow. */
export const logSumExp = (x: Tensor, axis?: AxisArg, options: ReduceOptions = {}): Tensor =>
  over(logSumExpOp, x, axis, options);

interface VarianceAttrs extends Axes {
  readonly correction: number;
}
export const varianceOp: Op<VarianceAttrs> = defineOp({
  name: 'variance',
  domain: (draw) => {
    const shape = draw.shape([1, 4]).with(0, draw.integer(2, 5));
    return { inputs: [{ shape }], attrs: { axes: [0], correction: draw.integer(0, 1) } };
  },
  out: ([x], { axes, correction }) => {
    wantFloat('variance', x!);
    const n = countOf(x!, axes);
    if (n - correction <= 0)
      fail(
        'variance',
        `${n} elements leave nothing after a correction of ${correction}: x is ${showShape(x!.shape)}`,
      );
    return like(x!, reduced(x!.shape, axes));
  },
  compose([x], { axes, correction }) {
    const d = sub(x!, mean(x!, axes, { keepDims: true }));
    return div(sum(mul(d, d), axes, { keepDims: true }), countOf(x!, axes) - correction);
  },
});
/** Σ (x − mean)² / (n − correction) over `axis`; correction 1 is the unbiased estimate, 0 the biased one. */
export function variance(
  x: Tensor,
  axis?: AxisArg,
  { correction = 1, ...options }: ReduceOptions & { readonly correction?: number } = {},
): Tensor {
  const axes = axesOf('variance', axis, x.rank);
  return reduce(varianceOp, x, { axes, correction }, axes, options);
}

export const argmaxOp: Op<{ axis: number }> = defineOp({
  name: 'argmax',
  discrete: true,
  domain: (draw) => {
    const shape = draw.shape([1, 4]);
    return { inputs: [{ shape }], attrs: { axis: draw.integer(0, shape.length - 1) } };
  },
  out: ([x], { axis }) => {
    if (x!.shape[axis] === 0) fail('argmax', `the maximum of nothing: x is ${showShape(x!.shape)}`);
    return like(x!, x!.shape.with(axis, 1), 'i32');
  },
  compose([x], { axis }) {
    const top = eq(x!, max(x!, axis, { keepDims: true }));
    const n = x!.shape[axis]!;
    const fromEnd = sub(n - 1, positions(x!.shape, axis, x!.backend));
    return sub(n - 1, maximum(max(where(top, fromEnd, -1), axis, { keepDims: true }), 0));
  },
});
/** The index (i32) of the first largest element along `axis`. */
export function argmax(x: Tensor, axis = -1, options: ReduceOptions = {}): Tensor {
  const at = axisOf('argmax', axis, x.rank);
  return reduce(argmaxOp, x, { axis: at }, [at], options);
}

export const detachOp: Op<object> = defineOp({
  name: 'detach',
  discrete: true,
  domain: (draw) => ({ inputs: [{ shape: draw.shape() }], attrs: {} }),
  out: ([x]) => like(x!),
  view: (x) => x,
});
/** The same values outside of the tape: a constant to every gradient. Shares memory. */
export const detach = (x: Tensor): Tensor => apply(detachOp, [x], {});

export const reduceOps: readonly Op<never>[] = [
  sumOp,
  maxOp,
  meanOp,
  logSumExpOp,
  varianceOp,
  argmaxOp,
  detachOp,
] as Op<never>[];
