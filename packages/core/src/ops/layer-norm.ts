import { apply, defineOp, type Cotangent, type Op } from '../op.ts';
import { showShape } from '../shape.ts';
import type { Tensor } from '../tensor.ts';
import { fail, like, wantFloat, wantSameDtype } from './check.ts';
import { add, mul, rsqrt, sub } from './elementwise.ts';
import { mean } from './reduce.ts';

export interface NormAttrs {
  readonly eps: number;
}
const keepDims = { keepDims: true };

/** x with mean 0 and variance 1 along the last axis, and 1/σ. */
function normalise(x: Tensor, eps: number): { unit: Tensor; rstd: Tensor } {
  const centred = sub(x, mean(x, -1, keepDims));
  const rstd = rsqrt(add(mean(mul(centred, centred), -1, keepDims), eps));
  return { unit: mul(centred, rstd), rstd };
}
const normalised = ({ x, attrs, shared }: Cotangent<NormAttrs>): { unit: Tensor; rstd: Tensor } =>
  shared(() => normalise(x[0]!, attrs.eps));

export const layerNormOp: Op<NormAttrs> = defineOp({
  name: 'layerNorm',
  domain: (draw) => {
    const shape = [...draw.shape([0, 2]), draw.integer(2, 6)];
    const line = { shape: shape.slice(-1) };
    return { inputs: [{ shape }, line, line], attrs: { eps: draw.pick([1e-5, 1e-2]) } };
  },
  out([x, weight, bias], { eps }) {
    wantFloat('layerNorm', x!);
    if (!(eps >= 0)) fail('layerNorm', `eps is ${eps}; it must not be negative`);
    for (const [name, p] of [
      ['weight', weight!],
      ['bias', bias!],
    ] as const) {
      // prettier-ignore
      wantSameDtype('layerNorm', x!, p);
      if (p.rank !== 1 || p.shape[0] !== x!.shape.at(-1))
        fail(
          'layerNorm',
          `${name} ${showShape(p.shape)} does not fit the last axis of x ${showShape(x!.shape)}`,
        );
    }
    return like(x!);
  },
  compose: ([x, weight, bias], { eps }) => add(mul(normalise(x!, eps).unit, weight!), bias!),
  vjp: [
    (c) => {
      const { unit, rstd } = normalised(c);
      const g = mul(c.g, c.x[1]!);
      return mul(rstd, sub(sub(g, mean(g, -1, keepDims)), mul(unit, mean(mul(g, unit), -1, keepDims))));
    },
    (c) => mul(c.g, normalised(c).unit),
    ({ g }) => g,
  ],
  fused: 'layerNorm',
});

/** (x − mean) / √(variance + eps) · weight + bias along the last axis, with the biased variance. https://arxiv.org/abs/1607.06450 */
export const layerNorm = (x: Tensor, weight: Tensor, bias: Tensor, eps = 1e-5): Tensor =>
  apply(layerNormOp, [x, weight, bias], { eps });
