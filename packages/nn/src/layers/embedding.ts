import { gather, within, type Tensor } from '@bax/core';
import { Module } from '../module.ts';

/** Rows of a table: ids (i32) [...] → [..., dim], weight [count, dim]. */
export class Embedding extends Module {
  weight: Tensor;
  constructor(weight: Tensor) {
    super();
    this.weight = weight;
  }
  forward(ids: Tensor): Tensor {
    return within(this.path, () => gather(this.weight, ids));
  }
}
