import {
  dropout,
  foldIn,
  key,
  mean,
  mul,
  randn,
  sqrt,
  sub,
  sum,
  tensor,
  type Key,
  type Tensor,
} from '@bax/core';
import {
  adamW,
  sgd,
  train,
  type Optimizer,
  type TrainBatch,
  type TrainEvent,
  type TrainOptions,
} from '@bax/nn';
import fc from 'fast-check';
import { beforeEach, describe, expect, it, vi } from 'vitest';
import { allValues, f32, f64, freshBackend, values } from '../optim/support.ts';
import { runs } from '../../support/runs.ts';

let { backend } = freshBackend();
beforeEach(() => ({ backend } = freshBackend()));

/** Rows of a regression: x [n, d] and y [n, 1]. */
interface Rows extends TrainBatch {
  readonly x: Tensor;
  readonly y: Tensor;
}
const rows = (step: number, n: number, d = 3): Rows => ({
  x: randn([n, d], { key: foldIn(key(5), step) }),
  y: randn([n, 1], { key: foldIn(key(6), step) }),
  validTokens: n,
});
const squared = (w: Tensor, { x, y }: Rows): Tensor => {
  const error = sub(x.matmul(w), y);
  return mean(mul(error, error));
};
const weight = (): Tensor => randn([3, 1], { key: 1 });
/** Least squares on one weight [3, 1]. */
const regression = (w: Tensor, options: Partial<TrainOptions<Rows>> = {}): TrainOptions<Rows> => ({
  loss: (batch) => squared(w, batch),
  batches: (step, micro) => rows(10 * step + micro, 2 + micro),
  steps: 5,
  optimizer: sgd([w], { lr: 0.05 }),
  ...options,
});

it('learns least squares', async () => {
  const truth = f64([1, -2, 0.5]).reshape([3, 1]);
  const w = tensor([[0], [0], [0]], { dtype: 'f64' });
  const { losses, steps, aborted } = await train({
    batches: (step) => {
      const x = randn([8, 3], { key: foldIn(key(5), step), dtype: 'f64' });
      return { x, y: x.matmul(truth), validTokens: 8 };
    },
    loss: (batch) => squared(w, batch),
    steps: 150,
    optimizer: sgd([w], { lr: 0.2, momentum: 0.5 }),
  });
  expect({ steps, aborted, count: losses.length }).toEqual({ steps: 150, aborted: false, count: 150 });
  expect(losses[0]).toBeGreaterThan(0.5);
  expect(losses.at(-1)).toBeLessThan(1e-20);
  values(w).forEach((x, i) => expect(x).toBeCloseTo(values(truth)[i], 10));
});

describe('P42: micro-batches are the whole batch, weighted by their valid tokens', () => {
  const counts = fc
    .array(fc.nat(5), { minLength: 1, maxLength: 5 })
    .filter((list) => list.some((n) => n > 0));

  it('of unequal lengths, some empty, two steps of momentum; f64', async () => {
    const property = fc.asyncProperty(counts, fc.nat(1000), async (list, seed) => {
      const total = list.reduce((a, b) => a + b);
      const run = async (cuts: number[]): Promise<number[]> => {
        const w = randn([3, 1], { key: 1, dtype: 'f64' });
        const { losses } = await train<Rows>({
          loss: (batch) => squared(w, batch),
          batches: (step, micro) => {
            const [x, y] = [3, 1].map((d) =>
              randn([total, d], { key: foldIn(key(seed + d), step), dtype: 'f64' }),
            );
            const from = cuts.slice(0, micro).reduce((a, b) => a + b, 0);
            const part = (t: Tensor): Tensor => t.slice(0, from, from + cuts[micro]);
            return { x: part(x), y: part(y), validTokens: cuts[micro] };
          },
          accumulate: cuts.length,
          steps: 2,
          optimizer: sgd([w], { lr: 0.1, momentum: 0.9 }),
        });
        return [...values(w), ...losses];
      };
      const [whole, parts] = [await run([total]), await run(list)];
      const size = Math.max(...whole.map(Math.abs));
      parts.forEach((x, i) => expect(Math.abs(x - whole[i])).toBeLessThanOrEqual(1e-13 * size));
    });
    await fc.assert(property, runs(40));
  });

  it('of a linear loss on small integers, bit for bit in f32', async () => {
    const cuts = fc.constantFrom<number[][]>(
      [1, 1, 2],
      [2, 4, 2],
      [4, 4, 8],
      [1, 1],
      [8, 2, 2, 4],
      [0, 4, 0, 4],
    );
    const property = fc.asyncProperty(
      cuts,
      fc.infiniteStream(fc.integer({ min: -4, max: 4 })),
      async (list, ints) => {
        const total = list.reduce((a, b) => a + b);
        const draw = (n: number): number[] => Array.from({ length: n }, () => ints.next().value);
        const [start, x, g] = [draw(6), draw(total * 3), draw(total * 2)];
        const run = async (cuts: number[]): Promise<number[]> => {
          const w = f32(start).reshape([3, 2]);
          const { losses } = await train({
            batches: (_, micro) => {
              const from = cuts.slice(0, micro).reduce((a, b) => a + b, 0);
              const part = (all: number[], d: number): Tensor => f32(all.slice(from * d, (from + cuts[micro]) * d)).reshape([cuts[micro], d]); // prettier-ignore
              return { x: part(x, 3), g: part(g, 2), validTokens: cuts[micro] };
            },
            loss: (batch) => mul(sum(mul(batch.x.matmul(w), batch.g)), 1 / batch.validTokens),
            accumulate: cuts.length,
            steps: 1,
            optimizer: sgd([w], { lr: 0.5 }),
          });
          return [...values(w), ...losses.map((loss) => loss + 0)];
        };
        expect(await run(list)).toEqual(await run([total]));
      },
    );
    await fc.assert(property, runs(40));
  });
});

describe('P51: resume', () => {
  it('with a state that the caller keeps: n steps, load, m steps are n + m, bit for bit, with dropout', async () => {
    const go = (w: Tensor, optimizer: Optimizer, from: number, to: number) =>
      train(
        regression(w, {
          loss: (batch, { key: k }) =>
            squared(w, { ...batch, x: dropout(batch.x, { p: 0.5, key: foldIn(k, 'x') }) }),
          optimizer,
          accumulate: 2,
          clip: 1,
          schedule: (step) => 0.1 / (step + 1),
          steps: to,
          startStep: from,
          seed: 7,
        }),
      );
    const [w, first] = [weight(), weight()];
    const [whole, before] = [await go(w, adamW([w]), 0, 7), adamW([first])];
    const head = await go(first, before, 0, 3);
    const second = f32(values(first)).reshape([3, 1]);
    const after = adamW([second]);
    after.load(before.stateTensors(), before.stepCount);
    const tail = await go(second, after, head.steps, 7);
    expect([...head.losses, ...tail.losses]).toEqual(whole.losses);
    expect(values(second)).toEqual(values(w));
    expect(tail.steps).toBe(7);
  });

  it('gives each step and micro-batch a key of its own, and the same one again', async () => {
    const keysOf = async (options: Partial<TrainOptions<Rows>>): Promise<string[]> => {
      const w = weight();
      const seen: Key[] = [];
      const loss = (batch: Rows, context: { key: Key }): Tensor => (
        seen.push(context.key),
        squared(w, batch)
      );
      await train(regression(w, { ...options, loss, accumulate: 2, steps: 3 }));
      return seen.map(String);
    };
    const zero = await keysOf({});
    expect(new Set([...zero, ...(await keysOf({ seed: 1 }))]).size).toBe(12);
    expect(await keysOf({ seed: 0 })).toEqual(zero);
    expect(zero[3]).toBe(String(foldIn(foldIn(key(0), 1), 1)));
  });

  it('refuses to go on without the state', async () => {
    await expect(train(regression(weight(), { startStep: 2 }))).rejects.toThrow(
      'train: startStep is 2, but the optimizer has made 0 steps; load its state first',
    );
  });
});

describe('memory', () => {
  it('is the same after each of 50 steps, and nothing is left at the end', async () => {
    const w = weight();
    await train(regression(w, { steps: 1, clip: 1 })); // the few constants that core keeps are made
    const before = backend.memory().live;
    const optimizer = adamW([w], { lr: 0.01 });
    const live: number[] = [];
    const onStep = (): void => void live.push(backend.memory().live);
    await train(regression(w, { optimizer, accumulate: 3, clip: 0.1, steps: 50, onStep }));
    expect(live).toHaveLength(50);
    expect(new Set(live).size).toBe(1);
    optimizer.dispose();
    expect(backend.memory().live).toBe(before);
    expect(w.requiresGrad).toBe(false);
  });

  it('is given back when a callback throws', async () => {
    const w = weight();
    await train(regression(w, { steps: 1 }));
    const before = backend.memory().live;
    const fail = (): never => {
      throw new Error('mine');
    };
    await expect(train(regression(w, { onStep: fail }))).rejects.toThrow('mine');
    await expect(train(regression(w, { schedule: fail }))).rejects.toThrow('mine');
    await expect(train(regression(w, { loss: (batch) => (squared(w, batch), fail()) }))).rejects.toThrow(
      'mine',
    );
    await expect(
      train(regression(w, { accumulate: 2, batches: (_, i) => (i ? fail() : rows(0, 2)) })),
    ).rejects.toThrow('mine');
    expect(backend.memory().live).toBe(before);
  });
});

describe('a NaN or an infinity stops training before it is applied', () => {
  /** The weight and the state after 3 steps, and after a run whose 4th step is bad. */
  async function spoil(bad: (w: Tensor, loss: Tensor) => Tensor, clip?: number): Promise<string> {
    const run = async (steps: number, worse: boolean) => {
      const w = tensor([[0], [1], [2]]);
      const optimizer = adamW([w], { lr: 0 }); // the weight's 0 stays, so that √w has an infinite slope there
      const loss = (batch: Rows, { step }: { step: number }): Tensor =>
        worse && step === 3 ? bad(w, squared(w, batch)) : squared(w, batch);
      const done = train(
        regression(w, { optimizer, loss, steps, accumulate: 2, ...(clip === undefined ? {} : { clip }) }),
      );
      const message = await done.then(() => '', String);
      return {
        message,
        state: allValues(optimizer.stateTensors()),
        w: values(w),
        count: optimizer.stepCount,
      };
    };
    const [good, stopped] = [await run(3, false), await run(9, true)];
    expect({ ...stopped, message: '' }).toEqual(good);
    return stopped.message;
  }
  const kept =
    'which was not applied: the parameters are those after step 3. ' +
    'Lower the learning rate, clip the gradients, or look at batches(3)';

  it.each([undefined, 1])('with clip %s', async (clip) => {
    expect(await spoil((_, loss) => mul(loss, NaN), clip)).toBe(
      `BaxError: train: the loss is NaN at step 4 of 9, ${kept}`,
    );
    expect(await spoil((_, loss) => mul(loss, 1e39), clip)).toBe(
      `BaxError: train: the loss is Infinity at step 4 of 9, ${kept}`,
    );
    expect(await spoil((w) => sum(sqrt(w)), clip)).toBe(
      `BaxError: train: the gradient norm is Infinity at step 4 of 9, ${kept}`,
    );
    expect(await spoil((w) => sum(sqrt(mul(w, w))), clip)).toBe(
      `BaxError: train: the gradient norm is NaN at step 4 of 9, ${kept}`,
    );
  });

  it('at the first step too, and every tensor is given back', async () => {
    const w = weight();
    await train(regression(w, { steps: 1 }));
    const before = [backend.memory().live, ...values(w)];
    const done = train(regression(w, { loss: (batch) => mul(squared(w, batch), NaN) }));
    await expect(done).rejects.toThrow(
      'at step 1 of 5, which was not applied: the parameters are as they were.',
    );
    expect([backend.memory().live, ...values(w)]).toEqual(before);
  });
});

describe('AbortSignal', () => {
  it('stops between steps and says so', async () => {
    const stop = new AbortController();
    const onStep = ({ step }: TrainEvent): void => void (step === 1 && stop.abort());
    const [w, same] = [weight(), weight()];
    const result = await train(regression(w, { signal: stop.signal, onStep }));
    expect(result).toMatchObject({ steps: 2, aborted: true });
    expect(result.losses).toEqual((await train(regression(same, { steps: 2 }))).losses);
    expect(values(w)).toEqual(values(same));
    expect(await train(regression(w, { signal: stop.signal }))).toEqual({
      steps: 0,
      aborted: true,
      losses: [],
      seconds: expect.any(Number),
    });
  });

  it('that comes with the last step has nothing to stop', async () => {
    const stop = new AbortController();
    const onStep = ({ step }: TrainEvent): void => void (step === 4 && stop.abort());
    expect(await train(regression(weight(), { signal: stop.signal, onStep }))).toMatchObject({
      steps: 5,
      aborted: false,
    });
  });

  it('is heard from a timer while steps follow each other without a pause', async () => {
    const stop = new AbortController();
    const started = performance.now();
    setTimeout(() => stop.abort(), 1);
    const batches = (step: number): Rows => {
      if (performance.now() - started > 2000) throw new Error('the timer had no turn');
      return rows(step, 2);
    };
    const { aborted, steps } = await train(
      regression(weight(), { batches, signal: stop.signal, steps: 1e9 }),
    );
    expect({ aborted, some: steps > 1 }).toEqual({ aborted: true, some: true });
  });
});

describe('onStep', () => {
  it('is waited for and told what happened', async () => {
    const w = weight();
    const events: TrainEvent[] = [];
    let waiting = false;
    const onStep = async (event: TrainEvent): Promise<void> => {
      expect(waiting).toBe(false);
      waiting = true;
      await new Promise((resolve) => setTimeout(resolve, 2));
      waiting = false;
      events.push(event);
    };
    const schedule = (step: number): number => 0.1 / (step + 1);
    const { losses } = await train(regression(w, { accumulate: 2, schedule, onStep, steps: 4 }));
    expect(events.map(({ step, steps, loss, lr, tokens }) => ({ step, steps, loss, lr, tokens }))).toEqual(
      losses.map((loss, step) => ({ step, steps: 4, loss, lr: schedule(step), tokens: 2 + 3 })),
    );
    for (const { tokensPerSecond } of events.slice(1)) expect(tokensPerSecond).toBeLessThan(5 / 0.0015);
    expect(events.map((e) => Number.isFinite(e.tokensPerSecond) && e.tokensPerSecond > 0)).toEqual([
      true,
      true,
      true,
      true,
    ]);
    expect(events[1].secondsLeft).toBeGreaterThan(2 * 0.0015);
    expect(events[3].secondsLeft).toBe(0);
  });

  it("reports the norm before clipping, and the lr of the optimiser's own", async () => {
    const w = tensor([[3], [0], [4]], { dtype: 'f64' });
    const events: TrainEvent[] = [];
    await train({
      loss: () => sum(mul(w, w)),
      batches: () => ({ validTokens: 1 }),
      steps: 1,
      clip: 1,
      optimizer: sgd([w], { lr: 0.5 }),
      onStep: (event) => void events.push(event),
    });
    expect(events[0]).toMatchObject({ loss: 25, gradNorm: 10, lr: 0.5, tokens: 1 });
    values(w).forEach((x, i) => expect(x).toBeCloseTo([3 - 0.3, 0, 4 - 0.4][i], 14));
  });
});

it('waits for the device once a step', async () => {
  const read = vi.spyOn(backend, 'read');
  await train(regression(weight(), { accumulate: 3, clip: 1, steps: 4 }));
  expect(read).toHaveBeenCalledTimes(4);
});

it.each([
  [{ accumulate: 0 }, 'train: accumulate is 0; it must be an integer from 1'],
  [{ steps: 1.5 }, 'train: steps is 1.5; it must be an integer from 0'],
  [{ startStep: -1 }, 'train: startStep is -1; it must be an integer from 0'],
  [{ batches: () => rows(0, 0) }, 'train: none of the tokens of batches(0) is valid'],
  [
    { accumulate: 2, batches: (_: number, i: number) => ({ ...rows(0, 1), validTokens: i ? NaN : 1 }) },
    'train: validTokens of batches(0, 1) is NaN; it must be an integer from 0',
  ],
  [{ loss: ({ x }: Rows) => x }, 'grad: the loss must be a scalar'],
  [{ schedule: () => -1 }, 'sgd: lr is -1; it must be a finite number from 0'],
])('refuses %o', async (options, message) => {
  const w = weight();
  const before = values(w);
  await expect(train(regression(w, options as Partial<TrainOptions<Rows>>))).rejects.toThrow(message);
  expect(values(w)).toEqual(before);
});

it('names what it was given by mistake', async () => {
  const w = tensor([1, 2], { requiresGrad: true });
  const options = {
    batches: () => ({ validTokens: 1 }),
    loss: () => sum(mul(w, w)),
    optimizer: sgd([w]),
    steps: 1,
  };
  const refused = async (other: object): Promise<unknown> =>
    train({ ...options, ...other }).then(
      () => 'nothing',
      (error: Error) => error.message,
    );
  expect(await refused({ checkpoint: {} })).toMatch(/^train: there is no option 'checkpoint'; there are batches, loss, .*checkpoints/); // prettier-ignore
  expect(await refused({ batches: undefined })).toBe('train: batches must be a function');
  expect(await refused({ optimizer: { lr: 1 } })).toMatch(/^train: optimizer must be one, such as/);
  expect(() => adamW([w], { learningRate: 1 } as object)).toThrow("adamW: there is no option 'learningRate'; there are lr,"); // prettier-ignore
  expect(() => sgd([w], { lr: '1' as unknown as number })).toThrow(
    'sgd: lr is 1; it must be a finite number',
  );
});
