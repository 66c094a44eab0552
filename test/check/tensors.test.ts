import { LORA_RANGES, shapes, tensors } from '@bax/check';
import { isContiguous, matmul, setBackend, sizeOf, sum, type Tensor, transpose } from '@bax/core';
import { cpu } from '@bax/cpu';
import fc from 'fast-check';
import { beforeEach, describe, expect, it } from 'vitest';

beforeEach(() => setBackend(cpu()));
const sample = <T>(arbitrary: fc.Arbitrary<T>, numRuns = 200): T[] => fc.sample(arbitrary, { numRuns, seed: 1 }); // prettier-ignore
const values = async (t: Tensor): Promise<number[]> => [...(await t.data())];

describe('shapes', () => {
  it('have the ranks, lengths and sizes that are asked for, and all of these', () => {
    const all = sample(shapes({ rank: [1, 3], longest: 5, most: 40 }), 500);
    expect(new Set(all.map((s) => s.length))).toEqual(new Set([1, 2, 3]));
    expect(new Set(all.flat())).toEqual(new Set([1, 2, 3, 4, 5]));
    expect(Math.max(...all.map(sizeOf))).toBeLessThanOrEqual(40);
  });

  it('shrink to the smallest that fails', () => {
    const { counterexample } = fc.check(fc.property(shapes({ rank: [0, 4] }), (s) => s.length < 2 || s.every((n) => n < 3)), { seed: 4 }); // prettier-ignore
    expect(counterexample![0].toSorted((a, b) => a - b)).toEqual([1, 3]);
  });
});

describe('tensors', () => {
  it('of whole numbers lie in their range, to both of its ends', async () => {
    const all = (await Promise.all(sample(tensors({ mode: 'int', range: LORA_RANGES.W })).map(values))).flat(); // prettier-ignore
    expect(all.every(Number.isInteger)).toBe(true);
    expect([Math.min(...all), Math.max(...all)]).toEqual([-8, 8]);
  });

  it('of real numbers are what f32 can hold: zeros, both signs, 2^-10 to 2^10', async () => {
    const all = (await Promise.all(sample(tensors()).map(values))).flat();
    expect(all.every((x) => Math.fround(x) === x && Math.abs(x) <= 2 ** 10)).toBe(true);
    for (const some of [(x: number) => x === 0, (x: number) => x > 100, (x: number) => x < -100, (x: number) => x !== 0 && Math.abs(x) < 0.01]) expect(all.some(some)).toBe(true); // prettier-ignore
  });

  it('of real numbers in a range lie in it', async () => {
    const all = (await Promise.all(sample(tensors({ range: [2, 3] })).map(values))).flat();
    expect(all.every((x) => x >= 2 && x <= 3)).toBe(true);
    expect(new Set(all).size).toBeGreaterThan(all.length / 2);
  });

  it('have the shape, the dtype, the backend and the gradient that are asked for', async () => {
    const backend = cpu();
    for (const t of sample(tensors({ shape: [2, 3], dtype: 'f64', backend, requiresGrad: true }), 5))
      expect([t.shape, t.dtype, t.backend, t.requiresGrad]).toEqual([[2, 3], 'f64', backend, true]);
    for (const t of sample(tensors({ shape: fc.constantFrom([1], [4, 1]), dtype: 'i32', views: true }), 9)) {
      expect([[1], [4, 1]]).toContainEqual(t.shape);
      expect([t.dtype, (await values(t)).every(Number.isInteger)]).toEqual(['i32', true]);
    }
  });

  it('come strided, and then hold the values that they show', async () => {
    const all = sample(tensors({ rank: [2, 3], views: true }));
    expect(all.filter((t) => !isContiguous(t.view)).length).toBeGreaterThan(50);
    for (const t of all) expect((await values(t)).every((x) => Math.abs(x) <= 2 ** 10)).toBe(true); // no NaN of a gap
  });

  it('find that a product is not commutative, and shrink to two rows of whole numbers', async () => {
    const square = tensors({ shape: fc.integer({ min: 1, max: 4 }).map((n) => [n, n]), mode: 'int' });
    const { failed, counterexample } = await fc.check(
      fc.asyncProperty(square, async (a) => (await sum(matmul(a, transpose(a)).sub(matmul(transpose(a), a)).abs()).item()) === 0), // prettier-ignore
      { seed: 1 },
    );
    expect(failed).toBe(true);
    expect(counterexample![0].shape).toEqual([2, 2]);
    expect(fc.stringify(counterexample![0])).toMatch(/^Tensor f32 \[2, 2\] on cpu \[\[/);
  });
});
