import {
  add,
  BaxError,
  cast,
  copyAlike,
  foldIn,
  key as keyOf,
  mapRuns,
  mul,
  noGrad,
  reshape,
  scope,
  stack,
  valueAndGrad,
} from '@bax/core';
import type { Key, Tensor } from '@bax/core';
import { breather } from './breath.ts';
import { clipGradNorm, gradNorm } from './optim/clip.ts';
import type { Optimizer } from './optim/optimizer.ts';
import type { Schedule } from './optim/schedule.ts';

/** What `loss` is given, of any further shape. */
export interface TrainBatch {
  /** How many tokens (or rows) the loss is the mean of; those ignored are not counted. */
  readonly validTokens: number;
}

/** Where in the training a loss is computed. Made for a model's `forward(x, context)`. */
export interface TrainContext {
  /** Counted from 0. */
  readonly step: number;
  /** Which of the step's micro-batches, counted from 0. */
  readonly micro: number;
  /** For dropout and the like: foldIn(foldIn(key(seed), step), micro). */
  readonly key: Key;
}

export interface TrainEvent {
  /** The step that was just made, counted from 0. */
  readonly step: number;
  readonly steps: number;
  /** The mean loss over the step's valid tokens, before the update. */
  readonly loss: number;
  readonly lr: number;
  /** ‖g‖ before clipping. */
  readonly gradNorm: number;
  /** The valid tokens of the step. */
  readonly tokens: number;
  /** Over this call of train, but for its first step, in which kernels are compiled. */
  readonly tokensPerSecond: number;
  readonly secondsLeft: number;
}

export interface TrainOptions<B extends TrainBatch> {
  /**
   * The micro-batch: a function of its arguments alone, so that training can be resumed. The tensors that it
   * makes are freed at the end of the step. (Written before `loss`, it gives that its type.)
   */
  readonly batches: (step: number, micro: number) => B;
  /** The mean loss over a micro-batch's valid tokens; a scalar. What it makes is freed, too. */
  readonly loss: (batch: B, context: TrainContext) => Tensor;
  /** Trains steps `startStep` to `steps` − 1. */
  readonly steps: number;
  readonly optimizer: Optimizer;
  /** Default: the optimiser's own lr. */
  readonly schedule?: Schedule;
  /** The largest ‖g‖; see `clipGradNorm`. Default: no clipping. */
  readonly clip?: number;
  /** Micro-batches in a step. Default 1. */
  readonly accumulate?: number;
  /** Stops training between two steps. */
  readonly signal?: AbortSignal;
  /** Called after each step, and waited for: save, evaluate, show. */
  readonly onStep?: (event: TrainEvent) => void | Promise<void>;
  /** The steps that were made before. Default 0. */
  readonly startStep?: number;
  /** Of the keys in `TrainContext`. Default 0. */
  readonly seed?: number;
}

export interface TrainResult {
  /** The steps made, those before `startStep` included: the `startStep` with which to go on. */
  readonly steps: number;
  /** Whether the signal stopped training before its last step. */
  readonly aborted: boolean;
  /** The loss of each step of this call. */
  readonly losses: number[];
}

/**
 * Trains `optimizer.params`: each step computes the loss of its micro-batches, the gradients, clips them and
 * moves the parameters. Micro-batches count by their valid tokens, so that their step is that of one large
 * batch, within rounding. The loss and ‖g‖ are waited for before the parameters are changed; everything that
 * a step makes is freed.
 *
 * To resume bit for bit, save the parameters, `optimizer.stateTensors()`, `optimizer.stepCount` and the
 * number of steps made; load them and pass that number as `startStep`, the rest as before. There is no other
 * state: the batch, the learning rate and the random keys are functions of the step (and of the seed).
 *
 * Rejects with a `BaxError` if a loss or a gradient norm is NaN or infinite: it names the step, no part of
 * which was applied. Also if the options do not fit together, a micro-batch has no count of its tokens, or
 * none of a step's tokens is valid.
 */
export async function train<B extends TrainBatch>(options: TrainOptions<B>): Promise<TrainResult> {
  const { optimizer, schedule = () => optimizer.lr, clip, signal, onStep } = options;
  const { steps, startStep = 0, accumulate = 1 } = options;
  checkOptions(options);
  const root = keyOf(options.seed ?? 0);
  const losses: number[] = [];
  const pace = newPace();
  const breathe = breather();

  let step = startStep;
  for (; step < steps && !signal?.aborted; step++) {
    const { grads, lossAndNorm, tokens } = scope(() => {
      const { loss, grads, tokens } = lossAndGrads(options, step, accumulate, foldIn(root, step));
      const clipped = clip === undefined ? { grads, norm: gradNorm(grads) } : clipGradNorm(grads, clip);
      return { grads: clipped.grads, lossAndNorm: stack([loss, cast(clipped.norm, loss.dtype)]), tokens };
    });
    let event: TrainEvent;
    try {
      const [loss, norm] = await lossAndNorm.data();
      checkFinite('loss', loss, step);
      checkFinite('gradient norm', norm, step);
      const lr = schedule(step);
      optimizer.step(grads, lr);
      losses.push(loss);
      event = { step, steps, loss, lr, gradNorm: norm, tokens, ...pace(tokens, steps - step - 1) };
    } finally {
      for (const t of [lossAndNorm, ...grads]) t.dispose("at the end of train's step");
    }
    await onStep?.(event);
    await breathe();
  }
  return { steps: step, aborted: step < steps, losses };
}

/** The weighted mean over the step's micro-batches; one with no valid token is left out. */
function lossAndGrads<B extends TrainBatch>(
  { loss, batches, optimizer: { params } }: TrainOptions<B>,
  step: number,
  accumulate: number,
  stepKey: Key,
): { loss: Tensor; grads: Tensor[]; tokens: number } {
  const drawn = Array.from({ length: accumulate }, (_, micro) => batches(step, micro));
  const counts = drawn.map(({ validTokens: n }, micro) => {
    if (Number.isSafeInteger(n) && n >= 0) return n;
    throw new BaxError(
      `train: validTokens of micro-batch ${micro} of step ${step} is ${n}; it must be an integer from 0`,
    );
  });
  const tokens = counts.reduce((a, b) => a + b);
  if (tokens === 0) throw new BaxError(`train: none of the tokens of step ${step} is valid`);
  let total: { loss: Tensor; grads: Tensor[] } | undefined;
  drawn.forEach((batch, micro) => {
    if (counts[micro] === 0) return;
    const weight = counts[micro]! / tokens;
    const weighted = (mean: Tensor): Tensor => (weight === 1 ? mean : mul(mean, weight));
    const context = { step, micro, key: foldIn(stepKey, micro) };
    const { value, grads } = valueAndGrad(() => weighted(loss(batch, context)), params);
    const laid = copyAlike(grads, params); // so that they are summed, measured and clipped in few calls
    for (const g of grads) g.dispose();
    if (!total) total = { loss: value, grads: laid };
    else {
      const sum = noGrad(() => mapRuns([total!.grads, laid], (a, b) => add(a!, b!)));
      for (const g of [...total.grads, ...laid]) g.dispose();
      total = { loss: add(total.loss, value), grads: sum };
    }
  });
  return { loss: reshape(total!.loss, []), grads: total!.grads, tokens };
}

function checkOptions<B extends TrainBatch>(options: TrainOptions<B>): void {
  const { steps, startStep = 0, accumulate = 1, optimizer } = options;
  const wantInteger = (name: string, value: number, least: number): void => {
    if (!Number.isSafeInteger(value) || value < least)
      throw new BaxError(`train: ${name} is ${value}; it must be an integer from ${least}`);
  };
  wantInteger('steps', steps, 0);
  wantInteger('startStep', startStep, 0);
  wantInteger('accumulate', accumulate, 1);
  const { stepCount } = optimizer;
  if (startStep > 0 && stepCount !== startStep)
    throw new BaxError(
      `train: startStep is ${startStep}, but the optimizer has made ${stepCount} steps; load its state first`,
    );
}

function checkFinite(what: string, value: number, step: number): void {
  if (Number.isFinite(value)) return;
  const kept = step === 0 ? 'as they were' : `those of the last good step, ${step - 1}`;
  throw new BaxError(
    `train: the ${what} is ${value} at step ${step}, which was not applied: the parameters are ${kept}. ` +
      'Lower the learning rate, clip the gradients, or look at the batch',
  );
}

/** Tokens a second and the seconds left, counted from the end of the first step once there is a second. */
function newPace(): (tokens: number, stepsLeft: number) => { tokensPerSecond: number; secondsLeft: number } {
  let [since, steps, sum, first] = [performance.now(), 0, 0, true];
  return (tokens, stepsLeft) => {
    const now = performance.now();
    const seconds = Math.max(now - since, 1e-3) / 1000;
    steps++;
    sum += tokens;
    const pace = { tokensPerSecond: sum / seconds, secondsLeft: (seconds / steps) * stepsLeft };
    if (first) [since, steps, sum, first] = [now, 0, 0, false];
    return pace;
  };
}
