import {
  assertSameBits,
  blockOf,
  calls,
  drawer,
  distinctShape,
  plainTensor,
  quarters,
  spread,
  stridedTensor,
  valuesOf,
  wide,
  integers,
} from '@bax/check';
import { isContiguous, ops, sizeOf } from '@bax/core';
import { cpu } from '@bax/cpu';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { runs } from '../support/runs.ts';

const backend = cpu();
const f64 = { dtype: 'f64', backend } as const;
const softmax = ops.get('softmax')!;

test('shapes: ranks as asked, lengths 1 to 7, small in total; primes, ones and full ranks occur', () => {
  const seen = new Set<string>();
  fc.assert(fc.property(fc.gen(), (g) => {
    const shape = drawer(g).shape([1, 4]);
    expect(shape.length >= 1 && shape.length <= 4 && shape.every((n) => n >= 1 && n <= 7) && sizeOf(shape) <= 60).toBe(true);
    seen.add(`rank ${shape.length}`);
    shape.forEach((n) => seen.add(`length ${n}`));
    if (shape.at(-1)! > 3 && shape.length > 2) seen.add('long last axis');
  }), runs(500)); // prettier-ignore
  expect(seen.size).toBe(4 + 7 + 1);
});

test('a call has the values of its layout, in any of its forms', async () => {
  let strided = 0;
  await fc.assert(fc.asyncProperty(calls(softmax, { mode: 'real', views: true }), async ({ args: [arg] }) => {
    const [plain, view] = [plainTensor(arg, f64), stridedTensor(arg, f64)];
    expect([plain.shape, view.shape]).toEqual([arg.shape, arg.shape]);
    assertSameBits(await plain.data(), valuesOf(arg), 'plain');
    assertSameBits(await view.data(), valuesOf(arg), 'view');
    expect(view.tracked).toBe(false);
    if (!isContiguous(view.view)) strided++;
    const block = blockOf(arg, f64);
    const held = (await block.data()).filter((x) => !Number.isNaN(x));
    expect(held).toHaveLength(sizeOf(distinctShape(arg.shape, arg.layout))); // all else is poison
    [plain, view, block].forEach((t) => t.dispose());
  }), runs(200)); // prettier-ignore
  expect(strided).toBeGreaterThan(50);
});

describe('values', () => {
  const numbers = (arbitrary: fc.Arbitrary<number[]>): number[] =>
    fc.sample(arbitrary, { numRuns: 50, seed: 1 }).flat();

  test('integers and quarters lie in their range', () => {
    expect(numbers(integers(20, [-2, 3])).every((x) => Number.isInteger(x) && x >= -2 && x <= 3)).toBe(true);
    expect(numbers(quarters(20, [0.1, 4])).every((x) => Number.isInteger(4 * x) && x >= 0.1 && x <= 4)).toBe(
      true,
    );
  });

  test('spread numbers lie in their range, exact in f32, apart from one another and from the middle', () => {
    for (const list of fc.sample(fc.tuple(spread(60, [-2, 2]), spread(60, [-2, 2], 60)), {
      numRuns: 50,
      seed: 2,
    })) {
      const all = [...list.flat(), 0];
      expect(all.every((x) => x >= -2 && x <= 2 && x === Math.fround(x))).toBe(true);
      const sorted = all.toSorted((a, b) => a - b);
      expect(sorted.every((x, i) => i === 0 || x - sorted[i - 1] > 9e-4)).toBe(true);
    }
  });

  test('wide numbers: zeros, 2^-10 to 2^10, both signs', () => {
    const all = numbers(wide(40));
    expect(
      all.some((x) => x === 0) &&
        all.some((x) => x > 100) &&
        all.some((x) => x < -100) &&
        all.some((x) => x !== 0 && Math.abs(x) < 0.01),
    ).toBe(true);
    expect(all.every((x) => Math.abs(x) <= 2 ** 10)).toBe(true);
  });
});

test('a failing call shrinks to a small one, but not to a tie', () => {
  const { counterexample } = fc.check(fc.property(calls(softmax, { mode: 'real', views: true }), ({ args: [arg] }) => arg.shape.length < 2), { seed: 7 }); // prettier-ignore
  const [arg] = counterexample![0].args;
  expect(arg.shape).toEqual([1, 1]);
  expect(arg.layout).toEqual({ order: [0, 1], before: [0, 0], after: [0, 0], repeat: [false, false] });
  const failing = fc.check(fc.property(spread(5, [0, 1]), (list) => list.length < 5), { seed: 7 }); // prettier-ignore
  expect(new Set(failing.counterexample![0]).size).toBe(5);
});

test('a counterexample is shown as a call: shapes, values, layouts, attributes', () => {
  const shown = (name: string, views: boolean): string[] =>
    fc.sample(calls(ops.get(name)!, { mode: 'int', views }), { numRuns: 40, seed: 3 }).map((call) => fc.stringify(call)); // prettier-ignore
  const arg = String.raw`\[[\d, ]+\](, strided|, expanded)? of (-?[\d.]+ ?)+…?`;
  for (const call of shown('matmul', true)) expect(call).toMatch(new RegExp(`^matmul\\(${arg}; ${arg}\\)$`));
  expect(shown('matmul', true).join()).toMatch(/strided.*expanded/);
  expect(shown('matmul', false).join()).not.toMatch(/strided|expanded/);
  for (const call of shown('softmax', false)) expect(call).toMatch(new RegExp(`^softmax\\(${arg}\\) with \\{"axis":\\d\\}$`)); // prettier-ignore
});
