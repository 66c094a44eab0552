import { BaxError, key, setBackend, type Backend, type Tensor } from '@bax/core';
import { cpu } from '@bax/cpu';
import {
  adamW, createGpt2, gpt2Config, loadCheckpoint, memoryFolder, randomWindows, saveCheckpoint, train, warmupCosine, type Optimizer, type RunState,
  type WritableFolder,
} from '@bax/nn'; // prettier-ignore
import { beforeEach, describe, expect, it } from 'vitest';
import { rewrite, type Raw } from '../support/golden.ts';
import { hashes } from '../support/hash.ts';

const FILE = 'checkpoint.safetensors';
const SETTINGS = '{"steps":6}';
const STEPS = 6;
const TOKENS = Int32Array.from({ length: 400 }, (_, i) => (i * i + 3 * i) % 11);

let backend: Backend;
beforeEach(() => setBackend((backend = cpu())));

interface Run {
  readonly parameters: Map<string, Tensor>;
  readonly optimizer: Optimizer;
  readonly losses: number[];
  /** Trains on, up to this step and no further. */
  go(stopAt?: number): Promise<void>;
  state(): RunState;
  bits(): Promise<unknown>;
}

/** A pretraining run as small as can be, with dropout. */
function newRun(seed = 1): Run {
  const shape = { n_layer: 1, n_embd: 8, n_head: 2, n_positions: 8, vocab_size: 11 };
  const dropout = { resid_pdrop: 0.1, embd_pdrop: 0.1, attn_pdrop: 0.1 };
  const config = gpt2Config({ ...shape, ...dropout, bos_token_id: null, eos_token_id: null });
  const model = createGpt2(config, { key: key(seed) });
  const parameters = model.namedParameters();
  const optimizer = adamW(parameters, { lr: 0.01, weightDecay: 0.1 });
  const losses: number[] = [];
  return {
    parameters,
    optimizer,
    losses,
    async go(stopAt = STEPS) {
      const stop = new AbortController();
      if (losses.length === stopAt) stop.abort();
      await train({
        batches: (step) => randomWindows(TOKENS, step, { context: 8, batch: 2, seed: 1 }),
        loss: ({ ids, targets }, context) => model.loss(ids, targets, context),
        optimizer,
        schedule: warmupCosine({ lr: 0.01, warmup: 2, steps: STEPS, final: 0.001 }),
        clip: 1,
        steps: STEPS,
        startStep: losses.length,
        seed: 1,
        signal: stop.signal,
        onStep: ({ loss }) => {
          if (losses.push(loss) === stopAt) stop.abort();
        },
      });
    },
    state: () => ({ step: losses.length, losses, seconds: 1.5, settings: SETTINGS }),
    bits: async () => ({
      parameters: await hashes(parameters),
      moments: await hashes(optimizer.stateTensors()),
      steps: optimizer.stepCount,
    }),
  };
}
const save = (folder: WritableFolder, run: Run): Promise<void> =>
  saveCheckpoint(folder, run.parameters, run.optimizer, run.state());
const load = (folder: WritableFolder, run: Run, settings = SETTINGS): Promise<RunState | undefined> =>
  loadCheckpoint(folder, run.parameters, run.optimizer, settings);

it('there is none in a new folder', async () => {
  expect(await load(memoryFolder(), newRun())).toBeUndefined();
});

it('P51: interrupted after n steps, saved, loaded anew and gone on with is uninterrupted, bit for bit', async () => {
  const whole = newRun();
  await whole.go();
  expect(new Set(whole.losses).size).toBe(STEPS);
  for (let n = 0; n <= STEPS; n++) {
    const folder = memoryFolder();
    const first = newRun();
    await first.go(n);
    await save(folder, first);

    const second = newRun(2); // other weights, all of which must be replaced
    const state = await load(folder, second);
    expect(state).toEqual({ ...first.state(), losses: whole.losses.slice(0, n) });
    expect(await second.bits()).toEqual(await first.bits());
    second.losses.push(...state!.losses);
    await second.go();
    expect(second.losses).toEqual(whole.losses);
    expect(await second.bits()).toEqual(await whole.bits());
  }
});

describe('what is refused changes nothing, and leaves nothing behind', () => {
  const last = (names: Iterable<string>): string => [...names].at(-1)!;
  type Broken = [name: string, message: RegExp, change: (file: Uint8Array) => Uint8Array];
  const tensors = (change: (tensors: Map<string, Raw>, run: Record<string, string>) => void) =>
    (file: Uint8Array): Uint8Array => rewrite(file, change); // prettier-ignore
  /** Changes what the file says about the run. */
  const says = (change: object | string): Broken[2] =>
    tensors((_, metadata) => {
      metadata['run'] = typeof change === 'string' ? change : JSON.stringify({ ...JSON.parse(metadata['run']!), ...change }); // prettier-ignore
    });
  const noRun = /: metadata 'run' does not say where a run stands; delete the file to start anew$/;
  const broken: Broken[] = [
    ['an empty file', /0 bytes are too short/, () => new Uint8Array()],
    ['half of the header', /^safetensors: /, (file) => file.subarray(0, 500)],
    ['the last byte missing', /past the end of the file/, (file) => file.subarray(0, -1)],
    ['no metadata', noRun, tensors((_, metadata) => delete metadata['run'])],
    ['metadata that is no JSON', /metadata 'run': expected a value at offset 0/, says('?')],
    ['metadata of something else', noRun, says('[]')],
    ['a step that is not that of the losses', noRun, says({ step: 4 })],
    ['losses that are no numbers', noRun, says({ losses: [1, null, 3] })],
    ['no seconds', noRun, says({ seconds: undefined })],
    ['the last parameter missing', /no tensor 'parameter\/transformer\.ln_f\.bias'/, tensors((all) => all.delete('parameter/transformer.ln_f.bias'))],
    ['the last moment missing', /no tensor 'optimizer\//, tensors((all) => all.delete(last([...all.keys()].filter((name) => name.startsWith('optimizer')))))],
    ['a parameter turned', /: transformer\.wte\.weight is \[8, 11\], not \[11, 8\]$/, tensors((all) => {
      const wte = all.get('parameter/transformer.wte.weight')!;
      all.set('parameter/transformer.wte.weight', { ...wte, shape: [8, 11] });
    })],
    ['a parameter as integers', /holds I32, not floats/, tensors((all) => {
      for (const [name, t] of all) if (name === 'parameter/transformer.ln_f.bias') all.set(name, { ...t, dtype: 'I32' });
    })],
  ]; // prettier-ignore

  const refused = async (folder: WritableFolder, settings?: string): Promise<string> => {
    const run = newRun(2);
    await run.go(1);
    const [bits, { live, buffers }] = [await run.bits(), backend.memory()];
    const error: unknown = await load(folder, run, settings).catch((caught: unknown) => caught);
    expect(error).toBeInstanceOf(BaxError);
    expect(await run.bits()).toEqual(bits);
    expect(backend.memory()).toMatchObject({ live, buffers });
    return (error as BaxError).message;
  };
  const saved = async (): Promise<WritableFolder> => {
    const [folder, run] = [memoryFolder({}, 'runs'), newRun()];
    await run.go(3);
    await save(folder, run);
    return folder;
  };

  it('other settings', async () => {
    expect(await refused(await saved(), '{"steps":7}')).toBe(
      'runs/checkpoint.safetensors belongs to a run with other settings: {"steps":6}; this one has {"steps":7}. Use another --out, or delete it',
    );
  });

  it.each(broken)('%s', async (_, message, change) => {
    const folder = await saved();
    const source = await folder.open(FILE);
    await folder.write(FILE, [change(await source.read(0, source.size))]);
    expect(await refused(folder)).toMatch(message);
  });
});
