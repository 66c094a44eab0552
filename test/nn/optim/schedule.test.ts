import { constant, warmupCosine, warmupLinear } from '@bax/nn';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { runs } from '../../support/runs.ts';

const settings = fc
  .record({
    lr: fc.double({ min: 1e-6, max: 10, noNaN: true }),
    warmup: fc.nat(20),
    after: fc.integer({ min: 1, max: 30 }),
    part: fc.double({ min: 0, max: 1, noNaN: true }),
  })
  .map(({ lr, warmup, after, part }) => ({ lr, warmup, steps: warmup + after, final: lr * part }));

describe.each([
  ['warmupLinear', warmupLinear, (n: number) => 1 / n],
  ['warmupCosine', warmupCosine, (n: number) => (1 - Math.cos(Math.PI / n)) / 2],
] as const)('P40: %s', (_, make, lastShape) => {
  it('is what its doc states at step 0, warmup, the last one and after it', () => {
    const property = fc.property(settings, (options) => {
      const { lr, warmup, steps, final } = options;
      const schedule = make(options);
      expect(schedule(0)).toBeCloseTo(lr / (warmup + 1), 14);
      expect(schedule(warmup)).toBe(lr);
      if (steps - 1 > warmup) {
        const last = final + (lr - final) * lastShape(steps - warmup);
        expect(Math.abs(schedule(steps - 1) - last)).toBeLessThanOrEqual(1e-15 * lr);
      }
      expect(schedule(steps)).toBe(final);
      expect(schedule(steps + 99)).toBe(final);
    });
    fc.assert(property, runs(100));
  });

  it('rises to warmup and falls after it, between 0 and lr', () => {
    const property = fc.property(settings, (options) => {
      const rates = Array.from({ length: options.steps + 1 }, (_, step) => make(options)(step));
      rates.forEach((rate, step) => {
        if (step < options.steps) expect(rate).toBeGreaterThan(0);
        if (step === 0) return;
        if (step <= options.warmup) expect(rate).toBeGreaterThan(rates[step - 1]);
        else expect(rate).toBeLessThanOrEqual(rates[step - 1] * (1 + 1e-15));
      });
    });
    fc.assert(property, runs(100));
  });

  it('refuses what has no meaning', () => {
    const from = (options: object): unknown => make({ lr: 1, steps: 5, ...options });
    expect(() => from({ warmup: 5 })).toThrow(
      `${make.name}: warmup is 5; it must be an integer from 0 to 4, below steps`,
    );
    expect(() => from({ steps: 0 })).toThrow(`${make.name}: steps is 0; it must be an integer from 1`);
    expect(() => from({ lr: NaN })).toThrow(`${make.name}: lr is NaN; it must be a finite number from 0`);
    expect(() => from({ final: -1 })).toThrow(`${make.name}: final is -1; it must be a finite number from 0`);
  });
});

// get_linear_schedule_with_warmup and get_cosine_schedule_with_warmup(optimizer, 4, 12), lr 0.5, from its warm-up on.
it.each([
  [warmupLinear, [0.5, 0.4375, 0.375, 0.3125, 0.25, 0.1875, 0.125, 0.0625]],
  [
    warmupCosine,
    [
      0.5, 0.4809698831278217, 0.42677669529663687, 0.34567085809127246, 0.25, 0.15432914190872757,
      0.07322330470336313, 0.019030116872178315,
    ],
  ],
])("decays as transformers' does", (make, want) => {
  const schedule = make({ lr: 0.5, warmup: 4, steps: 12 });
  want.forEach((rate, i) => expect(schedule(4 + i)).toBeCloseTo(rate, 15));
});

it('constant is', () => {
  expect([0, 1, 1e9].map(constant(0.25))).toEqual([0.25, 0.25, 0.25]);
  expect(() => constant(-1)).toThrow('constant: lr is -1; it must be a finite number from 0');
});
