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
  let top = -Infinity;
  let broken = false;
  for (let token = 0; token < logits.length; token++) {
    const logit = logits[token]!;
    broken ||= Number.isNaN(logit);
    if (logit > top) top = logit;
  }
  if (broken || !Number.isFinite(top))
    throw new BaxError(
      `generate: the logits of token ${step} are NaN or infinite; the model's weights are broken`,
    );
  const order = likeliest(logits, temperature === 0 ? 1 : topK);
  if (order.length === 1) return order[0]!;
  const kept = order.map((token) => ({ weight: Math.exp((logits[token]! - top) / temperature), token }));
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

/** Up to so many tokens are kept in order as they are found; more are sorted. */
const FEW = 256;

/** The k tokens of the largest logits, the likeliest first; of equal ones the first. */
function likeliest(logits: ArrayLike<number>, k: number): number[] {
  if (k > FEW || k >= logits.length)
    return Array.from(logits, (_, token) => token).sort((a, b) => logits[b]! - logits[a]! || a - b).slice(0, k); // prettier-ignore
  const best: number[] = [];
  for (let token = 0; token < logits.length; token++) {
    const logit = logits[token]!;
    if (best.length === k && logit <= logits[best[k - 1]!]!) continue;
    let at = Math.min(best.length, k - 1);
    for (; at > 0 && logits[best[at - 1]!]! < logit; at--) best[at] = best[at - 1]!;
    best[at] = token;
  }
  return best;
}
