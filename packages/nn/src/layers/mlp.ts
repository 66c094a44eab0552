import { BaxError, gelu, geluExact, relu, silu, tanh, type Tensor } from '@bax/core';
import { Module, type Context } from '../module.ts';
import { dropped } from './dropped.ts';
import type { Projection } from './linear.ts';

type Activation = (x: Tensor) => Tensor;
/** By the names that Hugging Face's config.json uses. */
const activations: Readonly<Record<string, Activation>> = {
  gelu_new: gelu,
  gelu_pytorch_tanh: gelu,
  gelu: geluExact,
  relu,
  silu,
  swish: silu,
  tanh,
};

/** @throws if bax has no activation of that name. */
export function activationOf(name: string): Activation {
  const found = Object.hasOwn(activations, name) ? activations[name] : undefined;
  if (!found) throw new BaxError(`activation '${name}' is not one of ${Object.keys(activations).join(', ')}`);
  return found;
}

/** Two linear layers with an activation between them: [..., d] → [..., inner] → [..., d]. */
export class MLP extends Module {
  c_fc: Projection;
  c_proj: Projection;
  readonly activation: string;
  readonly dropout: number;
  constructor(fc: Projection, proj: Projection, activation: string, dropout = 0) {
    super();
    this.c_fc = fc;
    this.c_proj = proj;
    this.activation = activation;
    this.dropout = dropout;
  }
  forward(x: Tensor, context: Context = {}): Tensor {
    const inner = activationOf(this.activation)(this.c_fc.forward(x, context)); // [..., inner]
    return dropped(this.c_proj.forward(inner, context), this.dropout, this, context);
  }
}
