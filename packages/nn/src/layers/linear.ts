import { BaxError, contiguous, linear, showShape, within, type Tensor } from '@bax/core';
import { Module, type Context } from '../module.ts';

/** Rows `start` to `start + length` of the output, e.g. the query part of a fused query-key-value layer. */
export interface OutputSlice {
  readonly start: number;
  readonly length: number;
}

/** What a model may hold where it needs a linear map: a `Linear`, a `Conv1D`, or one of them with an adapter. */
export interface Projection extends Module {
  readonly inFeatures: number;
  readonly outFeatures: number;
  /** Parts of the output that have names of their own, for adapters: `{ q, k, v }` of a fused layer. */
  slices: Readonly<Record<string, OutputSlice>>;
  /** x [..., in] → [..., out]. */
  forward(x: Tensor, context?: Context): Tensor;
}

/** y = x Wᵀ + b for x [..., in], weight [out, in], bias [out]. */
export class Linear extends Module implements Projection {
  weight: Tensor;
  bias: Tensor | undefined;
  slices: Readonly<Record<string, OutputSlice>> = {};

  /** @throws if weight is no matrix, or bias does not fit it. */
  constructor(weight: Tensor, bias?: Tensor) {
    super();
    this.weight = weight;
    this.bias = bias;
    if (weight.rank !== 2) throw new BaxError(`Linear: weight ${showShape(weight.shape)} is not a matrix`);
    if (bias && (bias.rank !== 1 || bias.size !== this.outFeatures))
      throw new BaxError(`Linear: bias ${showShape(bias.shape)} does not fit ${this.outFeatures} outputs`);
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
  /** A layer of the same kind with another matrix [out, in]. */
  withMatrix(matrix: Tensor): Linear {
    return Object.assign(new Linear(contiguous(matrix), this.bias), { slices: this.slices });
  }

  forward(x: Tensor, _context?: Context): Tensor {
    return within(this.path, () => linear(x, this.matrix, this.bias));
  }
}
