import { grad, mul, sub, sum, type Tensor } from '@bax/core';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { inner, matrix, plus, scaled, type Matrix } from '../../nn/support/host.ts';
import { adapted, factorsOf, instances, put, type Instance, type Part } from './support.ts';
import { runs } from '../../support/runs.ts';

describe('in f64 on the CPU', () => {
  it('P2, P32: central differences of a quadratic loss: exact along A and along B, not along both', async () => {
    const { cpu } = await import('@bax/cpu');
    const backend = cpu();
    const on = { backend, dtype: 'f64' as const };
    let unequal = 0;
    const law = async (instance: Instance, signs: number[]): Promise<void> => {
      const { parts, G } = instance;
      const lora = adapted(instance, on);
      const [x, t] = [put(instance.x, on), put(G, on)];
      const quadratic = (y: Tensor): Tensor => sum(mul(sub(y, t), sub(y, t)));
      const [part] = parts as [Part];
      const { A, B } = factorsOf(lora, part);
      for (const p of [A, B]) p.requiresGrad = true;
      const [gA, gB] = await Promise.all(grad(quadratic(lora.model.forward(x)), [A, B]).map((g) => g.data()));
      const direction = (m: Matrix, from: number): Matrix =>
        matrix(
          m.rows,
          m.columns,
          Float64Array.from(m.data, (_, i) => signs[(from + i) % signs.length]!),
        );
      const [EA, EB] = [direction(part.A, 0), direction(part.B, 5)];
      const loss = async (a: number, b: number): Promise<number> => {
        const moved = { ...part, A: plus(part.A, scaled(EA, a)), B: plus(part.B, scaled(EB, b)) };
        const shifted = adapted({ ...instance, parts: [moved, ...parts.slice(1)] }, on);
        return quadratic(shifted.model.forward(x)).item();
      };
      const [alongA, alongB] = [inner(gA!, EA.data), inner(gB!, EB.data)];
      expect((await loss(1, 0)) - (await loss(-1, 0))).toBe(2 * alongA);
      expect((await loss(0, 1)) - (await loss(0, -1))).toBe(2 * alongB);
      if ((await loss(1, 1)) - (await loss(-1, -1)) !== 2 * (alongA + alongB)) unequal++;
    };
    const directions = fc.array(fc.constantFrom(-1, 1), { minLength: 7, maxLength: 31 });
    await fc.assert(fc.asyncProperty(instances('int'), directions, law), runs(60));
    expect(unequal, 'the joint difference has a cubic term: the check must see it').toBeGreaterThan(20);
  });
});
