import { setBackend, type Tensor } from '@bax/core';
import { cpu } from '@bax/cpu';
import { allWindows, randomWindows } from '@bax/nn';
import fc from 'fast-check';
import { beforeEach, expect, test } from 'vitest';
import { failure } from './files/support.ts';
import { runs } from '../support/runs.ts';

let backend = cpu();
beforeEach(() => setBackend((backend = cpu())));
/** Each token is its own place, so that a window tells where it was cut. */
const text = (n: number): Int32Array => Int32Array.from({ length: n }, (_, i) => i);
const rows = (t: Tensor): number[][] => {
  const [n, width] = t.shape as [number, number];
  const all = Array.from(t.peek()!);
  return Array.from({ length: n }, (_, i) => all.slice(i * width, (i + 1) * width));
};
const sizes = fc.record({
  n: fc.integer({ min: 2, max: 60 }),
  context: fc.integer({ min: 1, max: 12 }),
  batch: fc.integer({ min: 1, max: 5 }),
});

test('allWindows: side by side from the first token on, each target one place later, the rest dropped', () => {
  fc.assert(
    fc.property(sizes, ({ n, context, batch }) => {
      fc.pre(n > context);
      const seen: number[] = [];
      const batches = [...allWindows(text(n), { context, batch, backend })];
      for (const [i, { ids, targets, validTokens }] of batches.entries()) {
        expect(ids.shape).toEqual(targets.shape);
        expect(ids.shape[1]).toBe(context);
        if (i < batches.length - 1) expect(ids.shape[0]).toBe(batch);
        expect(validTokens).toBe(ids.size);
        expect(rows(targets)).toEqual(rows(ids).map((row) => row.map((token) => token + 1)));
        seen.push(...rows(ids).flat());
      }
      expect(seen).toEqual([...Array(Math.floor((n - 1) / context) * context).keys()]);
    }),
    runs(100),
  );
});

test('allWindows with a limit: so many of them, without overlap, the first at 0, spread over the text', () => {
  fc.assert(
    fc.property(sizes, fc.integer({ min: 1, max: 9 }), ({ n, context, batch }, limit) => {
      fc.pre(n > context);
      const places = Math.floor((n - 1) / context);
      const starts = [...allWindows(text(n), { context, batch, limit })].flatMap(({ ids }) =>
        rows(ids).map((row) => row[0]!),
      );
      expect(starts).toHaveLength(Math.min(limit, places));
      expect(starts[0]).toBe(0);
      starts.forEach((start, i) => {
        expect(start % context).toBe(0);
        expect(start + context).toBeLessThanOrEqual(starts[i + 1] ?? n - 1);
        expect(Math.abs(start / context - (i * places) / starts.length)).toBeLessThan(1);
      });
    }),
    runs(100),
  );
});

test('randomWindows: a function of seed and step, every window inside the text, every place reached', () => {
  const law = (
    { n, context, batch }: { n: number; context: number; batch: number },
    step: number,
    seed: number,
  ): void => {
    fc.pre(n > context);
    const { ids, targets, validTokens } = randomWindows(text(n), step, { context, batch, seed });
    expect(ids.shape).toEqual([batch, context]);
    expect(validTokens).toBe(batch * context);
    for (const row of rows(ids)) expect(row).toEqual(row.map((_, i) => row[0]! + i));
    expect(rows(targets)).toEqual(rows(ids).map((row) => row.map((token) => token + 1)));
    expect(rows(targets).every((row) => row.at(-1)! < n)).toBe(true);
    expect(rows(randomWindows(text(n), step, { context, batch, seed }).ids)).toEqual(rows(ids));
  };
  fc.assert(fc.property(sizes, fc.nat(1e6), fc.nat(1e6), law), runs(100));
  const starts = (seed: number): number[] =>
    Array.from(
      { length: 200 },
      (_, step) => rows(randomWindows(text(9), step, { context: 4, batch: 1, seed }).ids)[0]![0]!,
    );
  expect([...new Set(starts(0))].sort((a, b) => a - b)).toEqual([0, 1, 2, 3, 4]);
  expect(starts(0)).not.toEqual(starts(1));
});

test('what cannot be cut is refused', async () => {
  const short = 'the text has 4 tokens, too few for one window of 4 and the token after it';
  expect(await failure(() => randomWindows(text(4), 0, { context: 4, batch: 1 }))).toBe(short);
  expect(await failure(() => [...allWindows(text(4), { context: 4, batch: 1 })])).toBe(short);
  for (const [name, options] of [
    ['context', { context: 0, batch: 1 }],
    ['context', { context: 1.5, batch: 1 }],
    ['batch', { context: 2, batch: 0 }],
    ['batch', { context: 2, batch: NaN }],
  ] as const) {
    const why = `windows: ${name} is ${options[name]}; it must be an integer from 1`;
    expect(await failure(() => [...allWindows(text(9), options)])).toBe(why);
    expect(await failure(() => randomWindows(text(9), 0, options))).toBe(why);
  }
  expect(await failure(() => [...allWindows(text(9), { context: 2, batch: 1, limit: 0 })])).toBe(
    'windows: limit is 0; it must be an integer from 1',
  );
});
