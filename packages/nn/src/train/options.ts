/**
 * What train is told, and what it tells. Programs count steps from 0 (`batches(0)` is that of the first), people from 1:
 * messages and progress do as they.
 */
import type { Key, Tensor } from '@bax/core';
import type { WritableFolder } from '../files/source.ts';
import type { Optimizer } from '../optim/optimizer.ts';
import type { Schedule } from '../optim/schedule.ts';

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
  /** The steps that were made before, of a run whose state you loaded yourself. Default 0. */
  readonly startStep?: number;
  /** Where training survives whatever stops it: the same call goes on from the newest one. */
  readonly checkpoints?: CheckpointOptions;
  /** Of the keys in `TrainContext`. Default 0. */
  readonly seed?: number;
  /**
   * Take the gradient of a parameter that a micro-batch's loss does not depend on for zero, as where rows of a batch have adapters
   * of their own and one adapter has no row. Default false: it is an error.
   */
  readonly allowUnused?: boolean;
  /**
   * Where the backend can record (WebGPU): `loss` runs for the first batch of each shape alone (four shapes are kept), and what it asked of the
   * device is done again for the next ones, which spares the host most of its work. For a `loss` that is a function of
   * the batch's tensors and of `context.key`: it may not read what changes from step to step elsewhere (reading `step`,
   * `micro` or `validTokens` is an error). The bits are the same. See `record`. Default false.
   */
  readonly replay?: boolean;
}

export interface CheckpointOptions {
  /** Where they lie, as `checkpoint-<steps made>.safetensors`; those of one run alone. */
  readonly folder: WritableFolder;
  /** Steps from one to the next. One more comes when training ends or is stopped by its signal. */
  readonly every: number;
  /** How many of the latest stay; an older one goes when a newer one is durable. Default 2. */
  readonly keep?: number;
  /**
   * What the run depends on and train cannot see, as JSON: the data, the base model, α/r, dropout. Compared key by key.
   */
  readonly settings?: Readonly<Record<string, unknown>>;
  /** Told where training goes on, before its first step. Default: what is broken goes to `console.warn`. */
  readonly onResume?: (from: Resumed) => void;
}

/** Where a run that was stopped goes on. */
export interface Resumed {
  /** The steps made before; 0 if no checkpoint is whole. */
  readonly steps: number;
  /** The loss of each. */
  readonly losses: readonly number[];
  /** Spent on them. */
  readonly seconds: number;
  /** The checkpoints that were passed over since they are torn or were changed: each file, and what is wrong with it. */
  readonly broken: readonly string[];
}

export interface TrainResult {
  /** The steps made, those before this call included. */
  readonly steps: number;
  /** Whether the signal stopped training before its last step. */
  readonly aborted: boolean;
  /** The loss of each step: of this call, or, with checkpoints, of the whole run. */
  readonly losses: number[];
  /** Spent on them. */
  readonly seconds: number;
}
