import { BaxError, noGrad, scope, tensor } from '@bax/core';
import { breather } from './breath.ts';
import type { Gpt2 } from './models/gpt2.ts';
import { checkSampling, sampleToken, type SampleOptions } from './sample.ts';

export interface GenerateOptions extends SampleOptions {
  /** Default: as many as fit into the model's context. */
  readonly maxNewTokens?: number;
  /** Ends before one of these tokens. Default: the configuration's eos_token_id. */
  readonly stopTokens?: readonly number[];
  /** Keep keys and values of the tokens seen. Default true; false recomputes all of them for each token. */
  readonly cache?: boolean;
  readonly signal?: AbortSignal | undefined;
}

/**
 * Continues `prompt` (token ids), a token at a time: `for await (const token of generate(model, ids)) …`.
 * Stopping the loop early frees everything; an aborted signal ends it without an error, and can: now and then messages,
 * timers and the page have their turn.
 * @throws if the prompt is empty or too long, a token is outside of the vocabulary, or an option is out of range.
 */
export async function* generate(
  model: Gpt2,
  prompt: ArrayLike<number>,
  options: GenerateOptions = {},
): AsyncGenerator<number, void, undefined> {
  const { n_positions: context, eos_token_id } = model.config;
  const {
    maxNewTokens = context - prompt.length,
    stopTokens = eos_token_id === null ? [] : [eos_token_id],
    signal,
  } = options;
  checkSampling(options);
  if (prompt.length === 0) throw new BaxError('generate: the prompt is empty; give at least one token');
  if (!Number.isSafeInteger(maxNewTokens) || maxNewTokens < 0 || prompt.length + maxNewTokens > context)
    throw new BaxError(
      `generate: a prompt of ${prompt.length} tokens and ${maxNewTokens} new ones do not fit the model's context of ${context}; ask for at most ${Math.max(0, context - prompt.length)}`,
    );
  const { backend } = model;
  const cache = options.cache === false ? undefined : model.newCache(1, prompt.length + maxNewTokens);
  const seen = Array.from(prompt);
  const breathe = breather();
  try {
    for (let step = 0; step < maxNewTokens; step++) {
      await breathe();
      if (signal?.aborted) return;
      const news = cache ? seen.slice(cache.length) : seen;
      const logits = scope(() =>
        noGrad(() => model.lastLogits(tensor([news], { dtype: 'i32', backend }), { cache })),
      );
      const values = await logits.data().finally(() => logits.dispose());
      const token = sampleToken(values, step, options);
      if (stopTokens.includes(token)) return;
      seen.push(token);
      yield token;
    }
  } finally {
    cache?.dispose();
  }
}
