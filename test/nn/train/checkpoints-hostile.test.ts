import { BaxError, setBackend, type Backend } from '@bax/core';
import { cpu } from '@bax/cpu';
import { memoryFolder, type Resumed, type WritableFolder } from '@bax/nn';
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { failure, fileOf, spiedSource } from '../files/support.ts';
import { headerOf, parsed } from '../support/golden.ts';
import { bytesOf, file, newRun, sealed, stopped, unstopped } from './support.ts';
import { runs } from '../../support/runs.ts';

let backend: Backend;
beforeEach(() => setBackend((backend = cpu())));
afterEach(() => void vi.restoreAllMocks());

describe('P60: a checkpoint that is not whole is passed over, by name', () => {
  const spoil = (bytes: Uint8Array): Uint8Array => bytes.with(200, bytes[200]! ^ 4);

  it('for the one before it, and for the beginning; nothing is deleted until it is behind', async () => {
    const whole = await unstopped();
    for (const count of [1, 2, 3]) {
      const folder = await stopped();
      const spoiled = [5, 4, 2].slice(0, count);
      for (const steps of spoiled)
        await folder.write(file(steps), [spoil(await bytesOf(folder, file(steps)))]);
      const run = newRun({ start: 2 + (count === 3 ? -1 : 0) });
      const from: Resumed[] = [];
      const { losses } = await run.train({
        onStep: async ({ step }) => {
          if (step === [4, 2, 0][count - 1]) expect(await folder.list()).toEqual([2, 4, 5].map(file));
        },
        checkpoints: { folder, every: 6, onResume: (resumed) => void from.push(resumed) },
      });
      expect(from.map(({ steps, broken }) => ({ steps, broken }))).toEqual([
        {
          steps: [4, 2, 0][count - 1],
          broken: spoiled.map((steps) => expect.stringMatching(new RegExp(`^runs/${file(steps)} is not whole: the CRC-32 of its bytes is [0-9a-f]{8}, and it says [0-9a-f]{8}$`))), // prettier-ignore
        },
      ]);
      expect({ losses, bits: await run.bits() }).toEqual(whole);
      expect(await folder.list()).toEqual([6, 7].map(file));
    }
  });

  it('what is broken never takes the place of what is whole', async () => {
    const folder = await stopped();
    await folder.write(file(5), [new Uint8Array(3)]);
    await folder.write(file(90), [new Uint8Array(3)]);
    const log: string[] = [];
    const warned = vi.spyOn(console, 'warn').mockImplementation(() => undefined);
    await newRun().train({
      onStep: async () => void log.push((await folder.list()).map((name) => /\d+/.exec(name)![0]).join(' ')),
      checkpoints: { folder, every: 1, keep: 1 },
    });
    expect(log).toEqual(['2 4 5 90', '5 90', '6 90']); // the 5 is a new one
    expect(await folder.list()).toEqual([7, 90].map(file));
    expect(warned.mock.calls).toEqual([
      [`train: runs/${file(90)} is not whole: it ends after 3 bytes; training goes on from step 4`],
      [`train: runs/${file(5)} is not whole: it ends after 3 bytes; training goes on from step 4`],
    ]);
  });

  it('one that cannot be read is another matter: it may be whole', async () => {
    const folder = await stopped();
    const unreadable: WritableFolder = {
      ...folder,
      open: async (name) => ({ ...(await folder.open(name)), read: async () => Promise.reject(new BaxError(`${name}: EIO`)) }), // prettier-ignore
    };
    const run = newRun();
    const bits = await run.bits();
    expect(await failure(() => run.train({ checkpoints: { folder: unreadable, every: 1 } }))).toBe(
      `${file(5)}: EIO`,
    );
    expect(await run.bits()).toEqual(bits);
    expect(await folder.list()).toEqual([2, 4, 5].map(file));
  });
});

describe('P60: hostile files: what is in them, or nothing changed; in no more memory than they are long', () => {
  let good: Uint8Array;
  /** Where its tensors begin. */
  let start: number;
  beforeEach(async () => {
    good = await bytesOf(await stopped(), file(5));
    ({ start } = headerOf(good));
  });
  const runOf = (bytes: Uint8Array): unknown => JSON.parse((headerOf(bytes).header['__metadata__'] as unknown as { bax: string }).bax).run; // prettier-ignore

  /** From where a run would go on: 5, 0 if the file is not whole, −1 if it is refused. */
  async function law(bytes: Uint8Array): Promise<number> {
    setBackend((backend = cpu()));
    const run = newRun({ start: 2 });
    const [before, { live, peak }] = [await run.bits(), backend.memory()];
    const source = spiedSource(bytes, file(5));
    const folder = { ...memoryFolder({ [file(5)]: bytes }), open: async () => source };
    let from = -1;
    const onResume = ({ steps }: Resumed): void => void (from = steps);
    const done = run.train({ signal: AbortSignal.abort(), checkpoints: { folder, every: 1, onResume } });
    const error: unknown = await done.then(() => undefined, (caught: unknown) => caught); // prettier-ignore
    expect(error === undefined).toBe(from >= 0);
    if (error !== undefined) expect(error).toBeInstanceOf(BaxError);
    if (from <= 0) expect(await run.bits()).toEqual(before);
    else {
      expect(runOf(bytes)).toEqual(runOf(good));
      const stored = parsed(bytes);
      const { namedParams } = run.optimizer;
      const all = [['parameter', namedParams], ['optimizer', run.optimizer.stateTensors()]] as const; // prettier-ignore
      for (const [kind, tensors] of all)
        for (const [name, t] of tensors) {
          const { shape, data } = stored.get(`${kind}/${name}`)!;
          expect({ shape: t.shape, data: await t.data() }).toEqual({ shape, data });
        }
    }
    expect(backend.memory().live).toBe(live);
    expect(backend.memory().peak).toBeLessThanOrEqual(Math.max(peak, live + bytes.length));
    expect(Math.max(...source.asked, 0)).toBeLessThanOrEqual(bytes.length);
    expect(source.closed).toBe(1);
    return from;
  }
  /** Bytes changed, left out, put in between, or cut off: in the header as often as in all of it. */
  const spoiled = (): fc.Arbitrary<Uint8Array> => {
    const place = fc.oneof(fc.nat(start), fc.nat(good.length - 1));
    const spliced = (at: number, out: number, more: Uint8Array): Uint8Array =>
      Uint8Array.from([...good.subarray(0, at), ...more, ...good.subarray(at + out)]);
    return fc.oneof(
      fc.tuple(place, fc.nat(255)).map(([at, byte]) => good.with(at, byte)),
      fc.tuple(place, fc.nat(40)).map(([at, n]) => spliced(at, n, new Uint8Array())),
      fc.tuple(place, fc.uint8Array({ maxLength: 12 })).map(([at, more]) => spliced(at, 0, more)),
      fc.nat(good.length).map((n) => good.slice(0, n)),
    );
  };
  /** A number or a word of the header is another. */
  const reworded = (): fc.Arbitrary<Uint8Array> => {
    const word = /\d+|"[^"\\]*"/g;
    const json = new TextDecoder().decode(good.subarray(8, start));
    const others = [
      '0',
      '-1',
      '1',
      '5',
      '99',
      '1e308',
      '9007199254740991',
      'null',
      '[]',
      '{}',
      '"F64"',
      '"w"',
    ];
    return fc
      .tuple(fc.nat(json.match(word)!.length - 1), fc.constantFrom(...others))
      .map(([which, other]) => {
        let n = 0;
        return fileOf(
          json.replace(word, (old) => (n++ === which ? other : old)),
          good.subarray(start),
        );
      });
  };

  it('as they come: none that differs is whole', async () => {
    expect(await law(good)).toBe(5);
    const property = async (bytes: Uint8Array): Promise<void> => {
      expect(await law(bytes)).toBe(Buffer.compare(bytes, good) === 0 ? 5 : 0);
    };
    await fc.assert(fc.asyncProperty(fc.oneof(spoiled(), reworded()), property), runs(200));
  });

  it('with a checksum that fits', async () => {
    const seen = new Set<number>();
    const property = async (bytes: Uint8Array): Promise<void> => void seen.add(await law(sealed(bytes)));
    await fc.assert(fc.asyncProperty(fc.oneof(spoiled(), reworded()), property), runs(400));
    expect(seen).toEqual(new Set([5, 0, -1]));
  });
});
