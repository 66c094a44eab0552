import { apply, defineOp, type Cotangent, type Op } from '../op.ts';
import { showShape } from '../shape.ts';
import type { Tensor } from '../tensor.ts';
import { fail, like, wantFloat, wantSameDtype } from './check.ts';
import { add, mul, rsqrt, sub } from './elementwise.ts';
import type { NormAttrs } from './layer-norm.ts';
import { mean } from './reduce.ts';

const keepDims = { keepDims: true };
const rstdOf = (x: Tensor, eps: number): Tensor => rsqrt(add(mean(mul(x, x), -1, keepDims), eps));
const rstd = ({ x, attrs, shared }: Cotangent<NormAttrs>): Tensor => shared(() => rstdOf(x[0]!, attrs.eps));

export const rmsNormOp: Op<NormAttrs> = defineOp({
  name: 'rmsNorm',
  domain: (draw) => {
    const shape = [...draw.shape([0, 2]), draw.integer(1, 6)];
    return { inputs: [{ shape }, { shape: shape.slice(-1) }], attrs: { eps: draw.pick([1e-5, 1e-2]) } };
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
    (c) => {
      const [r, g] = [rstd(c), mul(c.g, c.x[1]!)];
      const unit = mul(c.x[0]!, r);
      return mul(r, sub(g, mul(unit, mean(mul(g, unit), -1, keepDims))));
    },
    (c) => mul(c.g, mul(c.x[0]!, rstd(c))),
  ],
  fused: 'rmsNorm',
});

/** x / √(mean(x²) + eps) · weight along the last axis. https://arxiv.org/abs/1910.07467 */
export const rmsNorm = (x: Tensor, weight: Tensor, eps = 1e-5): Tensor =>
  apply(rmsNormOp, [x, weight], { eps });
