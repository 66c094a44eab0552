import { add, gather, linear, mul, type Tensor, transpose } from '@bax/core';
import type { Embedding, Lookup } from '../layers/embedding.ts';
import { AdaptedLayer } from './adapted.ts';
import type { Active } from './changed-rows.ts';

/**
 * A frozen table with low-rank branches beside it: row W[i] + s B A[:, i], for A [r, count] and B [dim, r]. A linear layer
 * of one-hot vectors, of which A is the zero side: so tokens that were never trained change nothing.
 */
export class LoraEmbedding extends AdaptedLayer<Embedding> implements Lookup {
  get weight(): Tensor {
    return this.base.weight;
  }

  protected withLowRank(ids: Tensor, active: readonly Active[]): Tensor {
    return active.reduce((y, one) => add(y, this.lowRank(ids, one)), gather(this.base.weight, ids));
  }

  protected lowRank(ids: Tensor, { branch, weight }: Active): Tensor {
    return branch
      .products(weight)
      .map(({ A, B, scale }) => mul(linear(gather(transpose(A), ids), B), scale)) // [..., r] → [..., dim]
      .reduce((a, b) => add(a, b));
  }

  protected withDora(ids: Tensor, [only]: readonly Active[]): Tensor {
    return mul(this.withLowRank(ids, [only!]), this.factor(only!));
  }
}
