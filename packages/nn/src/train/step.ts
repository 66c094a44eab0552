/** What a step of train computes: the loss of its micro-batches, their gradients and norm. */
import {
  add, BaxError, cast, copyAlike, foldIn, key as keyOf, mapRuns, mul, noGrad, reshape, scope, stack, type Tensor, valueAndGrad,
} from '@bax/core'; // prettier-ignore
import { clipGradNorm, gradNorm } from '../optim/clip.ts';
import type { TrainBatch, TrainContext, TrainOptions } from './options.ts';

/** A step whose loss and gradients are being computed. */
export interface Step {
  /** [2]: the loss, and ‖g‖ before clipping. */
  readonly lossAndNorm: Tensor;
  /** The valid tokens of the step. */
  readonly tokens: number;
  /** Changes the parameters. */
  apply(lr: number): void;
  /** To be called at its end, applied or not. */
  free(): void;
}
export interface Steps {
  take(step: number): Step;
  dispose(): void;
}

/** A micro-batch with valid tokens. */
export interface MicroBatch<B> {
  readonly batch: B;
  /** Its share of the step's valid tokens: a number, or a scalar that holds it. */
  readonly weight: number | Tensor;
  readonly context: TrainContext;
}

export const END = "at the end of train's step";

/** Computes each step anew. */
export function eagerSteps<B extends TrainBatch>(options: TrainOptions<B>): Steps {
  const next = draw(options);
  return {
    take(step) {
      const { grads, lossAndNorm, tokens } = scope(() => {
        const { drawn, tokens } = next(step);
        return { ...lossAndGrads(options, drawn), tokens };
      });
      return {
        lossAndNorm,
        tokens,
        apply: (lr) => options.optimizer.step(grads, lr),
        free: () => [lossAndNorm, ...grads].forEach((t) => t.dispose(END)),
      };
    },
    dispose: () => undefined,
  };
}

/** Gives a step's micro-batches, without those that have no valid token. */
export function draw<B extends TrainBatch>({ batches, accumulate = 1, seed = 0 }: TrainOptions<B>) {
  const root = keyOf(seed);
  return (
    step: number,
  ): { drawn: (MicroBatch<B> & { readonly weight: number })[]; readonly tokens: number } => {
    const all = Array.from({ length: accumulate }, (_, micro) => batches(step, micro));
    const counts = all.map(({ validTokens: n }, micro) => {
      if (Number.isSafeInteger(n) && n >= 0) return n;
      throw new BaxError(
        `train: validTokens of batches(${step}, ${micro}) is ${n}; it must be an integer from 0`,
      );
    });
    const tokens = counts.reduce((a, b) => a + b);
    if (tokens === 0) throw new BaxError(`train: none of the tokens of batches(${step}) is valid`);
    const stepKey = foldIn(root, step);
    const drawn = all.flatMap((batch, micro) =>
      counts[micro] === 0
        ? []
        : [
            {
              batch,
              weight: counts[micro]! / tokens,
              context: { step, micro, key: foldIn(stepKey, micro) },
            },
          ],
    );
    return { drawn, tokens };
  };
}

/** The weighted mean over the micro-batches, its gradients after clipping, and [loss, ‖g‖ before]. */
export function lossAndGrads<B extends TrainBatch>(
  { loss, clip, optimizer: { params, namedParams }, allowUnused = false }: TrainOptions<B>,
  drawn: readonly MicroBatch<B>[],
): { lossAndNorm: Tensor; grads: Tensor[] } {
  const names = [...namedParams.keys()];
  let total: { loss: Tensor; grads: Tensor[] } | undefined;
  for (const { batch, weight, context } of drawn) {
    const weighted = (mean: Tensor): Tensor => (weight === 1 ? mean : mul(mean, weight));
    const { value, grads } = valueAndGrad(() => weighted(loss(batch, context)), params, {
      allowUnused,
      names,
    });
    const laid = copyAlike(grads, params); // so that they are summed, measured and clipped in few calls
    for (const g of grads) g.dispose();
    if (!total) total = { loss: value, grads: laid };
    else {
      const sum = noGrad(() => mapRuns([total!.grads, laid], (a, b) => add(a!, b!)));
      for (const g of [...total.grads, ...laid]) g.dispose();
      total = { loss: add(total.loss, value), grads: sum };
    }
  }
  const { grads } = total!;
  const clipped = clip === undefined ? { grads, norm: gradNorm(grads) } : clipGradNorm(grads, clip);
  const mean = reshape(total!.loss, []);
  return { grads: clipped.grads, lossAndNorm: stack([mean, cast(clipped.norm, mean.dtype)]) };
}
