import { noGrad, scope, type Tensor } from '@bax/core';
import type { Gpt2 } from './models/gpt2.ts';
import { allWindows } from './text.ts';

export interface PerplexityOptions {
  /** Tokens of a window; each starts without memory of the one before. Default: the model's context. */
  readonly context?: number;
  readonly batch?: number;
  /** At most so many windows, evenly spaced over the text. Default: all. */
  readonly limit?: number;
  readonly signal?: AbortSignal | undefined;
  readonly onProgress?: ((progress: { readonly done: number; readonly total: number }) => void) | undefined;
}

/**
 * exp(mean cross-entropy in nats) of each token given those before it in its window; 1 is certainty, the vocabulary's
 * size a blind guess. @throws if the text is shorter than a window, or the signal aborts.
 */
export async function perplexity(
  model: Gpt2,
  tokens: Int32Array,
  options: PerplexityOptions = {},
): Promise<number> {
  const { context = model.config.n_positions, batch = 8, signal, onProgress } = options;
  const { limit = Number.MAX_SAFE_INTEGER } = options;
  const total = Math.min(limit, Math.floor((tokens.length - 1) / context)) * context;
  let [sum, done] = [0, 0];
  for (const { ids, targets, validTokens } of allWindows(tokens, {
    context,
    batch,
    limit,
    backend: model.backend,
  })) {
    let loss: Tensor | undefined;
    try {
      signal?.throwIfAborted();
      loss = scope(() => noGrad(() => model.loss(ids, targets)));
      sum += (await loss.item()) * validTokens;
    } finally {
      [loss, ids, targets].forEach((t) => t?.dispose());
    }
    done += validTokens;
    onProgress?.({ done, total });
    await new Promise((resolve) => setTimeout(resolve)); // lets Ctrl-C and a page breathe
  }
  return Math.exp(sum / done);
}
