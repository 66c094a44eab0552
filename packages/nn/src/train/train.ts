import { BaxError } from '@bax/core';
import { breather } from '../breath.ts';
import type { TrainBatch, TrainEvent, TrainOptions, TrainResult } from './options.ts';
import { recordedSteps } from './recorded.ts';
import { eagerSteps } from './step.ts';

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
  const { optimizer, schedule = () => optimizer.lr, signal, onStep, steps, startStep = 0 } = options;
  checkOptions(options);
  const { backend } = optimizer.params[0]!;
  const computed = options.replay && backend.record ? recordedSteps(options) : eagerSteps(options);
  const losses: number[] = [];
  const pace = newPace();
  const breathe = breather();

  let step = startStep;
  try {
    for (; step < steps && !signal?.aborted; step++) {
      const taken = computed.take(step);
      let event: TrainEvent;
      try {
        const [loss, norm] = await taken.lossAndNorm.data();
        checkFinite('loss', loss, step);
        checkFinite('gradient norm', norm, step);
        const lr = schedule(step);
        taken.apply(lr);
        losses.push(loss);
        const { tokens } = taken;
        event = { step, steps, loss, lr, gradNorm: norm, tokens, ...pace(tokens, steps - step - 1) };
      } finally {
        taken.free();
      }
      await onStep?.(event);
      await breathe();
    }
  } finally {
    computed.dispose();
  }
  return { steps: step, aborted: step < steps, losses };
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
