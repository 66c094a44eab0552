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

  /**
   * f ∘ (V x) + b with V = R + s B A, where R is W, less what PiSSA and OLoRA took out of it. Where dropout acts it is
   * f ∘ (V z) + (R x − R z) + b, as PEFT has it. W x is one product for all slices, as in the base, so that where f is 1 and
   * B zero its bits are the base's.
   */
  protected withDora(x: Tensor, active: readonly Active[], context: Context): Tensor {
    const { matrix, bias } = this.base;
    const branches = active.map((one) => ({ one, terms: one.branch.terms(x, one.weight, context) }));
    const sum = loraLinear(
      x,
      matrix,
      undefined,
      branches.flatMap(({ terms }) => terms),
    ); // R x + s B (A z)
    const changes = branches.map(({ one, terms: [own, ...taken] }) => {
      const { start, length } = one.branch;
      const change = (part: Tensor): Tensor => {
        const [f, { z }] = [this.factor(one), own!];
        if (z === x) return mul(part, f); // [..., length]
        const d = sub(x, z); // what dropout kept from R
        const rows = slice(matrix, 0, start, start + length);
        const lost = loraLinear(d, rows, undefined, taken.map((term) => ({ ...term, z: d, start: 0 }))); // prettier-ignore
        return add(mul(part, f), mul(lost, sub(1, f)));
      };
      return { start, length, change };
    });
    const y = replaceSlices(sum, -1, changes);
    return bias ? add(y, bias) : y;
  }
}
