import { BaxError, foldIn, key, uniforms } from '@bax/core';

export interface SampleOptions {
  /** Divides the logits; 0 takes the likeliest token. Default 1. */
  readonly temperature?: number;
  /** Draw among the k likeliest tokens alone. */
  readonly topK?: number;
  /** Draw among the likeliest tokens that hold this share of the probability. https://arxiv.org/abs/1904.09751 */
  readonly topP?: number;
  /** Same seed, same tokens. Default 0. */
  readonly seed?: number;
}

/** @throws if an option is out of its range. */
export function checkSampling({ temperature = 1, topK, topP, seed = 0 }: SampleOptions): void {
  if (!(temperature >= 0 && temperature < Infinity))
    throw new BaxError(`generate: temperature is ${temperature}; it must be a finite number from 0`);
  if (topK !== undefined && !(Number.isSafeInteger(topK) && topK >= 1))
    throw new BaxError(`generate: topK is ${topK}; it must be an integer from 1`);
  if (topP !== undefined && !(topP > 0 && topP <= 1))
    throw new BaxError(`generate: topP is ${topP}; it must lie in (0, 1]`);
  key(seed);
}

/** The token drawn from `logits` at `step`, on the host in f64. @throws if a logit is NaN, or the largest infinite. */
export function sampleToken(logits: ArrayLike<number>, step: number, options: SampleOptions = {}): number {
  const { temperature = 1, topK = logits.length, topP = 1, seed = 0 } = options;
  const order = Array.from(logits, (logit, token) => ({ logit, token })).sort(
    (a, b) => b.logit - a.logit || a.token - b.token,
  );
  const top = order[0]!.logit;
  if (!Number.isFinite(top) || order.some(({ logit }) => Number.isNaN(logit)))
    throw new BaxError(
      `generate: the logits of token ${step} are NaN or infinite; the model's weights are broken`,
    );
  if (temperature === 0 || topK === 1) return order[0]!.token;
  const kept = order
    .slice(0, topK)
    .map(({ logit, token }) => ({ weight: Math.exp((logit - top) / temperature), token }));
  const total = kept.reduce((sum, { weight }) => sum + weight, 0);
  let share = 0;
  const cut = kept.findIndex(({ weight }) => (share += weight / total) >= topP);
  const nucleus = cut === -1 ? kept : kept.slice(0, cut + 1);
  let left = uniforms(foldIn(key(seed), step), 1)[0]! * nucleus.reduce((sum, { weight }) => sum + weight, 0);
  for (const { weight, token } of nucleus) {
    left -= weight;
    if (left < 0) return token;
  }
  return nucleus.at(-1)!.token;
}
