/** LoRA's forward pass: h = W x + b + (α/r) · B A x, with W frozen. https://arxiv.org/abs/2106.09685 eq. 3 */
import { add, linear, loraLinear, mul, replaceSlices, slice, sub, type Tensor } from '@bax/core';
import type { Linear, OutputSlice, Projection } from '../layers/linear.ts';
import type { Context } from '../module.ts';
import { AdaptedLayer } from './adapted.ts';
import type { Active } from './changed-rows.ts';

/** A frozen linear layer with low-rank branches beside it. */
export class LoraLinear extends AdaptedLayer<Linear> implements Projection {
  get slices(): Readonly<Record<string, OutputSlice>> {
    return this.base.slices;
  }

  protected withLowRank(x: Tensor, active: readonly Active[], context: Context): Tensor {
    const terms = active.flatMap(({ branch, weight }) => branch.terms(x, weight, context));
    return loraLinear(x, this.base.matrix, this.base.bias, terms);
  }

  protected lowRank(x: Tensor, { branch, weight }: Active, context: Context): Tensor {
    return branch
      .terms(x, weight, context)
      .map(({ z, A, B, scale }) => mul(linear(linear(z, A), B), scale))
      .reduce((a, b) => add(a, b));
  }

  /** f ∘ (V x) + b with V = W + s B A; where dropout acts, f ∘ (V z) + (W x − W z) + b, as PEFT has it. */
  protected withDora(x: Tensor, active: readonly Active[], context: Context): Tensor {
    const { matrix, bias, outFeatures } = this.base;
    const rows = (one: Active): Tensor => {
      const { start, length } = one.branch;
      const W = slice(matrix, 0, start, start + length);
      const terms = one.branch.terms(x, one.weight, context).map((term) => ({ ...term, start: 0 }));
      const [{ z }] = terms as [(typeof terms)[number]];
      const turned = mul(loraLinear(z, W, undefined, terms), this.factor(one)); // [..., length]
      return z === x ? turned : add(turned, linear(sub(x, z), W));
    };
    const whole = active.find(({ branch }) => branch.length === outFeatures);
    const y = whole
      ? rows(whole)
      : replaceSlices(linear(x, matrix), -1, active.map((one) => ({ start: one.branch.start, length: one.branch.length, change: () => rows(one) }))); // prettier-ignore
    return bias ? add(y, bias) : y;
  }
}
