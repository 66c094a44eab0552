import { rmsNorm, within, type Tensor } from '@bax/core';
import { Module } from '../module.ts';

/** Root mean square 1 along the last axis, then weight. https://arxiv.org/abs/1910.07467 */
export class RMSNorm extends Module {
  weight: Tensor;
  readonly eps: number;
  constructor(weight: Tensor, eps = 1e-5) {
    super();
    this.weight = weight;
    this.eps = eps;
  }
  forward(x: Tensor): Tensor {
    return within(this.path, () => rmsNorm(x, this.weight, this.eps));
  }
}
