/** What train leaves in a folder, and where it goes on. Processes that are really killed: survival.test.ts. */
import { BaxError, fromHost, mul, setBackend, type Backend, type Tensor } from '@bax/core';
import { cpu } from '@bax/cpu';
import { memoryFolder, type Resumed, sgd, train, type TrainOptions, type WritableFolder } from '@bax/nn';
import { beforeEach, describe, expect, it } from 'vitest';
import { failure } from '../files/support.ts';
import { adam, bytesOf, file, loggedFolder, momentum, newRun, type Rows, type Run, STEPS, stopped, unstopped } from './support.ts'; // prettier-ignore

let backend: Backend;
beforeEach(() => setBackend((backend = cpu())));

describe('what lies in the folder', () => {
  it('one each so many steps, one at the end; the last two stay, and none goes before a newer one is there', async () => {
    const folder = loggedFolder();
    const { losses, seconds } = await newRun().train({ checkpoints: { folder, every: 2 } });
    expect(losses).toHaveLength(STEPS);
    expect(seconds).toBeGreaterThan(0);
    const turn = [4, 6, 7].flatMap((steps, i) => [`write ${file(steps)}`, ...(i ? [`remove ${file([2, 4][i - 1]!)}`] : [])]); // prettier-ignore
    expect(folder.log).toEqual([`write ${file(2)}`, ...turn]);
    expect(await folder.list()).toEqual([6, 7].map(file));
  });

  it('at least one stays; other files are left alone', async () => {
    const folder = loggedFolder();
    const others = [
      'checkpoint.safetensors',
      'checkpoint-01.safetensors',
      'model.safetensors',
      'checkpoint-1.json',
    ];
    for (const name of others) await folder.write(name, []);
    await newRun().train({ checkpoints: { folder, every: 3, keep: 1 } });
    expect(folder.log.slice(others.length)).toEqual([
      `write ${file(3)}`, `write ${file(6)}`, `remove ${file(3)}`, `write ${file(7)}`, `remove ${file(6)}`,
    ]); // prettier-ignore
    expect(await folder.list()).toEqual([file(7), ...others].sort());
  });

  it('one where the signal stopped it, and none where no step was made', async () => {
    const folder = await stopped();
    const signal = AbortSignal.abort();
    const { steps, aborted, losses } = await newRun().train({ signal, checkpoints: { folder, every: 2 } });
    expect({ steps, aborted, count: losses.length }).toEqual({ steps: 5, aborted: true, count: 5 });
    expect(await folder.list()).toEqual([2, 4, 5].map(file));
    const empty = loggedFolder();
    await newRun().train({ signal, checkpoints: { folder: empty, every: 2 } });
    expect(empty.log).toEqual([]);
  });

  it('a run that is at its end is not run again', async () => {
    const folder = loggedFolder();
    const first = newRun();
    const done = await first.train({ checkpoints: { folder, every: 5 } });
    const [again, before] = [newRun({ start: 2 }), folder.log.length];
    const result = await again.train({ checkpoints: { folder, every: 5 }, batches: () => expect.fail() });
    expect({ ...result, seconds: 0 }).toEqual({ ...done, seconds: 0 });
    expect(result.seconds).toBeGreaterThan(done.seconds - 0.01);
    expect(await again.bits()).toEqual(await first.bits());
    expect(folder.log).toHaveLength(before);
  });

  it('a disk that is full stops training; what was there stays', async () => {
    const folder = memoryFolder();
    let writes = 0;
    const filling: WritableFolder = {
      ...folder,
      async write(name, chunks, bytes) {
        if (++writes < 3) return folder.write(name, chunks, bytes);
        for await (const _ of chunks) throw new BaxError('the disk is full');
        return 0;
      },
    };
    const run = newRun();
    await expect(run.train({ checkpoints: { folder: filling, every: 1 } })).rejects.toThrow(
      'the disk is full',
    );
    expect(await folder.list()).toEqual([1, 2].map(file));
    expect(run.optimizer.stepCount).toBe(3);
  });
});

describe('P51: going on', () => {
  it.each<[string, NonNullable<Parameters<typeof newRun>[0]>]>([
    ['momentum', { make: momentum }],
    ['AdamW', { make: adam }],
    ['plain descent, which has no state', { make: (params) => sgd(params) }],
    ['f64', { make: adam, dtype: 'f64' }],
  ])('%s: from each step on, with other first weights, to the same bits and losses', async (_, options) => {
    const whole = await unstopped(options);
    const all = memoryFolder();
    await newRun(options).train({ checkpoints: { folder: all, every: 1, keep: STEPS } });
    for (let n = 1; n <= STEPS; n++) {
      const folder = memoryFolder({ [file(n)]: await bytesOf(all, file(n)) });
      setBackend((backend = cpu()));
      const run = newRun({ ...options, start: 2 });
      const from: Resumed[] = [];
      const seen: number[] = [];
      const { losses, steps } = await run.train({
        onStep: ({ step }) => void seen.push(step),
        checkpoints: { folder, every: 3, onResume: (resumed) => void from.push(resumed) },
      });
      expect({ losses, bits: await run.bits(), steps }).toEqual({ ...whole, steps: STEPS });
      expect(seen).toEqual([0, 1, 2, 3, 4, 5, 6].slice(n));
      expect(from).toEqual([
        { steps: n, losses: losses.slice(0, n), seconds: expect.any(Number), broken: [] },
      ]);
    }
  });

  it('after an error, in the same process and with the same tensors', async () => {
    const [folder, run, whole] = [memoryFolder(), newRun(), await unstopped()];
    const checkpoints = { folder, every: 3 };
    const fail = ({ step }: { step: number }): void => {
      if (step === 4) throw new Error('mine');
    };
    await expect(run.train({ checkpoints, onStep: fail })).rejects.toThrow('mine');
    const { losses } = await run.train({ checkpoints });
    expect({ losses, bits: await run.bits() }).toEqual(whole);
  });

  it('not after an error before the first checkpoint, with tensors that are no longer as they began', async () => {
    const [folder, run, whole] = [memoryFolder(), newRun(), await unstopped()];
    const checkpoints = { folder, every: 3 };
    const fail = ({ step }: { step: number }): void => {
      if (step === 1) throw new Error('mine');
    };
    await expect(run.train({ checkpoints, onStep: fail })).rejects.toThrow('mine');
    const bits = await run.bits();
    expect(await failure(() => run.train({ checkpoints }))).toBe(
      'train: no checkpoint is there to go on from, and 2 steps of the run that was stopped are in the parameters; begin with a new model and a new optimizer',
    );
    expect([await run.bits(), await folder.list()]).toEqual([bits, []]);
    const again = newRun();
    const { losses } = await again.train({ checkpoints });
    expect({ losses, bits: await again.bits() }).toEqual(whole);
    await run.train({ steps: 3 }); // without checkpoints it may
  });

  it('more steps than were asked for at first, where their rates are the same', async () => {
    const options = { schedule: () => 0.05 };
    const [folder, run, whole] = [memoryFolder(), newRun(), newRun()];
    const checkpoints = { folder, every: 3 };
    await newRun().train({ ...options, checkpoints, steps: 4 });
    const { losses } = await run.train({ ...options, checkpoints });
    expect(losses).toEqual((await whole.train(options)).losses);
    expect(await run.bits()).toEqual(await whole.bits());
  });

  it('from the one of the most steps, 10 and not 9', async () => {
    const folder = memoryFolder();
    const from: number[] = [];
    const checkpoints = { folder, every: 1, onResume: ({ steps }: Resumed) => void from.push(steps) };
    for (const steps of [10, 11]) await newRun().train({ schedule: () => 0.01, steps, checkpoints });
    expect(from).toEqual([10]);
    expect(await folder.list()).toEqual([10, 11].map(file));
  });

  it('an optimiser that has made steps before counts on from them', async () => {
    const used = async (): Promise<Run> => {
      const run = newRun({ make: adam });
      await run.train({ steps: 2 });
      return run;
    };
    const [folder, whole, first, last] = [memoryFolder(), await used(), await used(), newRun({ make: adam })];
    await whole.train({ steps: 5 });
    await first.train({ steps: 5, checkpoints: { folder, every: 5 } });
    await last.train({ steps: 5, checkpoints: { folder, every: 5 } });
    expect(last.optimizer.stepCount).toBe(7);
    expect(await last.bits()).toEqual(await whole.bits());
  });

  it('holds f64 bits that f32 has not, zeros with their signs, and numbers near the smallest', async () => {
    const odd = Float64Array.of(-0, 0, 5e-324, 1 + 2 ** -52, -1e300, Math.PI);
    const make = async (values: Float64Array): Promise<{ w: Tensor; go: () => Promise<unknown> }> => {
      const w = fromHost(values, [6], 'f64');
      const go = async () => train({
        batches: () => ({ validTokens: 1 }),
        loss: () => mul(w, 0).sum(),
        optimizer: sgd([w], { lr: 0 }),
        steps: 1,
        checkpoints: { folder, every: 1 },
      }); // prettier-ignore
      return { w, go };
    };
    const folder = memoryFolder();
    await (await make(odd)).go();
    const { w, go } = await make(new Float64Array(6));
    await go();
    expect(new BigUint64Array((await w.data()).buffer)).toEqual(new BigUint64Array(odd.buffer));
  });

  it('gives back what it took: nothing is held after it, nor by a checkpoint', async () => {
    const run = newRun();
    await run.train({ steps: 1 });
    const { live } = backend.memory();
    const folder = await stopped();
    const held = backend.memory().live;
    const other = newRun();
    await other.train({ checkpoints: { folder, every: 1 } });
    expect(backend.memory().live - held).toBe(held - live);
  });
});

describe('options that cannot be', () => {
  const cases: [string, Partial<TrainOptions<Rows>>, string][] = [
    ['every', { checkpoints: { folder: memoryFolder(), every: 0 } }, 'train: checkpoints.every is 0; it must be an integer from 1'],
    ['keep', { checkpoints: { folder: memoryFolder(), every: 1, keep: 0 } }, 'train: checkpoints.keep is 0; it must be an integer from 1'],
    ['startStep', { startStep: 1, checkpoints: { folder: memoryFolder(), every: 1 } }, 'train: with checkpoints, where training goes on stands there: leave out startStep'],
    ['settings', { checkpoints: { folder: memoryFolder(), every: 1, settings: { n: 1n } } }, 'train: the settings of checkpoints are not JSON: TypeError: Do not know how to serialize a BigInt'],
  ]; // prettier-ignore
  it.each(cases)('%s', async (_, options, message) => {
    expect(await failure(() => newRun().train(options))).toBe(message);
  });
});
