import { assertSameBits } from '@bax/check';
import { contiguous, noGrad, transpose, type Backend } from '@bax/core';
import { attachFactors, planLora, planOf } from '@bax/nn';
import fc from 'fast-check';
import { beforeAll, describe, expect, it } from 'vitest';
import { failure } from '../../nn/files/support.ts';
import { matrix, rowsOf } from '../../nn/support/host.ts';
import { expectClose } from '../../nn/support/numbers.ts';
import { backendCases } from '../../support/backends.ts';
import {
  adapted, baseOf, factorsOf, gradients, instances, mergedOf, outputOf, put, run, targetsIn, weightOf, type Instance, type Mode, type Part,
} from './support.ts'; // prettier-ignore
import { runs } from '../../support/runs.ts';

describe.each(backendCases)('on $name', (device) => {
  let backend: Backend;
  beforeAll(async () => void (backend = await device.make()));
  const on = () => ({ backend });

  it.each<Mode>(['int', 'real'])(
    'P16: how W is stored changes neither the output nor a gradient; merged weights are transposes, in %s mode',
    async (mode) => {
      const law = async (instance: Instance): Promise<void> => {
        const [linear, conv1d] = [
          adapted({ ...instance, form: 'linear' }, on()),
          adapted({ ...instance, form: 'conv1d' }, on()),
        ];
        const [x, G] = [put(instance.x, on()), put(instance.G, on())];
        const same = (a: ArrayLike<number>, b: ArrayLike<number>, what: string): void =>
          mode === 'int' ? assertSameBits(a, b, what) : expectClose(a, b, 2 ** -18, what);
        same(await run(conv1d.model, x), await run(linear.model, x), 'output');
        for (const part of instance.parts) {
          const [l, c] = [factorsOf(linear, part), factorsOf(conv1d, part)];
          const [gl, gc] = [
            await gradients(() => linear.model.forward(x), G, [l.A, l.B, x]),
            await gradients(() => conv1d.model.forward(x), G, [c.A, c.B, x]),
          ];
          ['∂A', '∂B', '∂x'].forEach((name, i) => same(gc[i]!, gl[i]!, name));
        }
        const [{ model: ml }, { model: mc }] = [await linear.merge(), await conv1d.merge()];
        const stored = [ml, mc].map((m) => m.namedParameters().get('proj.weight')!);
        expect(stored[1]!.shape).toEqual([...stored[0]!.shape].reverse());
        // one product B A, turned: the same bits, in real mode too
        assertSameBits(
          await contiguous(transpose(stored[1]!)).data(),
          await stored[0]!.data(),
          'merged weights',
        );
      };
      await fc.assert(fc.asyncProperty(instances(mode), law), runs(60 * device.share));
    },
  );

  it('P17: an adapter of slices is as many adapters, each on a layer that is its slice', async () => {
    const law = async (instance: Instance): Promise<void> => {
      const { parts, slices, W, bias, G } = instance;
      const lora = adapted(instance, on());
      const x = put(instance.x, on());
      const y = await run(lora.model, x);
      const columns = (data: ArrayLike<number>, start: number, length: number): number[] =>
        Array.from(
          { length: instance.x.rows * length },
          (_, i) => data[Math.floor(i / length) * W.rows + start + (i % length)]!,
        );
      const whole = await gradients(() => lora.model.forward(x), put(G, on()), [
        ...lora.parameters().values(),
      ]);
      const names = [...lora.parameters().keys()];
      for (const [name, { start, length }] of Object.entries(slices)) {
        const part = parts.find((p) => p.name === name);
        const alone: Instance = {
          ...instance, slices: {}, W: rowsOf(W, start, length), bias: bias?.slice(start, start + length),
          G: matrix(G.rows, length, columns(G.data, start, length)), parts: part ? [{ ...part, name: undefined, start: 0 }] : [],
        }; // prettier-ignore
        if (!part) {
          const untouched = await run(baseOf(alone, on()), x);
          assertSameBits(columns(y, start, length), untouched, `slice ${name}, which has no adapter`);
          continue;
        }
        const own = adapted(alone, on());
        assertSameBits(columns(y, start, length), await run(own.model, x), `slice ${name}`);
        const { A, B } = factorsOf(own, alone.parts[0] as Part);
        const grads = await gradients(() => own.model.forward(x), put(alone.G, on()), [A, B]);
        ['A', 'B'].forEach((f, i) =>
          assertSameBits(whole[names.indexOf(`proj.${name}.${f}`)]!, grads[i]!, `∂${f} of slice ${name}`),
        );
      }
    };
    await fc.assert(fc.asyncProperty(instances('int', { slices: 'alone' }), law), runs(60 * device.share));
  });

  it('P17: an untouched slice is not even added to: the sign of its zeros stays, in outputs and merged weights, in real mode too', async () => {
    const law = async (drawn: Instance): Promise<void> => {
      const instance = {
        ...drawn,
        W: matrix(
          drawn.W.rows,
          drawn.W.columns,
          drawn.W.data.map((v, i) => (i % 3 === 0 ? -0 : v)),
        ),
      };
      const base = baseOf(instance, on());
      const lora = adapted(instance, on(), base);
      const { model } = await lora.merge();
      const [before, after] = [await weightOf(base), await weightOf(model)];
      const x = put(instance.x, on());
      const [y, z] = [
        await noGrad(() => base.forward(x)).data(),
        await noGrad(() => lora.model.forward(x)).data(),
      ];
      for (const [name, { start, length }] of Object.entries(instance.slices)) {
        if (instance.parts.some((p) => p.name === name)) continue;
        for (let i = start * instance.W.columns; i < (start + length) * instance.W.columns; i++)
          expect(Object.is(after[i], before[i])).toBe(true);
        for (let row = 0; row < instance.x.rows; row++)
          for (let j = start; j < start + length; j++)
            expect(Object.is(z[row * instance.W.rows + j], y[row * instance.W.rows + j])).toBe(true);
      }
    };
    await fc.assert(fc.asyncProperty(instances('real', { slices: 'alone' }), law), runs(60 * device.share));
  });
});

describe('slices that are planned in another order than they lie in', () => {
  it('P17: are the same adapter', async () => {
    const { cpu } = await import('@bax/cpu');
    const on = { backend: cpu() };
    const law = async (instance: Instance): Promise<void> => {
      const base = baseOf(instance, on);
      const { r, alpha, parts } = instance;
      const { config, entries } = planLora(base, { r, alpha, targets: targetsIn(instance) });
      const plan = planOf(base, config, entries.toReversed().map((target) => ({ target, r, alpha }))); // prettier-ignore
      const lora = attachFactors(base, plan, ({ slice }, f) =>
        put(parts.find((p) => p.name === slice?.name)![f], on),
      );
      const x = put(instance.x, on);
      assertSameBits(await run(lora.model, x), outputOf(instance, mergedOf(instance)).data, 'output');
      const { model } = await lora.merge();
      assertSameBits(await weightOf(model), mergedOf(instance).data, 'merged weight');
    };
    await fc.assert(fc.asyncProperty(instances('int', { slices: 'alone', size: 8 }), law), runs(40));
  });
});

describe('slices that cannot be adapted together', () => {
  const base = async (slices: Instance['slices']) => {
    const { cpu } = await import('@bax/cpu');
    const [W] = [matrix(6, 3, (i, j) => i + j)];
    return baseOf({ form: 'linear', W, bias: undefined, slices }, { backend: cpu() });
  };
  it('a layer and a slice of it', async () => {
    const model = await base({ q: { start: 0, length: 3 } });
    expect(await failure(() => planLora(model, { r: 1, targets: ['proj', 'q'] }))).toBe(
      "planLora: proj is targeted whole and by its slice 'q'; choose one",
    );
  });
  it('two slices that overlap', async () => {
    const model = await base({
      q: { start: 0, length: 3 },
      qk: { start: 2, length: 4 },
      v: { start: 3, length: 3 },
    });
    expect(await failure(() => planLora(model, { r: 1, targets: ['q', 'qk'] }))).toBe(
      'planLora: proj.q and proj.qk are adapted both, and share outputs of proj; choose one',
    );
    expect(planLora(model, { r: 1, targets: ['q', 'v'] }).entries).toHaveLength(2);
  });
});
