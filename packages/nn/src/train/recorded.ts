/** Steps of train on a backend that can record: those whose batches are alike are recorded once and made again. */
import { assign, copy, type Key, keep, noGrad, record, type Replay, scope, type Tensor, tensor } from '@bax/core'; // prettier-ignore
import { changing, type Leaf, leavesOf, sameLeaves, tensorsIn, withTensors } from './batch-leaves.ts';
import { draw, END, lossAndGrads, type Steps } from './step.ts';
import type { TrainBatch, TrainOptions } from './options.ts';

/** Recordings that are kept, each for batches of its own shape: batches may come in buckets. */
const MOST = 4;

interface Recorded {
  /** What the batches hold, of the steps for which it was recorded. */
  readonly leaves: readonly Leaf[];
  /** The recording's own tensors, which each step's are copied to: of the batches, and the weight of each. */
  readonly inputs: readonly Tensor[];
  readonly keys: readonly Key[];
  readonly gradients: Replay<ReturnType<typeof lossAndGrads>>;
  update: Replay<void> | undefined;
}

export function recordedSteps<B extends TrainBatch>(options: TrainOptions<B>): Steps {
  const { optimizer } = options;
  const { backend } = optimizer.params[0]!;
  const next = draw(options);
  /** The latest last. */
  const known: Recorded[] = [];
  let rate = 0;

  const forget = ({ update, gradients, inputs }: Recorded): void => {
    update?.dispose();
    gradients.dispose();
    for (const t of inputs) t.dispose(END);
  };
  const recorded = (drawn: ReturnType<typeof next>['drawn'], leaves: readonly Leaf[]): Recorded => {
    const inputs: Tensor[] = [];
    const held = (t: Tensor): Tensor => {
      inputs.push(keep(noGrad(() => copy(t))));
      return inputs.at(-1)!;
    };
    try {
      const fed = drawn.map(({ batch, weight, context }) => ({
        batch: fedBy(batch, held),
        weight: held(tensor(weight, { backend })),
        context: changing({ ...context }, ['step', 'micro']),
      }));
      const gradients = record(backend, () => lossAndGrads(options, fed));
      return { leaves, inputs, keys: drawn.map(({ context }) => context.key), gradients, update: undefined };
    } catch (error) {
      for (const t of inputs) t.dispose(END);
      throw error;
    }
  };
  return {
    take: (step) =>
      scope(() => {
        const { drawn, tokens } = next(step);
        const leaves = drawn.flatMap(({ batch }) => leavesOf(batch));
        for (const p of optimizer.params) p.check('train');
        const found = known.find((one) => one.keys.length === drawn.length && sameLeaves(one.leaves, leaves));
        if (found) {
          const given = drawn.flatMap(({ batch, weight }) => [
            ...tensorsIn(leavesOf(batch)),
            tensor(weight, { backend }),
          ]);
          given.forEach((t, i) => assign(found.inputs[i]!, t));
          found.keys.forEach((key, i) => key.set(drawn[i]!.context.key));
          found.gradients.run();
          known.splice(known.indexOf(found), 1);
        } else if (known.length >= MOST) forget(known.shift()!);
        const now = found ?? recorded(drawn, leaves);
        known.push(now);
        const { lossAndNorm, grads } = now.gradients.result;
        return {
          lossAndNorm,
          tokens,
          apply(lr) {
            rate = lr;
            if (now.update) now.update.run();
            else now.update = record(backend, () => optimizer.step(grads, () => rate));
          },
          free: () => undefined,
        };
      }),
    dispose: () => known.splice(0).forEach(forget),
  };
}

/** The batch with the recording's tensors. One of a class of its own comes as it is: it is alike to no other. */
function fedBy<B extends TrainBatch>(batch: B, held: (t: Tensor) => Tensor): B {
  const fed = withTensors(batch, held);
  return fed === batch ? batch : changing(fed, ['validTokens']);
}
