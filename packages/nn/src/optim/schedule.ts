import { BaxError } from '@bax/core';

/** The learning rate of a step, counted from 0. A pure function: a resumed run needs no state of it. */
export type Schedule = (step: number) => number;

export interface WarmupOptions {
  /** The highest learning rate, that of step `warmup`. */
  readonly lr: number;
  /** The steps of training, 0 to steps − 1. */
  readonly steps: number;
  /** The steps of warm-up, 0 to warmup − 1. Default 0. */
  readonly warmup?: number;
  /** Where the decay would arrive at step `steps`, one after the last. Default 0. */
  readonly final?: number;
}

/**
 * lr(step) = lr, always.
 * @throws if lr is not a finite number from 0.
 */
export function constant(lr: number): Schedule {
  if (!(lr >= 0 && lr < Infinity))
    throw new BaxError(`constant: lr is ${lr}; it must be a finite number from 0`);
  return () => lr;
}

/**
 * A straight line up to `lr`, then one down towards `final`:
 *
 *     lr(0) = lr / (warmup + 1)
 *     lr(warmup) = lr
 *     lr(steps − 1) = final + (lr − final) / (steps − warmup)      the last step
 *     lr(step) = final from step `steps` on
 *
 * The lines would meet 0 at step −1 and `final` at step `steps`, so that no step of the training has a rate
 * of 0. The decay is that of transformers' get_linear_schedule_with_warmup.
 * @throws unless lr and final are finite numbers from 0, steps ≥ 1 and 0 ≤ warmup < steps are integers.
 */
export const warmupLinear = (options: WarmupOptions): Schedule =>
  warmed('warmupLinear', options, (progress) => 1 - progress);

/**
 * A straight line up to `lr`, then half a cosine down towards `final`:
 *
 *     lr(0) = lr / (warmup + 1)
 *     lr(warmup) = lr
 *     lr(steps − 1) = final + (lr − final) · (1 − cos(π / (steps − warmup))) / 2      the last step
 *     lr(step) = final from step `steps` on
 *
 * https://arxiv.org/abs/1608.03983 eq. 5 without restarts; the decay is that of transformers'
 * get_cosine_schedule_with_warmup.
 * @throws unless lr and final are finite numbers from 0, steps ≥ 1 and 0 ≤ warmup < steps are integers.
 */
export const warmupCosine = (options: WarmupOptions): Schedule =>
  warmed('warmupCosine', options, (progress) => (1 + Math.cos(Math.PI * progress)) / 2);

/** `shape` falls from 1 to 0 as progress runs from 0 (step `warmup`) to 1 (step `steps`). */
function warmed(by: string, options: WarmupOptions, shape: (progress: number) => number): Schedule {
  const { lr, steps, warmup = 0, final = 0 } = options;
  for (const [name, value] of Object.entries({ lr, final }))
    if (!(value >= 0 && value < Infinity))
      throw new BaxError(`${by}: ${name} is ${value}; it must be a finite number from 0`);
  if (!Number.isSafeInteger(steps) || steps < 1)
    throw new BaxError(`${by}: steps is ${steps}; it must be an integer from 1`);
  if (!Number.isSafeInteger(warmup) || warmup < 0 || warmup >= steps)
    throw new BaxError(
      `${by}: warmup is ${warmup}; it must be an integer from 0 to ${steps - 1}, below steps`,
    );
  return (step) => {
    if (step <= warmup) return lr * ((step + 1) / (warmup + 1));
    if (step >= steps) return final;
    return final + (lr - final) * shape((step - warmup) / (steps - warmup));
  };
}
