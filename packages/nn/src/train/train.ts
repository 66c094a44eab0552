import { BaxError } from '@bax/core';
import { breather } from '../breath.ts';
import type { Optimizer } from '../optim/optimizer.ts';
import { checkOptions } from '../options.ts';
import { openCheckpoints } from './checkpoints.ts';
import type { TrainBatch, TrainEvent, TrainOptions, TrainResult } from './options.ts';
import { recordedSteps } from './recorded.ts';
import { eagerSteps } from './step.ts';

/**
 * Trains `optimizer.params`: each step computes the loss of its micro-batches, the gradients, clips them and
 * moves the parameters. Micro-batches count by their valid tokens, so that their step is that of one large
 * batch, within rounding. The loss and ‖g‖ are waited for before the parameters are changed; everything that
 * a step makes is freed.
 *
 * With `checkpoints` it survives, from the first of them on: called again after whatever stopped it (an error, a kill, a closed tab), in the same
 * process or another, it goes on from the newest checkpoint and ends with the bits of a run that was never stopped. A
 * checkpoint holds the parameters, the optimiser's state, losses and learning rates; the batches, the random keys and
 * the schedule are functions of the step (and of the seed), which must give again what they gave. One that is torn or
 * was changed is passed over for the one before it.
 *
 * Rejects with a `BaxError` if a loss or a gradient norm is NaN or infinite: it names the step, no part of
 * which was applied. Also if the options do not fit together, a micro-batch has no count of its tokens, none of a
 * step's tokens is valid, or the newest checkpoint is of another run (another optimiser, seed, clip, accumulation,
 * learning rate of a step made, or other settings or parameters): it names what differs, and nothing was changed. Also if
 * a run was stopped before its first checkpoint, and its parameters are given again as its steps left them.
 */
export async function train<B extends TrainBatch>(options: TrainOptions<B>): Promise<TrainResult> {
  const { optimizer, schedule = () => optimizer.lr, signal, onStep, steps, startStep = 0 } = options;
  checkTraining(options);
  const began = performance.now();
  const checkpoints = options.checkpoints && (await openCheckpoints(options, options.checkpoints));
  const { found } = checkpoints ?? {};
  if (checkpoints && !found) begin(optimizer);
  const [losses, rates] = [[...(found?.losses ?? [])], [...(found?.rates ?? [])]];
  const seconds = (): number => (found?.seconds ?? 0) + (performance.now() - began) / 1000;
  let saved = losses.length;
  const save = async (): Promise<void> => {
    await checkpoints?.save({ losses, rates, seconds: seconds() });
    saved = losses.length;
    unsaved.delete(optimizer);
  };

  const { backend } = optimizer.params[0]!;
  const computed = options.replay && backend.record ? recordedSteps(options) : eagerSteps(options);
  const pace = newPace();
  const breathe = breather();
  let step = startStep + losses.length;
  try {
    for (; step < steps && !signal?.aborted; step++) {
      const taken = computed.take(step);
      let event: TrainEvent;
      try {
        const [loss, norm] = await taken.lossAndNorm.data();
        checkFinite('loss', loss, step, steps);
        checkFinite('gradient norm', norm, step, steps);
        const lr = schedule(step);
        taken.apply(lr);
        losses.push(loss);
        rates.push(lr);
        const { tokens } = taken;
        event = { step, steps, loss, lr, gradNorm: norm, tokens, ...pace(tokens, steps - step - 1) };
      } finally {
        taken.free();
      }
      await onStep?.(event);
      if (options.checkpoints && (step + 1) % options.checkpoints.every === 0) await save();
      await breathe();
    }
    if (saved < losses.length) await save();
  } finally {
    computed.dispose();
  }
  return { steps: step, aborted: step < steps, losses, seconds: seconds() };
}

/** The optimisers of runs that have no checkpoint yet, and the steps that each had made before its run began. */
const unsaved = new WeakMap<Optimizer, number>();

/** @throws if the optimiser, and so its parameters, are in the midst of a run of which nothing was saved. */
function begin(optimizer: Optimizer): void {
  const { stepCount } = optimizer;
  const lost = stepCount - (unsaved.get(optimizer) ?? stepCount);
  if (lost > 0)
    throw new BaxError(
      `train: no checkpoint is there to go on from, and ${lost} steps of the run that was stopped are in the parameters; begin with a new model and a new optimizer`,
    );
  unsaved.set(optimizer, stepCount);
}

const TRAIN_OPTIONS: Readonly<Record<keyof TrainOptions<TrainBatch>, 1>> = {
  batches: 1, loss: 1, steps: 1, optimizer: 1, schedule: 1, clip: 1, accumulate: 1, signal: 1, onStep: 1, startStep: 1, checkpoints: 1,
  seed: 1, allowUnused: 1, replay: 1,
}; // prettier-ignore

function checkTraining<B extends TrainBatch>(options: TrainOptions<B>): void {
  checkOptions('train', options, TRAIN_OPTIONS);
  const { steps, startStep = 0, accumulate = 1, optimizer, checkpoints } = options;
  for (const name of ['batches', 'loss'] as const)
    if (typeof options[name] !== 'function') throw new BaxError(`train: ${name} must be a function`);
  if (typeof (optimizer as Partial<Optimizer> | undefined)?.step !== 'function')
    throw new BaxError('train: optimizer must be one, such as adamW(lora.parameters())');
  const wantInteger = (name: string, value: number, least: number): void => {
    if (!Number.isSafeInteger(value) || value < least)
      throw new BaxError(`train: ${name} is ${value}; it must be an integer from ${least}`);
  };
  wantInteger('steps', steps, 0);
  wantInteger('startStep', startStep, 0);
  wantInteger('accumulate', accumulate, 1);
  if (checkpoints) {
    wantInteger('checkpoints.every', checkpoints.every, 1);
    wantInteger('checkpoints.keep', checkpoints.keep ?? 2, 1);
    if (startStep > 0)
      throw new BaxError('train: with checkpoints, where training goes on stands there: leave out startStep');
  }
  const { stepCount } = optimizer;
  if (startStep > 0 && stepCount !== startStep)
    throw new BaxError(
      `train: startStep is ${startStep}, but the optimizer has made ${stepCount} steps; load its state first`,
    );
}

function checkFinite(what: string, value: number, step: number, steps: number): void {
  if (Number.isFinite(value)) return;
  const kept = step === 0 ? 'as they were' : `those after step ${step}`;
  throw new BaxError(
    `train: the ${what} is ${value} at step ${step + 1} of ${steps}, which was not applied: the parameters are ${kept}. ` +
      `Lower the learning rate, clip the gradients, or look at batches(${step})`,
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
