import { apply, defineOp, type Draw, type Op } from '../op.ts';
import { showShape } from '../shape.ts';
import type { Tensor } from '../tensor.ts';
import { fail, like, wantFloat, wantSameDtype } from './check.ts';
import { add, mul, rsqrt, sub } from './elementwise.ts';
import { rows } from './linear.ts';
import { mean, sum } from './reduce.ts';

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
/** For the laws: a tensor whose last axis has at least `least` elements, and a line along it. */
export const lastAxis = (
  draw: Draw,
  least = 3,
): { shape: number[]; line: { shape: number[] }; attrs: NormAttrs } => {
  const shape = [...draw.shape([0, 2]), draw.integer(least, 6)];
  return { shape, line: { shape: shape.slice(-1) }, attrs: { eps: draw.pick([1e-5, 1e-2]) } };
};

/** ∂x of layerNorm, from g, x and weight. */
export const layerNormGradOp: Op<NormAttrs> = defineOp({
  name: 'layerNormGrad',
  domain(draw) {
    const { shape, line, attrs } = lastAxis(draw);
    return { inputs: [{ shape }, { shape }, line], attrs };
  },
  out: ([g]) => like(g!),
  compose([g, x, weight], { eps }) {
    const { unit, rstd } = normalise(x!, eps);
    const h = mul(g!, weight!);
    return mul(rstd, sub(sub(h, mean(h, -1, keepDims)), mul(unit, mean(mul(h, unit), -1, keepDims))));
  },
  fused: 'layerNormGrad',
});

/** ∂weight of layerNorm, from g and x: Σ g · unit over all axes but the last. */
export const layerNormGradWeightOp: Op<NormAttrs> = defineOp({
  name: 'layerNormGradWeight',
  domain(draw) {
    const { shape, attrs } = lastAxis(draw);
    return { inputs: [{ shape }, { shape }], attrs };
  },
  out: ([g]) => like(g!, g!.shape.slice(-1)),
  compose: ([g, x], { eps }) => sum(rows(mul(g!, normalise(x!, eps).unit)), 0),
  fused: 'layerNormGradWeight',
});

export const layerNormOp: Op<NormAttrs> = defineOp({
  name: 'layerNorm',
  domain(draw) {
    const { shape, line, attrs } = lastAxis(draw);
    return { inputs: [{ shape }, line, line], attrs };
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
    ({ g, x, attrs }) => apply(layerNormGradOp, [g, x[0]!, x[1]!], attrs),
    ({ g, x, attrs }) => apply(layerNormGradWeightOp, [g, x[0]!], attrs),
    ({ g }) => g,
  ],
  fused: 'layerNorm',
});

/** (x − mean) / √(variance + eps) · weight + bias along the last axis, with the biased variance. https://arxiv.org/abs/1607.06450 */
export const layerNorm = (x: Tensor, weight: Tensor, bias: Tensor, eps = 1e-5): Tensor =>
  apply(layerNormOp, [x, weight, bias], { eps });
