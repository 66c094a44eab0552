import { copyAlike, expand, isTensor, mul, tensor, type Tensor } from '@bax/core';
import { adamW, openSafetensors } from '@bax/nn';
import { openFolder } from '@bax/nn/node';
import fc from 'fast-check';
import { beforeEach, describe, expect, it } from 'vitest';
import { f32, f64, freshBackend, values } from './support.ts';
import { runs } from '../../support/runs.ts';

let maps: unknown[];
beforeEach(() => ({ maps } = freshBackend()));

const sign = fc.constantFrom(-1, 1);
/** From 1e-10 to 1e5 by size, of either sign. */
const gradient = fc.tuple(fc.double({ min: -10, max: 5, noNaN: true }), sign).map(([p, s]) => s * 10 ** p);
const rate = fc.constantFrom(1e-4, 1e-2, 0.3);
const decay = fc.constantFrom(0, 0.01, 0.5);
const start = fc.oneof(fc.constant(0), fc.double({ min: -2, max: 2, noNaN: true }));
const f32u = 2 ** -24;

describe('P39: AdamW in closed form', () => {
  /** θ_t = (1 − ηλ) θ_{t−1} − ηg/(|g| + ε), in f64. */
  const closed = (theta: number, g: number, lr: number, wd: number): number =>
    (1 - lr * wd) * theta - (lr * g) / (Math.abs(g) + 1e-8);

  it('with a constant gradient, in f64, at every step', () => {
    const property = fc.property(
      fc.array(fc.tuple(start, gradient), { minLength: 1, maxLength: 4 }),
      rate,
      decay,
      (entries, lr, weightDecay) => {
        const param = f64(entries.map(([theta]) => theta));
        const g = f64(entries.map(([, g]) => g));
        const optimizer = adamW([param], { lr, weightDecay });
        let want = values(param);
        for (let t = 1; t <= 60; t++) {
          optimizer.step([g]);
          want = want.map((theta, i) => closed(theta, entries[i][1], lr, weightDecay));
          const errors = values(param).map(
            (theta, i) => Math.abs(theta - want[i]) / (Math.abs(entries[i][0]) + t * lr),
          );
          expect(Math.max(...errors)).toBeLessThanOrEqual(1e-13);
        }
      },
    );
    fc.assert(property, runs(60));
  });

  it('with a constant gradient, in f32', () => {
    const property = fc.property(start, gradient, rate, decay, (theta, g, lr, weightDecay) => {
      const param = f32([theta]);
      const grad = f32([g]);
      const optimizer = adamW([param], { lr, weightDecay });
      let want = values(param)[0];
      for (let t = 1; t <= 30; t++) {
        optimizer.step([grad]);
        want = closed(want, values(grad)[0], lr, weightDecay);
        const [got] = values(param);
        // Every step rounds θ a few times, and η · m/(√v + ε) by the errors that m and v gathered.
        const bound = f32u * t * (4 * Math.max(Math.abs(theta), Math.abs(want)) + lr * (t + 16));
        expect(Math.abs(got - want)).toBeLessThanOrEqual(bound);
      }
    });
    fc.assert(property, runs(100));
  });

  it('at g = ε the step is half of η', () => {
    const param = f64([0]);
    const optimizer = adamW([param], { lr: 1, weightDecay: 0 });
    optimizer.step([f64([1e-8])]);
    expect(values(param)[0]).toBeCloseTo(-0.5, 13);
  });

  it('with g = 0 there is only decay', () => {
    const property = fc.property(start, rate, decay, (theta, lr, weightDecay) => {
      const param = f64([theta]);
      const optimizer = adamW([param], { lr, weightDecay });
      let want = theta;
      for (let t = 0; t < 5; t++, want *= 1 - lr * weightDecay) optimizer.step([f64([0])]);
      expect(values(param)).toEqual([want + 0]);
    });
    fc.assert(property, runs(100));
  });

  it('from B = 0 without decay: A keeps its bits, B = −ηg/(|g| + ε)', () => {
    const property = fc.property(start, gradient, rate, (a, g, lr) => {
      const [A, B] = [f32([a]), f32([0])];
      const before = values(A);
      adamW([A, B], { lr, weightDecay: 0 }).step([f32([0]), f32([g])]);
      expect(values(A)).toEqual(before);
      const want = (-lr * g) / (Math.abs(g) + 1e-8);
      expect(Math.abs(values(B)[0] - want)).toBeLessThanOrEqual(16 * f32u * lr);
    });
    fc.assert(property, runs(100));
  });
});

it('is algorithm 2 of the paper for gradients that change, and decays apart', () => {
  const settings = fc.record({
    lr: rate,
    weightDecay: decay,
    beta1: fc.constantFrom(0, 0.5, 0.9),
    beta2: fc.constantFrom(0, 0.9, 0.999),
    eps: fc.constantFrom(1e-8, 1e-2),
  });
  const gradients = fc.array(fc.double({ min: -3, max: 3, noNaN: true }), { minLength: 1, maxLength: 12 });
  const property = fc.property(
    start,
    gradients,
    settings,
    (theta0, gs, { lr, weightDecay, beta1, beta2, eps }) => {
      const param = f64([theta0]);
      const optimizer = adamW([param], { lr, weightDecay, betas: [beta1, beta2], eps });
      let [theta, m, v] = [theta0, 0, 0];
      gs.forEach((g, i) => {
        optimizer.step([f64([g])]);
        m = beta1 * m + (1 - beta1) * g;
        v = beta2 * v + (1 - beta2) * g * g;
        const [mHat, vHat] = [m / (1 - beta1 ** (i + 1)), v / (1 - beta2 ** (i + 1))];
        theta = theta - lr * (mHat / (Math.sqrt(vHat) + eps) + weightDecay * theta);
        // ε is added to a root that may be as small: what m lost to cancellation counts by η/ε.
        expect(Math.abs(values(param)[0] - theta)).toBeLessThanOrEqual(
          1e-13 * (1 + Math.abs(theta)) + (1e-15 * lr) / eps,
        );
      });
    },
  );
  fc.assert(property, runs(300));
});

describe('torch.optim.AdamW', () => {
  // torch 2.15, f64: p0 and the four gradients below, one after the other.
  const p0 = [0.5, -1.25, 2];
  const gradients = [[0.1, -0.2, 0.3], [-0.4, 1e-7, 2], [0.05, 0, -1.5], [3, -0.01, 0.25]]; // prettier-ignore

  it.each([
    [{ lr: 0.1, weightDecay: 0.1 }, [0.4193829236850104, -0.9414839165127251, 1.7116759410407782]],
    [
      { lr: 0.1, betas: [0.8, 0.95] as [number, number], eps: 1e-3, weightDecay: 0 },
      [0.4351009995048717, -1.0019166172912288, 1.793265596228895],
    ],
  ])('%j', (options, want) => {
    const param = f64(p0);
    const optimizer = adamW([param], options);
    for (const g of gradients) optimizer.step([f64(g)]);
    values(param).forEach((theta, i) => expect(Math.abs(theta - want[i])).toBeLessThanOrEqual(4e-16 * 2));
  });

  it("takes PEFT's start and first gradient to PEFT's first step", async () => {
    const folder = await openFolder('test/golden/peft-train-start');
    const start = await openSafetensors(await folder.open('adapter_model.safetensors'));
    const expected = await openSafetensors(await folder.open('expected.safetensors'));
    const names = [...start.tensors.keys()];
    expect(names.length).toBeGreaterThan(10);
    for (const to of ['f64', 'f32'] as const) {
      const params = new Map<string, Tensor>();
      const grads: Tensor[] = [];
      for (const name of names) {
        params.set(name, tensor(await start.readFloat(name, to)));
        grads.push(tensor(await expected.readFloat(`grad.${name}`, 'f64'), { dtype: to }));
      }
      adamW(params, { lr: 1e-2, weightDecay: 0.01 }).step(grads);
      for (const name of names) {
        const after = await expected.readFloat(`after1.${name}`, 'f64');
        const [before, got] = [await start.readFloat(name, 'f64'), values(params.get(name)!)];
        expect(got.some((x, i) => x !== before[i])).toBe(true);
        const u = to === 'f64' ? 2 ** -53 : f32u;
        got.forEach((x, i) =>
          expect(Math.abs(x - after[i])).toBeLessThanOrEqual(8 * u * (Math.abs(after[i]) + 1e-2)),
        );
      }
    }
    await Promise.all([start.close(), expected.close()]);
  });
});

describe('a step', () => {
  it('with lr 0 keeps the bits of the parameters and moves the state', () => {
    const property = fc.property(
      fc.array(fc.float({ noNaN: true, noDefaultInfinity: true }), { minLength: 1 }),
      (theta) => {
        const param = f32(theta);
        const before = values(param);
        const optimizer = adamW([param], { lr: 0.1 });
        optimizer.step([f32(theta.map(() => -3))], 0);
        expect(values(param)).toEqual(before);
        expect(values(optimizer.stateTensors().get('0.exp_avg_sq')!)[0]).toBeGreaterThan(0);
      },
    );
    fc.assert(property, runs(100));
  });

  it('is one map for all parameters of equal settings, and the same one at every step', () => {
    const params = [f32([1, 2]), tensor([[3]]), f32([4])];
    const optimizer = adamW([{ params: params.slice(0, 2) }, { params: params.slice(2), lrRatio: 2 }]);
    const grads = (t: number): Tensor[] => copyAlike([f32([t, 1]), tensor([[t]]), f32([t])], params);
    const steps = Array.from({ length: 5 }, (_, i) => grads(i + 1));
    maps.length = 0;
    steps.forEach((g, i) => optimizer.step(g, 0.1 / (i + 1)));
    expect(maps).toHaveLength(5 * 2);
    expect(new Set(maps).size).toBe(1);
  });

  it('of an optimiser that was disposed of is refused; another one on the same parameters goes on', () => {
    const params = [f32([1, 2]), f32([3])];
    const [first, second] = [adamW(params), adamW(params)];
    first.dispose();
    expect(() => first.step([f32([1, 1]), f32([1])])).toThrow(
      "adamW: this tensor was freed by adamW's dispose()",
    );
    second.step([f32([1, 1]), f32([1])]);
    expect(params.flatMap(values).every(Number.isFinite)).toBe(true);
  });

  it('P51: lays gradients beside each other that do not lie so, and gives the bits of a step for each parameter', () => {
    const start = (): Tensor[] => [f32([1, 2, 3]), f32([-4]), tensor([[0.5, 6], [7, -8]])]; // prettier-ignore
    const [together, alone] = [start(), start()];
    const one = adamW(together);
    const each = alone.map((p) => adamW([p]));
    for (let t = 1; t <= 3; t++) {
      const grads = start().map((g) => mul(g, 1 / t));
      one.step(grads);
      each.forEach((optimizer, i) => optimizer.step([grads[i]]));
    }
    expect(together.map(values)).toEqual(alone.map(values));
  });

  it('takes gradients and parameters that are views', () => {
    const flat = f64([1, 2, 3, 4]);
    const [left, right] = [flat.slice(0, 0, 2), flat.slice(0, 2, 4)];
    const both = f64([1, 2, 3, 4]);
    adamW([left, right]).step([expand(f64([7]), [2]), expand(f64([-2]), [2])]);
    adamW([both]).step([f64([7, 7, -2, -2])]);
    expect(values(flat)).toEqual(values(both));
  });

  it('decays as the group, the option and the predicate say, and scales the rate by the group', () => {
    const [w, b, fast] = [f64([1]), f64([1]), f64([1])];
    const groups = [{ params: new Map([['w', w], ['b', b]]) }, { params: [fast], lrRatio: 4, weightDecay: 0.5 }]; // prettier-ignore
    const optimizer = adamW(groups, {
      lr: 0.1,
      weightDecay: 0.2,
      decay: (p, name) => isTensor(p) && name !== 'b',
    });
    expect(optimizer.params).toEqual([w, b, fast]);
    optimizer.step([f64([0]), f64([0]), f64([0])]);
    expect([w, b, fast].map((p) => values(p)[0])).toEqual([1 - 0.1 * 0.2, 1, 1 - 0.4 * 0.5]);
  });
});

it.each([
  [{ lr: -1 }, 'adamW: lr is -1; it must be a finite number from 0'],
  [{ eps: 0 }, 'adamW: eps is 0; it must be a finite number above 0'],
  [{ betas: [0.9, 1] as [number, number] }, 'adamW: betas are [0.9, 1]; each must lie in [0, 1)'],
  [{ weightDecay: NaN }, 'adamW: weightDecay is NaN; it must be a finite number from 0'],
])('refuses %j', (options, message) => {
  expect(() => adamW([f32([1])], options)).toThrow(message);
});
