import { contiguous, gather, transpose, within, type Tensor } from '@bax/core';
import { Module, type Context } from '../module.ts';

/** What a model may hold where it needs a table: an `Embedding`, or one with an adapter. */
export interface Lookup extends Module {
  /** [count, dim], frozen where an adapter lies beside it. */
  readonly weight: Tensor;
  /** ids (i32) [...] → [..., dim]. */
  forward(ids: Tensor, context?: Context): Tensor;
}

/** Rows of a table: ids (i32) [...] → [..., dim], weight [count, dim]. */
export class Embedding extends Module implements Lookup {
  weight: Tensor;
  constructor(weight: Tensor) {
    super();
    this.weight = weight;
  }
  /** As a linear map of one-hot vectors: [dim, count], a view. */
  get matrix(): Tensor {
    return transpose(this.weight);
  }
  get outFeatures(): number {
    return this.weight.shape[1]!;
  }
  get inFeatures(): number {
    return this.weight.shape[0]!;
  }
  /** A table of another matrix [dim, count]. */
  withMatrix(matrix: Tensor): Embedding {
    return new Embedding(contiguous(transpose(matrix)));
  }
  forward(ids: Tensor, _context?: Context): Tensor {
    return within(this.path, () => gather(this.weight, ids));
  }
}
