import { BaxError, setBackend, type Backend } from '@bax/core';
import { cpu } from '@bax/cpu';
import { memoryFolder, type Resumed } from '@bax/nn';
import fc from 'fast-check';
import { beforeEach, describe, expect, it } from 'vitest';
import { fileOf, spiedSource } from '../files/support.ts';
import { headerOf, parsed } from '../support/golden.ts';
import { bytesOf, file, newRun, sealed, stopped } from './support.ts';

let backend: Backend;
beforeEach(() => setBackend((backend = cpu())));

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
    await fc.assert(fc.asyncProperty(fc.oneof(spoiled(), reworded()), property), { numRuns: 200 });
  });

  it('with a checksum that fits', async () => {
    const seen = new Set<number>();
    const property = async (bytes: Uint8Array): Promise<void> => void seen.add(await law(sealed(bytes)));
    await fc.assert(fc.asyncProperty(fc.oneof(spoiled(), reworded()), property), { numRuns: 400 });
    expect(seen).toEqual(new Set([5, 0, -1]));
  });
});
