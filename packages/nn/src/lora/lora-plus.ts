import { BaxError, type Tensor } from '@bax/core';
import type { Module } from '../module.ts';
import type { ParamGroup } from '../optim/params.ts';
import { checkOptions } from '../options.ts';
import { LoraEmbedding } from './lora-embedding.ts';
import type { LoraModel } from './lora-model.ts';

export interface LoraPlusOptions {
  /** λ: how much larger B's learning rate is than A's. The paper finds about 16. */
  readonly ratio: number;
  /** Of all but biases and gains, which have none. Default: the optimiser's own. */
  readonly weightDecay?: number;
  /** How much larger the rate of an embedding's A and B is than A's. Default 1. */
  readonly embeddingRatio?: number;
}

/**
 * LoRA+'s groups for an optimiser of the active adapters: B, DoRA's lengths and whatever else is a vector learn λ times as fast
 * as A; with a ratio of 1 it is plain LoRA. The same groups as PEFT's. https://arxiv.org/abs/2402.12354
 * @throws if a ratio is not a finite number above 0.
 */
export function loraPlus<M extends Module>(lora: LoraModel<M>, options: LoraPlusOptions): ParamGroup[] {
  checkOptions('loraPlus', options, { ratio: 1, weightDecay: 1, embeddingRatio: 1 });
  const { ratio, weightDecay, embeddingRatio = 1 } = options;
  const embeddings = [...lora.layers].filter(([, layer]) => layer instanceof LoraEmbedding).map(([path]) => path); // prettier-ignore
  for (const [name, value] of Object.entries({ ratio, embeddingRatio }))
    if (!(value > 0 && value < Infinity))
      throw new BaxError(`loraPlus: ${name} is ${value}; it must be a finite number above 0`);
  const group = (): Map<string, Tensor> => new Map();
  const [slow, tables, fast, bare] = [group(), group(), group(), group()];
  for (const [name, t] of lora.parameters()) {
    const factor = /\.(A|B|magnitude)$/.exec(name)?.[1];
    const path = name.slice(name.indexOf('/') + 1);
    const inTable = embeddings.some((of) => path.startsWith(`${of}.`));
    if (factor === undefined && t.rank === 1) bare.set(name, t);
    else if (inTable && factor !== 'magnitude' && factor !== undefined) tables.set(name, t);
    else if (factor === 'B' || t.rank === 1) fast.set(name, t);
    else slow.set(name, t);
  }
  const decay = weightDecay === undefined ? {} : { weightDecay };
  const groups = [
    { params: slow, ...decay },
    { params: tables, lrRatio: embeddingRatio, ...decay },
    { params: fast, lrRatio: ratio, ...decay },
    { params: bare, lrRatio: ratio, weightDecay: 0 },
  ];
  return groups.filter(({ params }) => params.size > 0);
}
