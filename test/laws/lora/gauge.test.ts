/** B A has many names: for any invertible Q, B Q⁻¹ and Q A are the same adapter. Its gradients change with the name, its function does not. */
import { assertSameBits } from '@bax/check';
import { mul, sum, valueAndGrad } from '@bax/core';
import { adamW } from '@bax/nn';
import fc from 'fast-check';
import { expect, it } from 'vitest';
import { matrix, times, turned, type Matrix } from '../../nn/support/host.ts';
import { largest, distance } from '../../nn/support/numbers.ts';
import { onEveryBackend } from '../../support/backends.ts';
import {
  adapted, gradients, inputOf, instances, mergedOf, outputOf, put, run, tryLaw, weightOf, type Form, type Instance,
} from './support.ts'; // prettier-ignore

/** Q and Q⁻¹. */
interface Gauge {
  readonly Q: Matrix;
  readonly inverse: Matrix;
}
const eye = (r: number): Matrix => matrix(r, r, (i, j) => (i === j ? 1 : 0));

/** What a seed of random integers makes of r: a diagonal of ±2^j; signs and a permutation; a product of shears. */
const gauges: Readonly<Record<string, (r: number, seed: readonly number[]) => Gauge>> = {
  'powers of two with signs': (r, seed) => {
    const d = (i: number): number => (seed[i]! % 2 ? -1 : 1) * 2 ** ((seed[i]! % 7) - 3);
    return {
      Q: matrix(r, r, (i, j) => (i === j ? d(i) : 0)),
      inverse: matrix(r, r, (i, j) => (i === j ? 1 / d(i) : 0)),
    };
  },
  'a permutation with signs': (r, seed) => {
    const order = Array.from({ length: r }, (_, i) => i).sort((a, b) => seed[a]! - seed[b]! || a - b);
    const Q = matrix(r, r, (i, j) => (order[i] === j ? (seed[i]! % 2 ? -1 : 1) : 0));
    return { Q, inverse: turned(Q) };
  },
  'whole numbers of determinant 1': (r, seed) => {
    let [Q, inverse] = [eye(r), eye(r)];
    for (let n = 0; n < 2; n++) {
      const [to, from] = [seed[n]! % r, seed[n + 2]! % r];
      if (to === from) continue;
      const c = seed[n + 4]! % 2 ? -1 : 1;
      const shear = (by: number): Matrix =>
        matrix(r, r, (i, j) => (i === j ? 1 : i === to && j === from ? by : 0));
      [Q, inverse] = [times(shear(c), Q), times(inverse, shear(-c))];
    }
    return { Q, inverse };
  },
};
const seeds = fc.array(fc.nat(1000), { minLength: 8, maxLength: 8 });
const renamed = (instance: Instance, { Q, inverse }: Gauge): Instance => ({
  ...instance,
  parts: instance.parts.map((p) => ({ ...p, A: times(Q, p.A), B: times(p.B, inverse) })),
});
const forms: fc.Arbitrary<Form | undefined> = fc.constantFrom(undefined, undefined, 'embedding');
const drawn = (mode: 'int' | 'real'): fc.Arbitrary<Instance> =>
  forms.chain((form) => instances(mode, { narrow: mode === 'int', size: 10, ...(form ? { form } : {}) }));

onEveryBackend((device) => {
  /** The output and, by name, the gradients of all A and B. */
  async function seen(instance: Instance, on: { backend: typeof device.backend }) {
    const lora = adapted(instance, on);
    const x = inputOf(instance, on);
    const params = lora.parameters();
    const grads = await gradients(() => lora.model.forward(x), put(instance.G, on), [...params.values()]);
    const { model } = await lora.merge();
    const shaped = [...params.values()].map(({ shape: [rows, columns] }, i) => matrix(rows!, columns!, grads[i]!)); // prettier-ignore
    return { y: await run(lora.model, x), W: await weightOf(model), grads: shaped };
  }

  it.each([
    ['powers of two with signs', 'real', 40],
    ['a permutation with signs', 'int', 40],
    ['whole numbers of determinant 1', 'int', 60],
  ] as const)(
    'P11: (B Q⁻¹)(Q A) is the same function, ∂(Q A) = Q⁻ᵀ ∂A and ∂(B Q⁻¹) = ∂B Qᵀ; Q: %s, bits, in %s mode',
    async (kind, mode, cases) => {
      let other = 0;
      await tryLaw(device, cases, fc.tuple(drawn(mode), seeds), async (on, [instance, seed]) => {
        const gauge = gauges[kind]!(instance.r, seed);
        const [a, b] = [await seen(instance, on), await seen(renamed(instance, gauge), on)];
        assertSameBits(b.y, a.y, 'output');
        assertSameBits(b.W, a.W, 'merged weight');
        if (mode === 'int') {
          assertSameBits(a.W, mergedOf(instance).data, 'W + s B A');
          assertSameBits(a.y, outputOf(instance, mergedOf(instance)).data, 'x (W + s B A)ᵀ + b');
        }
        for (let i = 0; i < a.grads.length; i += 2) {
          assertSameBits(b.grads[i]!.data, times(turned(gauge.inverse), a.grads[i]!).data, '∂A');
          assertSameBits(b.grads[i + 1]!.data, times(a.grads[i + 1]!, turned(gauge.Q)).data, '∂B');
        }
        if (largest(a.grads[0]!.data) > 0 && distance(gauge.Q.data, eye(instance.r).data) > 0) other++;
      });
      expect(other, 'gauges that change something').toBeGreaterThan(0);
    },
  );

  it('P11: but Adam sees the names: after a step the functions differ', async () => {
    let differ = 0;
    const arbitrary = fc.tuple(instances('int', { narrow: true, size: 8, slices: false }), seeds);
    await tryLaw(device, 16, arbitrary, async (on, [instance, seed]) => {
      const gauge = gauges['powers of two with signs']!(instance.r, seed);
      const after = async (some: Instance): Promise<ArrayLike<number>> => {
        const lora = adapted(some, on);
        const [x, G] = [inputOf(some, on), put(some.G, on)];
        const params = lora.parameters();
        const { grads } = valueAndGrad(() => sum(mul(lora.model.forward(x), G)), [...params.values()]);
        adamW(params, { lr: 1 / 4 }).step(grads);
        return run(lora.model, x);
      };
      if (distance(await after(instance), await after(renamed(instance, gauge))) > 1e-2) differ++;
    });
    expect(differ).toBeGreaterThan(0);
  });
});
