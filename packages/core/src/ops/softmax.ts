import { apply, defineOp, type Draw, type Op, type Sample } from '../op.ts';
import type { Tensor } from '../tensor.ts';
import { axisOf, like, wantFloat } from './check.ts';
import { div, exp, log, mul, sub } from './elementwise.ts';
import { detach, max, sum } from './reduce.ts';

export interface Axis {
  readonly axis: number;
}
const anyAxis = (draw: Draw): Sample<Axis> => {
  const shape = draw.shape([1, 4]);
  return { inputs: [{ shape, range: [-4, 4] }], attrs: { axis: draw.integer(0, shape.length - 1) } };
};
const anyAxisTwice = (draw: Draw): Sample<Axis> => {
  const { inputs, attrs } = anyAxis(draw);
  return { inputs: [...inputs, ...inputs], attrs };
};
const keepDims = { keepDims: true };

/** ∂x of y = softmax(x), from g and y: y (g − Σ g y). */
export const softmaxGradOp: Op<Axis> = defineOp({
  name: 'softmaxGrad',
  domain: anyAxisTwice,
  out: ([g]) => like(g!),
  compose: ([g, y], { axis }) => mul(y!, sub(g!, sum(mul(g!, y!), axis, keepDims))),
  fused: 'softmaxGrad',
});

export const softmaxOp: Op<Axis> = defineOp({
  name: 'softmax',
  domain: anyAxis,
  out: ([x]) => (wantFloat('softmax', x!), like(x!)),
  compose([x], { axis }) {
    const powers = exp(sub(x!, detach(max(x!, axis, keepDims))));
    return div(powers, sum(powers, axis, keepDims));
  },
  vjp: ({ g, y, attrs }) => apply(softmaxGradOp, [g, y], attrs),
  fused: 'softmax',
});
/** e^x normalised to sum to one along `axis`. Same shape as x. */
export const softmax = (x: Tensor, axis = -1): Tensor =>
  apply(softmaxOp, [x], { axis: axisOf('softmax', axis, x.rank) });

/** ∂x of y = logSoftmax(x), from g and y: g − e^y Σ g. */
export const logSoftmaxGradOp: Op<Axis> = defineOp({
  name: 'logSoftmaxGrad',
  domain: anyAxisTwice,
  out: ([g]) => like(g!),
  compose: ([g, y], { axis }) => sub(g!, mul(exp(y!), sum(g!, axis, keepDims))),
  fused: 'logSoftmaxGrad',
});

export const logSoftmaxOp: Op<Axis> = defineOp({
  name: 'logSoftmax',
  domain: anyAxis,
  out: ([x]) => (wantFloat('logSoftmax', x!), like(x!)),
  compose([x], { axis }) {
    const z = sub(x!, detach(max(x!, axis, keepDims))); // before the logarithm: x − logSumExp(x) would round at the size of x
    return sub(z, log(sum(exp(z), axis, keepDims)));
  },
  vjp: ({ g, y, attrs }) => apply(logSoftmaxGradOp, [g, y], attrs),
  fused: 'logSoftmax',
});
/** log softmax(x) along `axis`, without overflow. */
export const logSoftmax = (x: Tensor, axis = -1): Tensor =>
  apply(logSoftmaxOp, [x], { axis: axisOf('logSoftmax', axis, x.rank) });
