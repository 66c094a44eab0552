import { copyAlike } from '@bax/core';
import { sgd } from '@bax/nn';
import fc from 'fast-check';
import { beforeEach, describe, expect, it } from 'vitest';
import { f32, f64, freshBackend, values } from './support.ts';
import { runs } from '../../support/runs.ts';

let maps: unknown[];
beforeEach(() => ({ maps } = freshBackend()));

const int = (least: number, most: number): fc.Arbitrary<number> => fc.integer({ min: least, max: most });
const dyadic = fc.constantFrom(0.125, 0.25, 0.5);

describe('P40: SGD on dyadic numbers, bit for bit in f32', () => {
  it('momentum with a constant gradient: v_t = g(1 − μᵗ)/(1 − μ), θ_t = θ₀ − η Σ v', () => {
    const property = fc.property(int(-8, 8), int(-4, 4), dyadic, (theta, g, lr) => {
      const mu = 0.5;
      const param = f32([theta]);
      const optimizer = sgd(new Map([['w', param]]), { lr, momentum: mu });
      for (let t = 1; t <= 8; t++) {
        optimizer.step([f32([g])]);
        expect(values(optimizer.stateTensors().get('w.momentum_buffer')!)).toEqual([
          (g * (1 - mu ** t)) / (1 - mu) + 0,
        ]);
        const sum = (g / (1 - mu)) * (t - (mu * (1 - mu ** t)) / (1 - mu));
        expect(values(param)).toEqual([theta - lr * sum + 0]);
      }
    });
    fc.assert(property, runs(100));
  });

  it("the first step: θ − ηg, Nesterov's (1 + μ) times as far, L2 decay as part of the gradient", () => {
    const property = fc.property(int(-8, 8), int(-4, 4), dyadic, dyadic, (theta, g, lr, wd) => {
      const after = (options: Parameters<typeof sgd>[1]): number => {
        const param = f32([theta]);
        sgd([param], { lr, ...options }).step([f32([g])]);
        return values(param)[0];
      };
      expect(after({})).toBe(theta - lr * g + 0);
      expect(after({ momentum: 0.25 })).toBe(theta - lr * g + 0);
      expect(after({ momentum: 0.25, nesterov: true })).toBe(theta - lr * 1.25 * g + 0);
      expect(after({ weightDecay: wd })).toBe(theta - lr * (g + wd * theta) + 0);
      expect(after({ weightDecay: wd, momentum: 0.5, nesterov: true })).toBe(
        theta - lr * 1.5 * (g + wd * theta) + 0,
      );
    });
    fc.assert(property, runs(100));
  });

  it('a rate λ times as large moves λ times as far', () => {
    const property = fc.property(int(-8, 8), int(-4, 4), dyadic, (theta, g, lr) => {
      const [plain, scaled] = [f32([theta]), f32([theta])];
      const optimizer = sgd([{ params: [plain] }, { params: [scaled], lrRatio: 16 }], { lr: 9 });
      optimizer.step([f32([g]), f32([g])], lr);
      expect(values(scaled)[0] - theta).toBe(16 * (values(plain)[0] - theta));
    });
    fc.assert(property, runs(100));
  });

  it('a step with lr 0 keeps the bits', () => {
    const real = fc.float({ noNaN: true, min: Math.fround(-1e30), max: Math.fround(1e30) });
    const property = fc.property(fc.array(real, { minLength: 1 }), fc.boolean(), (theta, nesterov) => {
      const param = f32(theta);
      const before = values(param);
      sgd([param], { momentum: 0.9, weightDecay: 0.1, nesterov }).step([f32(theta.map(() => 3))], 0);
      expect(values(param)).toEqual(before);
    });
    fc.assert(property, runs(100));
  });
});

it.each([
  [
    { lr: 0.1, momentum: 0.9, nesterov: true, weightDecay: 0.01 },
    [0.006814326049686984, -1.1514684236926456, 1.526255585321427],
  ],
  [
    { lr: 0.1, momentum: 0.9, weightDecay: 0.01 },
    [0.25993569466050004, -1.16910654220826, 1.5976401756319998],
  ],
  [{ lr: 0.1, weightDecay: 0.01 }, [0.22295800801050003, -1.22406744500126, 1.887351702032]],
])('is torch.optim.SGD (torch 2.15, f64): %j', (options, want) => {
  const param = f64([0.5, -1.25, 2]);
  const optimizer = sgd([param], options);
  for (const g of [[0.1, -0.2, 0.3], [-0.4, 1e-7, 2], [0.05, 0, -1.5], [3, -0.01, 0.25]]) optimizer.step([f64(g)]); // prettier-ignore
  values(param).forEach((theta, i) => expect(Math.abs(theta - want[i])).toBeLessThanOrEqual(4e-16 * 2));
});

it('holds no state without momentum, and makes one map for all parameters', () => {
  const params = [f32([1]), f32([2, 3])];
  const optimizer = sgd(params);
  expect(optimizer.stateTensors().size).toBe(0);
  const grads = copyAlike([f32([1]), f32([1, 1])], params);
  maps.length = 0;
  for (const lr of [0.1, 0.2]) optimizer.step(grads, lr);
  expect(maps).toHaveLength(2);
  expect(new Set(maps).size).toBe(1);
});

it.each([
  [{ momentum: -0.5 }, 'sgd: momentum is -0.5; it must be a finite number from 0'],
  [{ nesterov: true }, 'sgd: nesterov needs a momentum'],
  [{ weightDecay: Infinity }, 'sgd: weightDecay is Infinity; it must be a finite number from 0'],
])('refuses %j', (options, message) => {
  expect(() => sgd([f32([1])], options)).toThrow(message);
});
