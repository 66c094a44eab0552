import { assertSameBits, gamma } from '@bax/check';
import type { Backend } from '@bax/core';
import { loraScale, planLora } from '@bax/nn';
import fc from 'fast-check';
import { beforeAll, describe, expect, it, test } from 'vitest';
import { failure } from '../../nn/files/support.ts';
import { tinyGpt2 } from '../../nn/support/gpt2.ts';
import { deltaOf, adapted, instances, put, run, weightOf, type Instance } from './support.ts';
import { backendCases } from '../../support/backends.ts';
import { absolute, matrix, scaled } from '../../nn/support/host.ts';
import { largest } from '../../nn/support/numbers.ts';
import { runs } from '../../support/runs.ts';

test('P8: s = α/r, rounded once; α = r gives 1', () => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 64 }), fc.integer({ min: 1, max: 256 }), (r, alpha) => {
      expect(loraScale(alpha, r)).toBe(alpha / r);
      expect(loraScale(r, r)).toBe(1);
    }),
    runs(100),
  );
});

describe.each(backendCases)('on $name', (device) => {
  let backend: Backend;
  beforeAll(async () => void (backend = await device.make()));

  /** s B A as the device merges it into a weight of zeros. */
  const delta = async (instance: Instance, alpha: number): Promise<ArrayLike<number>> => {
    const W = scaled(instance.W, 0);
    const { model } = await adapted({ ...instance, W, alpha, s: alpha / instance.r }, { backend }).merge();
    return weightOf(model);
  };
  const scale = (c: number, x: ArrayLike<number>): Float64Array => Float64Array.from(x, (v) => c * v);

  it.each(['int', 'real'] as const)(
    'P8: ΔW(cα) = c ΔW(α), bit for bit for c = 2^j in %s mode',
    async (mode) => {
      let seen = 0;
      const law = async (instance: Instance, j: number): Promise<void> => {
        const once = await delta(instance, instance.alpha);
        assertSameBits(await delta(instance, instance.alpha * 2 ** j), scale(2 ** j, once), `c = 2^${j}`);
        if (mode === 'int') assertSameBits(once, deltaOf(instance).data, 'ΔW = (α/r) B A');
        if (instance.r > 1 && largest(once) > 0) seen++;
      };
      await fc.assert(fc.asyncProperty(instances(mode), fc.integer({ min: -3, max: 3 }), law), runs(60));
      expect(seen, 'at r = 1 α is α/r').toBeGreaterThan(15);
    },
  );

  it('P8: for other c within the bound', async () => {
    const law = async (instance: Instance, c: number): Promise<void> => {
      const [once, more] = [await delta(instance, instance.alpha), await delta(instance, c * instance.alpha)];
      const size = deltaOf({
        ...instance,
        parts: instance.parts.map((p) => ({ ...p, A: absolute(p.A), B: absolute(p.B) })),
      });
      const bound = gamma(2 * instance.r + 5, backend.info.roundoff);
      for (let i = 0; i < more.length; i++)
        expect(Math.abs(more[i]! - c * once[i]!)).toBeLessThanOrEqual(c * bound * size.data[i]! + 2 ** -100);
    };
    await fc.assert(fc.asyncProperty(instances('real'), fc.constantFrom(3, 0.7, 1 / 3, 10), law), runs(40));
  });

  it('P8: α and r enter by α/r alone: twice of both with the rank padded by zeros is the same function, bit for bit', async () => {
    const law = async (instance: Instance): Promise<void> => {
      const { r, parts, W, s } = instance;
      fc.pre(2 * r <= Math.min(W.columns, ...parts.map((p) => p.length)));
      const padded = parts.map((p) => ({
        ...p,
        A: matrix(2 * r, W.columns, (i, j) => (i < r ? p.A.data[i * W.columns + j]! : 0)),
        B: matrix(p.length, 2 * r, (i, j) => (j < r ? p.B.data[i * r + j]! : 0)),
      }));
      const x = put(instance.x, { backend });
      const wide = adapted({ ...instance, r: 2 * r, alpha: 2 * s * r, parts: padded }, { backend });
      assertSameBits(await run(wide.model, x), await run(adapted(instance, { backend }).model, x), 'output');
    };
    await fc.assert(fc.asyncProperty(instances('int'), law), runs(50));
  });
});

test('the defaults: r 8, α 16 and so s = 2, every linear layer but the head, kaiming, no dropout', async () => {
  const { cpu } = await import('@bax/cpu');
  const model = tinyGpt2({ backend: cpu(), config: { n_embd: 16 } });
  const { config, entries } = planLora(model);
  expect(config).toEqual({
    r: 8, alpha: 16, rankPattern: {}, alphaPattern: {}, targets: 'all-linear', exclude: [], layersToTransform: [], rslora: false,
    dora: false, freezeA: false, dropout: 0, init: 'kaiming', bias: 'none', modulesToSave: [],
  }); // prettier-ignore
  expect(entries.map((e) => e.path)).toEqual(
    [0, 1].flatMap((i) =>
      ['attn.c_attn', 'attn.c_proj', 'mlp.c_fc', 'mlp.c_proj'].map((name) => `transformer.h.${i}.${name}`),
    ),
  );
});

test.each([
  [{ r: 0 }, 'lora: r is 0; the rank is an integer from 1'],
  [{ r: -1 }, 'lora: r is -1; the rank is an integer from 1'],
  [{ r: 1.5 }, 'lora: r is 1.5; the rank is an integer from 1'],
  [{ r: NaN }, 'lora: r is NaN; the rank is an integer from 1'],
  [{ alpha: 0 }, 'lora: alpha is 0; it must be a finite number above 0'],
  [{ alpha: -2 }, 'lora: alpha is -2; it must be a finite number above 0'],
  [{ alpha: Infinity }, 'lora: alpha is Infinity; it must be a finite number above 0'],
  [{ dropout: 1 }, 'lora: dropout is 1; it must lie in [0, 1)'],
  [{ dropout: -0.1 }, 'lora: dropout is -0.1; it must lie in [0, 1)'],
  [{ targets: [] }, "lora: targets must be 'all-linear' or a list that names at least one, like ['q', 'v']"],
  [
    { init: 'zeros' as 'kaiming' },
    "lora: init is 'zeros'; choose kaiming, gaussian, orthogonal, pissa or olora",
  ],
  [
    { r: 9 },
    'planLora: r = 9 exceeds min(in, out) = 8 of transformer.h.0.attn.c_attn [24, 8]; B A cannot have a higher rank than W',
  ],
  [
    { r: 9, targets: ['h.1.attn.c_attn.k'] },
    'planLora: r = 9 exceeds min(in, out) = 8 of transformer.h.1.attn.c_attn.k [8, 8]; B A cannot have a higher rank than W',
  ],
])('%j is refused', async (config, why) => {
  const { cpu } = await import('@bax/cpu');
  const model = tinyGpt2({ backend: cpu() });
  expect(await failure(() => planLora(model, config))).toBe(why);
});
