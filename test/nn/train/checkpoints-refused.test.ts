import { setBackend, type Backend } from '@bax/core';
import { cpu } from '@bax/cpu';
import { sgd, type TrainOptions, warmupLinear, type WritableFolder } from '@bax/nn';
import { beforeEach, describe, expect, it } from 'vitest';
import { failure } from '../files/support.ts';
import { rewrite, type Raw } from '../support/golden.ts';
import { adam, bytesOf, file, newRun, type Rows, type Run, sealed, STEPS, stopped } from './support.ts';

let backend: Backend;
beforeEach(() => setBackend((backend = cpu())));

type Change = (tensors: Map<string, Raw>, metadata: Record<string, string>) => void;

describe('a checkpoint of another run is refused, field by field, and nothing is changed', () => {
  async function refused(
    folder: WritableFolder,
    run: Run,
    options: Partial<TrainOptions<Rows>> = {},
  ): Promise<string> {
    const before = { bits: await run.bits(), live: backend.memory().live, files: await folder.list() };
    const message = await failure(() => run.train({ checkpoints: { folder, every: 1 }, ...options }));
    expect({ bits: await run.bits(), live: backend.memory().live, files: await folder.list() }).toEqual(
      before,
    );
    return message;
  }
  const other = `train: runs/${file(5)} is of another run, and nothing was changed; give checkpoints another folder, or delete these to begin anew`;
  type Options = Partial<TrainOptions<Rows>>;
  const tail = (lr: number): Options => ({ schedule: (step) => (step < 3 ? warmupLinear({ lr: 0.1, steps: STEPS, warmup: 2 })(step) : lr) }); // prettier-ignore
  const cases: [string, () => Run, Options, string[]][] = [
    ['seed', newRun, { seed: 4 }, ['seed was 3, is 4']],
    ['clip', newRun, { clip: 2 }, ['clip was 1, is 2']],
    ['micro-batches', newRun, { accumulate: 3 }, ['accumulate was 2, is 3']],
    ['fewer steps', newRun, { steps: 4 }, ['steps was 5 or more, is 4']],
    ['the schedule', newRun, { schedule: () => 0.1 }, [`the learning rate of step 1 was ${0.1 / 3}, is 0.1`]],
    ['the schedule, later', newRun, tail(0.5), [`the learning rate of step 4 was ${warmupLinear({ lr: 0.1, steps: STEPS, warmup: 2 })(3)}, is 0.5`]],
    ['another optimiser', () => newRun({ make: adam }), {}, [
      'optimizer/w.momentum_buffer was "F32 [3, 2]", is absent', 'optimizer/b.momentum_buffer was "F32 [2]", is absent',
      'optimizer/w.exp_avg was absent, is "F32 [3, 2]"', 'optimizer/w.exp_avg_sq was absent, is "F32 [3, 2]"',
      'optimizer/b.exp_avg was absent, is "F32 [2]"', 'optimizer/b.exp_avg_sq was absent, is "F32 [2]"',
      'optimizer.name was "sgd", is "adamW"', 'optimizer.momentum was 0.9, is absent',
      'optimizer.nesterov was false, is absent', 'optimizer.groups[0].weightDecay was 0.1, is 0.01',
      'optimizer.betas was absent, is [0.8,0.9]', 'optimizer.eps was absent, is 1e-8',
    ]],
    ['its numbers', () => newRun({ make: (params) => sgd(params, { momentum: 0.8, nesterov: true, weightDecay: 0.1 }) }), {}, [
      'optimizer.momentum was 0.9, is 0.8', 'optimizer.nesterov was false, is true',
    ]],
    ['its groups', () => newRun({ make: (params) => sgd([{ params, lrRatio: 2 }], { momentum: 0.9, weightDecay: 0.1, decay: (p) => p.rank > 1 }) }), {}, [
      'optimizer.groups[0].lrRatio was 1, is 2', 'optimizer.groups[0].params[1] was "b", is absent',
      'optimizer.groups[1] was absent, is {"lrRatio":2,"weightDecay":0,"params":["b"]}',
    ]],
    ['names', () => newRun({ names: ['w', 'bias'] }), {}, [
      'parameter/b was "F32 [2]", is absent', 'optimizer/b.momentum_buffer was "F32 [2]", is absent',
      'parameter/bias was absent, is "F32 [2]"', 'optimizer/bias.momentum_buffer was absent, is "F32 [2]"',
      'optimizer.groups[0].params[1] was "b", is "bias"',
    ]],
    ['a dtype', () => newRun({ dtype: 'f64' }), {}, ['w', 'b'].flatMap((name) => [`parameter/${name}`, `optimizer/${name}.momentum_buffer`].map((t) => `${t} was "F32 [${name === 'w' ? '3, 2' : '2'}]", is "F64 [${name === 'w' ? '3, 2' : '2'}]"`))],
  ]; // prettier-ignore

  it.each(cases)('%s', async (_, make, options, lines) => {
    const [head, ...told] = (await refused(await stopped(), make(), options)).split('\n  ');
    expect(head).toBe(other);
    expect(told.sort()).toEqual([...lines].sort());
  });

  it('shapes', async () => {
    const folder = await stopped();
    const turned = rewrite(await bytesOf(folder, file(5)), (tensors) => {
      for (const [name, t] of tensors) if (name.includes('/w')) tensors.set(name, { ...t, shape: [2, 3] });
    });
    await folder.write(file(5), [sealed(turned)]);
    expect(await refused(folder, newRun())).toBe(
      `${other}\n  optimizer/w.momentum_buffer was "F32 [2, 3]", is "F32 [3, 2]"\n  parameter/w was "F32 [2, 3]", is "F32 [3, 2]"`,
    );
  });

  it('what the user said of it: data, base model; key by key, as JSON', async () => {
    const settings = { data: 'abc', base: { name: 'gpt2', sha256: '12' }, alpha: 16 };
    const folder = await stopped({}, settings);
    const checkpoints = (settings: object): Options => ({
      checkpoints: { folder, every: 1, settings: { ...settings } },
    });
    expect(
      await refused(
        folder,
        newRun(),
        checkpoints({ ...settings, base: { name: 'gpt2', sha256: '13' }, r: 8 }),
      ),
    ).toBe(`${other}\n  settings.base.sha256 was "12", is "13"\n  settings.r was absent, is 8`);
    expect(await refused(folder, newRun(), checkpoints({}))).toContain('settings.data was "abc", is absent');
    const { base, ...rest } = settings;
    const { steps } = await newRun().train(checkpoints({ ...rest, extra: undefined, base }));
    expect(steps).toBe(STEPS);
  });

  it('many differences are told in part', async () => {
    const settings = Object.fromEntries(Array.from({ length: 20 }, (_, i) => [`k${i}`, i]));
    const lines = (await refused(await stopped({}, settings), newRun())).split('\n  ');
    expect(lines).toHaveLength(1 + 12 + 1);
    expect(lines.at(-1)).toBe('and 8 more');
  });

  it('another file under its name', async () => {
    const folder = await stopped();
    await folder.write(file(6), [await bytesOf(folder, file(5))]);
    expect(await refused(folder, newRun())).toBe(
      `runs/${file(6)} is the checkpoint of 5 steps, under another name`,
    );
  });

  const about = (change: object | string) => (_: unknown, metadata: Record<string, string>) => {
    metadata['bax'] = typeof change === 'string' ? change : JSON.stringify({ ...JSON.parse(metadata['bax']!), ...change }); // prettier-ignore
  };
  const none = `runs/${file(5)}: metadata 'bax' is not that of a checkpoint of version 1`;
  it.each<[string, Change, string | RegExp]>([
    ['no metadata', (_, metadata) => delete metadata['bax'], none],
    ['metadata of something else', about('[]'), none],
    ['no JSON', about('?'), /metadata 'bax': expected a value at offset 0/],
    ['a later version', about({ version: 2 }), none],
    ['no count', about({ stepCount: -1 }), none],
    ['no time', about('{"version":1,"stepCount":5,"seconds":1e999,"run":{}}'), none],
    ['no run', about({ run: 3 }), none],
    ['keys of the prototype', about({ run: { toString: 1 } }), /toString was 1, is absent/],
    ['no losses', (tensors) => tensors.delete('losses'), `runs/${file(5)} is not a checkpoint: 'losses' is no list of F64`],
    ['losses of another shape', (tensors) => tensors.set('losses', { ...tensors.get('losses')!, shape: [5, 1] }), /'losses' is no list of F64/],
    ['losses that are not finite', (tensors) => tensors.get('losses')!.bytes.fill(255), /'losses' holds values that are not finite/],
    ['fewer rates', (tensors) => { const t = tensors.get('rates')!; tensors.set('rates', { ...t, shape: [4], bytes: t.bytes.slice(8) }); }, /5 losses and 4 learning rates/],
    ['a tensor more', (tensors) => { const seal = tensors.get('crc32')!; tensors.delete('crc32'); tensors.set('x', { dtype: 'U32', shape: [0], bytes: new Uint8Array() }); tensors.set('crc32', seal); }, /\n {2}x was "U32 \[0\]", is absent$/],
    ['no safetensors file', () => undefined, /^safetensors: runs.checkpoint-5.safetensors: the header does not begin with/],
  ])('P60: whole, but %s', async (name, change, message) => {
    const folder = await stopped();
    const bytes = rewrite(await bytesOf(folder, file(5)), change);
    if (name === 'no safetensors file') bytes[8] = 0;
    await folder.write(file(5), [sealed(bytes)]);
    const told = await refused(folder, newRun());
    if (typeof message === 'string') expect(told).toBe(message);
    else expect(told).toMatch(message);
  }); // prettier-ignore
});
