import { assertSameBits } from '@bax/check';
import { mul, sum, valueAndGrad, type Backend } from '@bax/core';
import { sgd } from '@bax/nn';
import fc from 'fast-check';
import { beforeAll, describe, it } from 'vitest';
import { plus, rowsOf, scaled, times, turned, type Matrix } from '../../nn/support/host.ts';
import { backendCases } from '../../support/backends.ts';
import { adapted, factorsOf, instances, productOf, put, weightOf, type Instance } from './support.ts';
import { runs } from '../../support/runs.ts';

describe.each(backendCases)('on $name', (device) => {
  let backend: Backend;
  beforeAll(async () => void (backend = await device.make()));

  /** −η s² D Aᵀ A for each part, in the rows of its slice: the full weight's step, projected on the rows of A. */
  function projected({ parts, s, G, x, W }: Instance, eta: number): Matrix {
    const D = times(turned(G), x);
    return parts
      .map((part) => {
        const { A, start, length } = part;
        const step = scaled(times(rowsOf(D, start, length), turned(A)), -eta * s * s); // times A in productOf
        return productOf({ ...part, B: step }, W.rows);
      })
      .reduce(plus);
  }

  it('P13: from B = 0 one step of SGD gives ΔW = −η s² D AᵀA: the step of full fine-tuning, projected', async () => {
    const law = async (
      instance: Instance,
      eta: number,
      momentum: number,
      nesterov: boolean,
      weightDecay: number,
    ): Promise<void> => {
      const lora = adapted(instance, { backend });
      const [x, G] = [put(instance.x, { backend }), put(instance.G, { backend })];
      const params = lora.parameters();
      const { grads } = valueAndGrad(() => sum(mul(lora.model.forward(x), G)), [...params.values()]);
      sgd(params, { lr: eta, weightDecay, ...(momentum > 0 ? { momentum, nesterov } : {}) }).step(grads);
      const { model } = await lora.merge();
      const rate = eta * (momentum > 0 && nesterov ? 1 + momentum : 1); // at the first step momentum is nothing yet
      assertSameBits(
        await weightOf(model),
        plus(instance.W, scaled(projected(instance, rate), 1 - rate * weightDecay)).data, // A decays, B is nothing yet
        "W' after a step",
      );
    };
    const args = [
      fc.constantFrom(1 / 8, 1 / 2),
      fc.constantFrom(0, 0.5),
      fc.boolean(),
      fc.constantFrom(0, 0.5),
    ] as const;
    await fc.assert(
      fc.asyncProperty(instances('int', { zeroB: true, size: 8, narrow: true }), ...args, law),
      runs(80 * device.share),
    );
  });

  it('P3: a step of SGD changes B alone where B = 0, and both thereafter', async () => {
    const law = async (instance: Instance): Promise<void> => {
      const lora = adapted(instance, { backend });
      const [x, G] = [put(instance.x, { backend }), put(instance.G, { backend })];
      const [part] = instance.parts;
      const { A, B } = factorsOf(lora, part!);
      const params = lora.parameters();
      const optimizer = sgd(params, { lr: 1 / 4 });
      for (let step = 0; step < 2; step++) {
        const { grads } = valueAndGrad(() => sum(mul(lora.model.forward(x), G)), [...params.values()]);
        optimizer.step(grads);
        if (step === 0) assertSameBits(await A.data(), part!.A.data, 'A after one step');
      }
      const D = rowsOf(times(turned(instance.G), instance.x), part!.start, part!.length);
      const DAt = times(D, turned(part!.A));
      const expected = plus(
        part!.A,
        scaled(times(part!.A, times(turned(D), D)), (instance.s * instance.s) / 16),
      );
      assertSameBits(await A.data(), expected.data, 'A after two: A + η² s² A Dᵀ D');
      assertSameBits(
        await B.data(),
        scaled(plus(DAt, DAt), -instance.s / 4).data,
        'B after two: −2 η s D Aᵀ',
      );
    };
    await fc.assert(
      fc.asyncProperty(instances('int', { zeroB: true, size: 8, narrow: true }), law),
      runs(60 * device.share),
    );
  });
});
