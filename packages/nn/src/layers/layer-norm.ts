import { layerNorm, within, type Tensor } from '@bax/core';
import { Module } from '../module.ts';

/** Mean 0 and variance 1 along the last axis, then weight and bias. https://arxiv.org/abs/1607.06450 */
export class LayerNorm extends Module {
  weight: Tensor;
  bias: Tensor;
  readonly eps: number;
  constructor(weight: Tensor, bias: Tensor, eps = 1e-5) {
    super();
    this.weight = weight;
    this.bias = bias;
    this.eps = eps;
  }
  forward(x: Tensor): Tensor {
    return within(this.path, () => layerNorm(x, this.weight, this.bias, this.eps));
  }
}
