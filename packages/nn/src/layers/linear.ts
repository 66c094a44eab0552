import { BaxError, linear, showShape, within, type Tensor } from '@bax/core';
import { Module } from '../module.ts';

/** Rows `start` to `start + length` of the output, e.g. the query part of a fused query-key-value layer. */
export interface OutputSlice {
  readonly start: number;
  readonly length: number;
}

/** y = x Wᵀ + b for x [..., in], weight [out, in], bias [out]. */
export class Linear extends Module {
  weight: Tensor;
  bias: Tensor | undefined;
  /** Parts of the output that have names of their own, for adapters: `{ q, k, v }` of a fused layer. */
  slices: Readonly<Record<string, OutputSlice>> = {};

  /** @throws if weight is no matrix, or bias does not fit it. */
  constructor(weight: Tensor, bias?: Tensor) {
    super();
    this.weight = weight;
    this.bias = bias;
    if (weight.rank !== 2) throw new BaxError(`Linear: weight ${showShape(weight.shape)} is not a matrix`);
    if (bias && (bias.rank !== 1 || bias.size !== this.outFeatures)) throw new BaxError(`Linear: bias ${showShape(bias.shape)} does not fit ${this.outFeatures} outputs`);
  }

  /** The weight as [out, in], however it is stored. A view. */
  get matrix(): Tensor {
    return this.weight;
  }
  get outFeatures(): number {
    return this.weight.shape[0]!;
  }
  get inFeatures(): number {
    return this.weight.shape[1]!;
  }

  forward(x: Tensor): Tensor {
    return within(this.path, () => linear(x, this.matrix, this.bias));
  }
}
