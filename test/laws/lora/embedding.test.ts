/** An embedding is a linear map of one-hot vectors; with an adapter it stays one. Here A is the side that begins at zero. */
import { assertSameBits, assertWithin, gamma } from '@bax/check';
import { type Backend, fromHost, grad, key, mul, noGrad, sum, valueAndGrad } from '@bax/core';
import { attachLora, type Embedding, type LoraInit, planLora, sgd } from '@bax/nn';
import fc from 'fast-check';
import { expect, it } from 'vitest';
import {
  absolute,
  at,
  frobenius,
  matrix,
  plus,
  scaled,
  times,
  turned,
  type Matrix,
} from '../../nn/support/host.ts';
import { largest } from '../../nn/support/numbers.ts';
import { onEveryBackend } from '../../support/backends.ts';
import {
  adapted, baseOf, factorsOf, gradients, inputOf, instances, mergedOf, outputOf, put, run, tryLaw, weightOf,
  type Instance, type InstanceOptions, type Mode, type Part,
} from './support.ts'; // prettier-ignore

const tables = (mode: Mode, options: InstanceOptions = {}): fc.Arbitrary<Instance> =>
  instances(mode, { size: 10, ...options, form: 'embedding' });
const only = ({ parts }: Instance): Part => parts[0]!;
/** Which tokens occur in x. */
const seen = ({ x }: Instance): boolean[] =>
  Array.from({ length: x.columns }, (_, j) => x.data.some((v, i) => i % x.columns === j && v !== 0));
const columnsOf = (m: Matrix, keep: (j: number) => boolean): Matrix =>
  matrix(m.rows, m.columns, (i, j) => (keep(j) ? at(m, i, j) : 0));

onEveryBackend((device) => {
  it('P18: a table with an adapter is a linear layer of one-hot rows with it: outputs, ∂A, ∂B and merged weights, bits', async () => {
    let repeated = 0;
    await tryLaw(device, 60, tables('int'), async (on, instance) => {
      const [table, layer] = [adapted(instance, on), adapted({ ...instance, form: 'linear' }, on)];
      const [ids, x, G] = [inputOf(instance, on), put(instance.x, on), put(instance.G, on)];
      const y = await run(table.model, ids);
      assertSameBits(y, await run(layer.model, x), 'output');
      assertSameBits(y, outputOf(instance, mergedOf(instance)).data, 'rows of W + s B A');
      const part = only(instance);
      const [t, l] = [factorsOf(table, part), factorsOf(layer, part)];
      const [gt, gl] = [
        await gradients(() => table.model.forward(ids), G, [t.A, t.B]),
        await gradients(() => layer.model.forward(x), G, [l.A, l.B]),
      ];
      ['∂A', '∂B'].forEach((name, i) => assertSameBits(gt[i]!, gl[i]!, name));
      const [merged, other] = [(await table.merge()).model, (await layer.merge()).model];
      assertSameBits(await weightOf(merged), await weightOf(other), 'merged weight');
      assertSameBits(await run(merged, ids), y, 'output of the merged table');
      if (seen(instance).filter(Boolean).length < instance.x.rows) repeated++;
    });
    expect(repeated, 'tokens that occur twice').toBeGreaterThan(0);
  });

  it('P2: ∂A = s Bᵀ D and ∂B = s D Aᵀ with D of training the whole table, where tokens repeat', async () => {
    await tryLaw(device, 40, tables('int'), async (on, instance) => {
      const { G, s } = instance;
      const whole = baseOf({ ...instance, W: mergedOf(instance) }, on);
      const { weight } = whole.proj as Embedding;
      weight.requiresGrad = true;
      const [ids, cotangent] = [inputOf(instance, on), put(G, on)];
      const [g] = grad(sum(mul(whole.forward(ids), cotangent)), [weight]);
      const D = turned(matrix(weight.shape[0]!, weight.shape[1]!, await g!.data())); // [dim, count]
      assertSameBits(D.data, times(turned(G), instance.x).data, 'D = Gᵀ x');
      const part = only(instance);
      const lora = adapted(instance, on);
      const { A, B } = factorsOf(lora, part);
      const [gA, gB] = await gradients(() => lora.model.forward(ids), cotangent, [A, B]);
      assertSameBits(gA!, scaled(times(turned(part.B), D), s).data, '∂A');
      assertSameBits(gB!, scaled(times(D, turned(part.A)), s).data, '∂B');
      const unseen = columnsOf(matrix(A.shape[0]!, A.shape[1]!, gA!), (j) => !seen(instance)[j]);
      expect(largest(unseen.data), 'tokens that do not occur have no gradient').toBe(0);
    });
  });

  it('P3, P13: from A = 0 a step changes A alone, and the table by −η s² B Bᵀ D; the next one changes B, too', async () => {
    let alive = 0;
    const arbitrary = fc.tuple(
      tables('int', { zeroA: true, narrow: true }),
      fc.constantFrom(1 / 8, 1 / 2),
      fc.constantFrom(0, 1 / 2),
    );
    await tryLaw(device, 40, arbitrary, async (on, [instance, lr, momentum]) => {
      const { G, s, W } = instance;
      const part = only(instance);
      const lora = adapted(instance, on);
      const [ids, cotangent] = [inputOf(instance, on), put(G, on)];
      const params = lora.parameters();
      const { A, B } = factorsOf(lora, part);
      const optimizer = sgd(params, { lr, momentum, nesterov: momentum > 0 });
      const rate = lr * (1 + momentum);
      const step = (): void =>
        optimizer.step(
          valueAndGrad(() => sum(mul(lora.model.forward(ids), cotangent)), [...optimizer.params]).grads,
        );
      const [, gB] = await gradients(() => lora.model.forward(ids), cotangent, [A, B]);
      expect(largest(gB!), '∂B').toBe(0);
      for (const p of [A, B]) p.requiresGrad = true;
      step();
      assertSameBits(await B.data(), part.B.data, 'B after a step');
      const D = times(turned(G), instance.x);
      const BtD = times(turned(part.B), D);
      assertSameBits(await A.data(), scaled(BtD, -rate * s).data, 'A after a step');
      const { model } = await lora.merge();
      assertSameBits(
        await weightOf(model),
        plus(W, scaled(times(part.B, BtD), -rate * s * s)).data,
        "W' after a step",
      );
      step();
      const moved = largest(Float64Array.from(await B.data(), (v, i) => v - part.B.data[i]!)) > 0;
      expect(moved).toBe(frobenius(BtD) > 0);
      if (moved) alive++;
    });
    expect(alive).toBeGreaterThan(0);
  });

  it.each<Mode>(['int', 'real'])(
    'P1: a new adapter changes no bit of a table, whatever it is, in %s mode',
    async (mode) => {
      const inits: LoraInit[] = ['kaiming', 'gaussian', 'orthogonal', 'pissa', 'olora'];
      await tryLaw(
        device,
        30,
        fc.tuple(tables(mode), fc.constantFrom(...inits), fc.boolean()),
        async (on, [instance, init, rslora]) => {
          const base = baseOf(instance, on);
          const { r, alpha } = instance;
          const lora = await attachLora(base, planLora(base, { r, alpha, init, rslora, targets: ['proj'] }), {
            key: key(5),
          });
          const { A, B } = factorsOf(lora, only(instance));
          expect(largest(await A.data())).toBe(0);
          expect((await B.data()).every((v) => v !== 0)).toBe(true);
          const ids = inputOf(instance, on);
          assertSameBits(await run(lora.model, ids), await run(base, ids), 'output');
          assertSameBits(await weightOf((await lora.merge()).model), await weightOf(base), 'merged weight');
        },
      );
    },
  );

  it('P18: tokens whose column of A is zero keep the bits of their rows, in real mode; the others are within their bound', async () => {
    await tryLaw(device, 40, fc.tuple(tables('real'), fc.constantFrom(2, 3)), async (on, [drawn, every]) => {
      const part = only(drawn);
      const trained = (j: number): boolean => j % every === 0;
      const instance = { ...drawn, parts: [{ ...part, A: columnsOf(part.A, trained) }] };
      const lora = adapted(instance, on);
      const base = baseOf(instance, on);
      const { model } = await lora.merge();
      const [W, merged] = [await weightOf(base), await weightOf(model)];
      const ids = inputOf(instance, on);
      const [y, z, m] = [await run(base, ids), await run(lora.model, ids), await run(model, ids)];
      const [{ rows: dim, columns: count }, { roundoff: u }] = [instance.W, on.backend.info];
      for (let i = 0; i < dim * count; i++)
        if (!trained(i % count)) assertSameBits([merged[i]!], [W[i]!], 'merged weight of an untouched token');
      const exact = outputOf(instance, mergedOf(instance)).data;
      const size = outputOf(instance, mergedOf({ ...instance, W: absolute(instance.W), parts: instance.parts.map((p) => ({ ...p, A: absolute(p.A), B: absolute(p.B) })) })).data; // prettier-ignore
      const within = (i: number): number => gamma(instance.r + 3, u) * size[i]! + 2 ** -100;
      for (let row = 0; row < instance.x.rows; row++) {
        const token = instance.x.data.subarray(row * count, (row + 1) * count).indexOf(1);
        const of = (all: ArrayLike<number>): number[] =>
          Array.from({ length: dim }, (_, j) => all[row * dim + j]!);
        if (trained(token)) continue;
        assertSameBits(of(z), of(y), 'row of an untouched token');
        assertSameBits(of(m), of(y), 'merged row of an untouched token');
      }
      assertWithin(z, exact, within, 'unmerged');
      assertWithin(m, exact, within, 'merged');
    });
  });

  it('P18: ids of any shape are looked up one by one', async () => {
    const on: { backend: Backend } = { backend: device.backend };
    const [instance] = fc.sample(tables('int'), { numRuns: 1, seed: 3 }) as [Instance];
    const lora = adapted(instance, on);
    const { columns: count, rows: dim } = instance.W;
    const ids = Int32Array.from({ length: 12 }, (_, i) => (i * 5) % count);
    const flat = await noGrad(() => lora.model.forward(fromHost(ids, [12], 'i32', on))).data();
    for (const shape of [
      [3, 4],
      [2, 3, 2],
      [1, 12],
    ]) {
      const y = noGrad(() => lora.model.forward(fromHost(ids, shape, 'i32', on)));
      expect(y.shape).toEqual([...shape, dim]);
      assertSameBits(await y.data(), flat, `ids of shape ${shape.join()}`);
    }
  });
});
