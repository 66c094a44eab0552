import { tensor } from '@bax/core';
import { clipGradNorm, gradNorm } from '@bax/nn';
import fc from 'fast-check';
import { beforeEach, describe, expect, it } from 'vitest';
import { f32, f64, freshBackend, values } from './support.ts';
import { runs } from '../../support/runs.ts';

let { backend } = freshBackend();
beforeEach(() => ({ backend } = freshBackend()));

const real = fc
  .tuple(fc.double({ min: -10, max: 10, noNaN: true }), fc.constantFrom(-1, 0, 1))
  .map(([p, s]) => s * 2 ** p);
const gradients = fc.array(fc.array(real, { minLength: 1, maxLength: 5 }), { minLength: 1, maxLength: 4 });
const norm = (all: number[][]): number => Math.hypot(...all.flat());

describe('P41: clipping', () => {
  it('the norm becomes min(‖g‖, c), the direction stays; f64', () => {
    const property = fc.property(gradients, fc.double({ min: 1e-3, max: 1e3, noNaN: true }), (all, c) => {
      const before = norm(all);
      const clipped = clipGradNorm(all.map(f64), c);
      const got = clipped.grads.map(values);
      expect(Math.abs(values(clipped.norm)[0] - before)).toBeLessThanOrEqual(1e-14 * before);
      expect(Math.abs(norm(got) - Math.min(before, c))).toBeLessThanOrEqual(1e-14 * Math.min(before, c));
      const factor = before > c ? c / before : 1;
      got.flat().forEach((x, i) => {
        const want = all.flat()[i] * factor;
        expect(Math.abs(x - want)).toBeLessThanOrEqual(1e-14 * Math.abs(want));
      });
    });
    fc.assert(property, runs(100));
  });

  it('below c the bits stay; f32 and f64', () => {
    const property = fc.property(gradients, fc.constantFrom(f32, f64), (all, float) => {
      const grads = all.map(float);
      const c = norm(all) * (1 + 1e-5) + 1e-20;
      expect(clipGradNorm(grads, c).grads.map(values)).toEqual(grads.map(values));
    });
    fc.assert(property, runs(100));
  });

  it('splitting a tensor in two changes nothing; f64', () => {
    const property = fc.property(fc.array(real, { minLength: 2, maxLength: 9 }), fc.nat(), (all, at) => {
      const cut = 1 + (at % (all.length - 1));
      const [whole, parts] = [[f64(all)], [f64(all.slice(0, cut)), f64(all.slice(cut))]].map((g) =>
        clipGradNorm(g, 0.5),
      );
      const [a, b] = [whole, parts].map((r) => r.grads.flatMap(values));
      expect(Math.abs(values(whole.norm)[0] - values(parts.norm)[0])).toBeLessThanOrEqual(
        1e-14 * values(whole.norm)[0],
      );
      a.forEach((x, i) => expect(Math.abs(x - b[i])).toBeLessThanOrEqual(1e-14 * Math.abs(x)));
    });
    fc.assert(property, runs(100));
  });
});

it.each([NaN, Infinity, -Infinity])('does not hide %d', (bad) => {
  const { grads, norm } = clipGradNorm([f32([1, 2]), f32([3, bad])], 1);
  expect(Number.isFinite(values(norm)[0])).toBe(false);
  expect(grads.flatMap(values)).toEqual([NaN, NaN, NaN, NaN]);
});

it('reports a norm that f32 cannot hold as infinite', () => {
  const { grads, norm } = clipGradNorm([f32([1e20, 1])], 1);
  expect(values(norm)).toEqual([Infinity]);
  expect(values(grads[0])).toEqual([NaN, NaN]);
});

it('leaves nothing behind but what it returns, and does not touch its input', () => {
  const grads = [tensor([[3, 0]]), f32([4])];
  clipGradNorm(grads, 1).norm.dispose(); // the backend's constants are made
  const before = backend.memory().live;
  const clipped = clipGradNorm(grads, 1);
  expect(backend.memory().live - before).toBe(3 * 4 + 4);
  expect(grads.map(values)).toEqual([[3, 0], [4]]);
  expect(clipped.grads.map((g) => g.shape)).toEqual([[1, 2], [1]]);
  expect(values(gradNorm(grads))).toEqual([5]);
});

it('refuses what has no meaning', () => {
  for (const c of [0, -1, NaN, Infinity])
    expect(() => clipGradNorm([f32([1])], c)).toThrow(
      `clipGradNorm: maxNorm is ${c}; it must be a finite number above 0`,
    );
  expect(() => gradNorm([])).toThrow('gradNorm: there are no gradients');
});
