import { BaxError, foldIn, fromHost, key, randomBits, type Backend, type Tensor } from '@bax/core';

/** Token ids (i32) [B, T] and, at each place, the token that follows. */
export interface TextBatch {
  readonly ids: Tensor;
  readonly targets: Tensor;
  /** Targets that count. */
  readonly validTokens: number;
}

export interface WindowOptions {
  /** Tokens of a window. */
  readonly context: number;
  /** Windows of a batch. */
  readonly batch: number;
  readonly seed?: number;
  readonly backend?: Backend;
}

/** @throws if a size is no integer from 1, or the text is shorter than one window and its last target. */
function checkSizes(tokens: Int32Array, sizes: { context: number; batch: number; limit?: number }): void {
  for (const [name, size] of Object.entries(sizes))
    if (!Number.isSafeInteger(size) || size < 1)
      throw new BaxError(`windows: ${name} is ${size}; it must be an integer from 1`);
  if (tokens.length <= sizes.context)
    throw new BaxError(
      `the text has ${tokens.length} tokens, too few for one window of ${sizes.context} and the token after it`,
    );
}

function windowsAt(
  tokens: Int32Array,
  starts: readonly number[],
  context: number,
  backend?: Backend,
): TextBatch {
  const [ids, targets] = [new Int32Array(starts.length * context), new Int32Array(starts.length * context)];
  starts.forEach((start, row) => {
    ids.set(tokens.subarray(start, start + context), row * context);
    targets.set(tokens.subarray(start + 1, start + context + 1), row * context);
  });
  const [shape, options] = [[starts.length, context], backend ? { backend } : {}];
  return {
    ids: fromHost(ids, shape, 'i32', options),
    targets: fromHost(targets, shape, 'i32', options),
    validTokens: ids.length,
  };
}

/**
 * `batch` windows of `context` tokens from random places; a pure function of the seed and the step, so that a resumed
 * run sees the same data. @throws if the text is shorter than one window and its last target.
 */
export function randomWindows(
  tokens: Int32Array,
  step: number,
  { context, batch, seed = 0, backend }: WindowOptions,
): TextBatch {
  checkSizes(tokens, { context, batch });
  const places = tokens.length - context;
  const starts = Array.from(randomBits(foldIn(key(seed), step), batch), (bits) => bits % places);
  return windowsAt(tokens, starts, context, backend);
}

/**
 * The text in windows that do not overlap, front to back; what is left at the end is dropped. With a `limit`, only so
 * many windows, evenly spaced over the text.
 */
export function* allWindows(
  tokens: Int32Array,
  {
    context,
    batch,
    backend,
    limit = Number.MAX_SAFE_INTEGER,
  }: Omit<WindowOptions, 'seed'> & { readonly limit?: number },
): Generator<TextBatch> {
  checkSizes(tokens, { context, batch, limit });
  const places = Math.floor((tokens.length - 1) / context);
  const count = Math.min(places, limit);
  const starts = Array.from({ length: count }, (_, i) => Math.floor((i * places) / count) * context);
  for (let at = 0; at < count; at += batch)
    yield windowsAt(tokens, starts.slice(at, at + batch), context, backend);
}
