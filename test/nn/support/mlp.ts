/** test/reference/mlp.py in bax: a user's own model, with plain linear layers and an untied head. */
import { type Backend, crossEntropy, fromHost, hostArray, keep, tanh, type Tensor } from '@bax/core';
import { type Context, Embedding, LayerNorm, Linear, type Lookup, Module, type Projection } from '@bax/nn';
import { golden } from './golden.ts';

export class Mlp extends Module {
  embed: Lookup;
  fc1: Projection;
  fc2: Projection;
  norm: LayerNorm;
  head: Projection;
  constructor(get: (path: string) => Tensor) {
    super();
    this.embed = new Embedding(get('embed.weight'));
    this.fc1 = new Linear(get('fc1.weight'), get('fc1.bias'));
    this.fc2 = new Linear(get('fc2.weight'));
    this.norm = new LayerNorm(get('norm.weight'), get('norm.bias'));
    this.head = new Linear(get('head.weight'), get('head.bias'));
    this.namedModules();
  }
  /** ids [B, T] → logits [B, T, 11]. */
  forward(ids: Tensor, context: Context = {}): Tensor {
    const hidden = tanh(this.fc1.forward(this.embed.forward(ids, context), context)); // [B, T, 10]
    return this.head.forward(this.norm.forward(this.fc2.forward(hidden, context)), context);
  }
  loss(ids: Tensor, targets: Tensor, context: Context = {}): Tensor {
    return crossEntropy(this.forward(ids, context), targets);
  }
}

/** test/golden/mlp. */
export function loadMlp({ dtype, backend }: { dtype: 'f32' | 'f64'; backend: Backend }): Mlp {
  const weights = golden('mlp/model.safetensors');
  return new Mlp((path) => {
    const { shape, data } = weights.get(path)!;
    const values = hostArray(dtype, data.length);
    values.set(data);
    return keep(fromHost(values, shape, dtype, { backend }));
  });
}
