import { apply, defineOp, type Op } from '../op.ts';
import { showShape } from '../shape.ts';
import type { Tensor } from '../tensor.ts';
import { fail, like, wantFloat, wantSameDtype } from './check.ts';
import { add, mul, rsqrt, sub } from './elementwise.ts';
import { lastAxis, type NormAttrs } from './layer-norm.ts';
import { rows } from './linear.ts';
import { mean, sum } from './reduce.ts';

const keepDims = { keepDims: true };
const rstdOf = (x: Tensor, eps: number): Tensor => rsqrt(add(mean(mul(x, x), -1, keepDims), eps));
/** ∂x of rmsNorm, from g, x and weight. */
export const rmsNormGradOp: Op<NormAttrs> = defineOp({
  name: 'rmsNormGrad',
  domain(draw) {
    const { shape, line, attrs } = lastAxis(draw, 1);
    return { inputs: [{ shape }, { shape }, line], attrs };
  },
  out: ([g]) => like(g!),
  compose([g, x, weight], { eps }) {
    const [r, h] = [rstdOf(x!, eps), mul(g!, weight!)];
    const unit = mul(x!, r);
    return mul(r, sub(h, mul(unit, mean(mul(h, unit), -1, keepDims))));
  },
  fused: 'rmsNormGrad',
});

/** ∂weight of rmsNorm, from g and x: Σ g · x / σ over all axes but the last. */
export const rmsNormGradWeightOp: Op<NormAttrs> = defineOp({
  name: 'rmsNormGradWeight',
  domain(draw) {
    const { shape, attrs } = lastAxis(draw, 1);
    return { inputs: [{ shape }, { shape }], attrs };
  },
  out: ([g]) => like(g!, g!.shape.slice(-1)),
  compose: ([g, x], { eps }) => sum(rows(mul(g!, mul(x!, rstdOf(x!, eps)))), 0),
  fused: 'rmsNormGradWeight',
});

export const rmsNormOp: Op<NormAttrs> = defineOp({
  name: 'rmsNorm',
  domain(draw) {
    const { shape, line, attrs } = lastAxis(draw, 1);
    return { inputs: [{ shape }, line], attrs };
  },
  out([x, weight], { eps }) {
    wantFloat('rmsNorm', x!);
    wantSameDtype('rmsNorm', x!, weight!);
    if (!(eps >= 0)) fail('rmsNorm', `eps is ${eps}; it must not be negative`);
    if (weight!.rank !== 1 || weight!.shape[0] !== x!.shape.at(-1))
      fail(
        'rmsNorm',
        `weight ${showShape(weight!.shape)} does not fit the last axis of x ${showShape(x!.shape)}`,
      );
    return like(x!);
  },
  compose: ([x, weight], { eps }) => mul(mul(x!, rstdOf(x!, eps)), weight!),
  vjp: [
    ({ g, x, attrs }) => apply(rmsNormGradOp, [g, x[0]!, x[1]!], attrs),
    ({ g, x, attrs }) => apply(rmsNormGradWeightOp, [g, x[0]!], attrs),
  ],
  fused: 'rmsNorm',
});

/** x / √(mean(x²) + eps) · weight along the last axis. https://arxiv.org/abs/1910.07467 */
export const rmsNorm = (x: Tensor, weight: Tensor, eps = 1e-5): Tensor =>
  apply(rmsNormOp, [x, weight], { eps });
