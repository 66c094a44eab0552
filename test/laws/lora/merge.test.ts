import { assertSameBits, gamma } from '@bax/check';
import { noGrad, type Backend } from '@bax/core';
import { type MergeReport } from '@bax/nn';
import fc from 'fast-check';
import { beforeAll, describe, expect, it } from 'vitest';
import { failure } from '../../nn/files/support.ts';
import { randomAdapter, tinyGpt2, tokens } from '../../nn/support/gpt2.ts';
import { hashOf, modelHashes } from '../../nn/support/hash.ts';
import { absolute, matrix, plus, scaled, type Matrix } from '../../nn/support/host.ts';
import { distance } from '../../nn/support/numbers.ts';
import { backendCases } from '../../support/backends.ts';
import {
  adapted, deltaOf, instances, mergedOf, outputOf, put, run, weightOf, type Instance,
} from './support.ts'; // prettier-ignore

/** The same with every number positive: the sums of absolute values that rounding is relative to. */
const sizeOf = (instance: Instance): Instance => ({
  ...instance,
  W: absolute(instance.W),
  bias: instance.bias?.map(Math.abs),
  x: absolute(instance.x),
  parts: instance.parts.map((p) => ({ ...p, A: absolute(p.A), B: absolute(p.B) })),
});
const f32 = (m: Matrix): Matrix => matrix(m.rows, m.columns, m.data.map(Math.fround)); // prettier-ignore
const mapped = (m: Matrix, f: (x: number, i: number) => number): Matrix => f32(matrix(m.rows, m.columns, m.data.map(f))); // prettier-ignore

/** Instances made harder: what rounding does worst. */
const families: Record<string, (i: Instance) => Instance> = {
  'as programs hold them': (i) => i,
  'cancellation: W ≈ −s B A': (i) => ({ ...i, W: f32(scaled(deltaOf(i), -1)) }),
  'full mantissas, all positive': (i) => {
    const full = (m: Matrix): Matrix => mapped(absolute(m), (x) => x * (1 + 0.3333333333) + 0.7777777);
    return {
      ...i,
      W: full(i.W),
      x: full(i.x),
      parts: i.parts.map((p) => ({ ...p, A: full(p.A), B: full(p.B) })),
    };
  },
  'stagnation: the first term 1, the others just under u': (i) => {
    const stuck = (m: Matrix): Matrix =>
      matrix(m.rows, m.columns, (_, j) => (j === 0 ? 1 : 2 ** -24 * (1 - 2 ** -20)));
    return {
      ...i,
      W: stuck(i.W),
      x: mapped(i.x, () => 1),
      parts: i.parts.map((p) => ({ ...p, A: stuck(p.A), B: mapped(p.B, () => 1) })),
    };
  },
  'wide exponents': (i) => {
    const spread = (m: Matrix): Matrix => mapped(m, (x, at0) => x * 2 ** ((at0 % 21) - 10));
    return {
      ...i,
      W: spread(i.W),
      x: spread(i.x),
      parts: i.parts.map((p) => ({ ...p, A: spread(p.A), B: spread(p.B) })),
    };
  },
};
/** Also scales that f32 cannot hold: 8/3, 3/7. */
const withScale = (i: Instance, alpha: number | undefined): Instance =>
  alpha === undefined ? i : { ...i, alpha, s: alpha / i.r };
const alphas = fc.oneof(fc.constant(undefined), fc.constantFrom(8 / 3, 0.3, 5, 7));

describe.each(backendCases)('on $name', (device) => {
  let backend: Backend;
  let u: number;
  beforeAll(async () => {
    backend = await device.make();
    u = backend.info.roundoff;
  });

  it('P6: merged and unmerged outputs are equal bit for bit in whole numbers, and are x (W + s B A)ᵀ + b', async () => {
    const law = async (instance: Instance): Promise<void> => {
      const lora = adapted(instance, { backend });
      const { model, report } = await lora.merge();
      assertSameBits(await weightOf(model), mergedOf(instance).data, "W' = W + s B A");
      expect(report.worst.error).toBe(0);
      const x = put(instance.x, { backend });
      const exact = outputOf(instance, mergedOf(instance)).data;
      assertSameBits(await run(lora.model, x), exact, 'unmerged');
      assertSameBits(await run(model, x), exact, 'merged');
    };
    await fc.assert(fc.asyncProperty(instances('int'), law), { numRuns: 150 });
  });

  it.each(Object.keys(families))(
    'P6: each is within its bound of f64, and so of the other; %s',
    async (family) => {
      const law = async (drawn: Instance, alpha: number | undefined): Promise<void> => {
        const instance = families[family]!(withScale(drawn, alpha));
        const lora = adapted(instance, { backend });
        const { model } = await lora.merge();
        const x = put(instance.x, { backend });
        const [unmerged, merged] = [await run(lora.model, x), await run(model, x)];
        const exact = outputOf(instance, mergedOf(instance)).data;
        const size = sizeOf(instance);
        const [fixed, moving] = [
          outputOf(size, size.W).data,
          outputOf({ ...size, bias: undefined }, deltaOf(size)).data,
        ];
        const k = instance.W.columns;
        const rounded = Math.fround(instance.s) === instance.s ? 0 : 1; // α/r itself is rounded to f32, too
        for (let i = 0; i < exact.length; i++) {
          const bound =
            gamma(k + 2, u) * fixed[i]! + gamma(k + instance.r + 3 + rounded, u) * moving[i]! + 2 ** -100;
          expect(Math.abs(unmerged[i]! - exact[i]!)).toBeLessThanOrEqual(bound);
          expect(Math.abs(merged[i]! - exact[i]!)).toBeLessThanOrEqual(bound);
          expect(Math.abs(merged[i]! - unmerged[i]!)).toBeLessThanOrEqual(2 * bound);
        }
      };
      await fc.assert(fc.asyncProperty(instances('real'), alphas, law), { numRuns: 60 });
    },
  );

  it.each(Object.keys(families))(
    "P33: the merged weights are within the report's bound of W + s B A, and the report says what is so; %s",
    async (family) => {
      const law = async (drawn: Instance, alpha: number | undefined): Promise<void> => {
        const instance = families[family]!(withScale(drawn, alpha));
        const { model, report } = await adapted(instance, { backend }).merge();
        const merged = await weightOf(model);
        const [exact, moving] = [mergedOf(instance).data, deltaOf(sizeOf(instance)).data];
        const rounded = Math.fround(instance.s) === instance.s ? 0 : 1;
        let error = 0;
        for (let i = 0; i < exact.length; i++) {
          const off = Math.abs(merged[i]! - exact[i]!);
          error = Math.max(error, off);
          expect(off).toBeLessThanOrEqual(
            u * Math.abs(exact[i]!) + (1 + u) * gamma(instance.r + 1 + rounded, u) * moving[i]! + 2 ** -149,
          );
        }
        const { worst } = report;
        expect(report.layers).toEqual([worst]);
        expect(worst.path).toBe('proj');
        expect(Math.abs(worst.error - error)).toBeLessThanOrEqual(2 ** -40 * error);
        expect(worst.error).toBeLessThanOrEqual(worst.bound);
        expect(worst.ratio).toBeLessThanOrEqual(1);
        expect(worst.ratio).toBeGreaterThanOrEqual(worst.error / worst.bound);
      };
      await fc.assert(fc.asyncProperty(instances('real', { size: 8 }), alphas, law), { numRuns: 100 });
    },
  );

  it('P33: an α/r that f32 cannot hold is one rounding more, of which the bound must know', async () => {
    // r = 1 and W = −s B A: what is left is the rounding of s, of B A and of their product
    let most = 0;
    const mantissa = fc.integer({ min: 2 ** 23, max: 2 ** 24 - 1 }).map((m) => m * 2 ** -23);
    const law = async (a: number[], b: number[], alpha: number): Promise<void> => {
      const parts = [{ name: undefined, start: 0, length: 8, A: matrix(1, 8, a), B: matrix(8, 1, b) }];
      const blank: Instance = {
        form: 'linear',
        r: 1,
        alpha,
        s: alpha,
        slices: {},
        parts,
        W: matrix(8, 8, () => 0),
        bias: undefined,
        x: matrix(1, 8, a),
        G: matrix(1, 8, a),
      };
      const { report } = await adapted({ ...blank, W: f32(scaled(deltaOf(blank), -1)) }, { backend }).merge();
      most = Math.max(most, report.worst.ratio);
      expect(report.worst.ratio).toBeLessThanOrEqual(1);
    };
    const eight = fc.array(mantissa, { minLength: 8, maxLength: 8 });
    await fc.assert(
      fc.asyncProperty(eight, eight, fc.constantFrom(1 + 2 ** -24 - 2 ** -40, 1 + 3 * 2 ** -24), law),
      { numRuns: 60 },
    );
    expect(most, 'the bound is not idle').toBeGreaterThan(0.4);
  });

  it('merges what runs: with a strength s is multiplied by it; a disabled adapter is not merged', async () => {
    const law = async (instance: Instance, strength: number): Promise<void> => {
      const lora = adapted(instance, { backend });
      const x = put(instance.x, { backend });
      lora.setStrength(strength);
      const W = plus(instance.W, scaled(deltaOf(instance), strength));
      const { model } = await lora.merge();
      assertSameBits(await weightOf(model), W.data, 'W + strength · s B A');
      assertSameBits(await run(lora.model, x), outputOf(instance, W).data, 'unmerged');
      lora.disable();
      expect(await failure(() => lora.merge())).toBe(
        'merge: the adapter is disabled, so merging would give the base; call enable() first',
      );
    };
    await fc.assert(fc.asyncProperty(instances('int'), fc.constantFrom(0, 0.5, 1, 2, -1), law), {
      numRuns: 50,
    });
    const lora = adapted(fc.sample(instances('int'), { numRuns: 1, seed: 1 })[0]!, { backend });
    for (const strength of [NaN, Infinity])
      expect(await failure(() => lora.setStrength(strength))).toBe(
        `lora: strength is ${strength}; it must be a finite number`,
      );
    expect(lora.strength).toBe(1);
  });

  it("reports in words; the worst layer is the one of the largest error, and its numbers are that component's", async () => {
    const model = tinyGpt2({ backend });
    const lora = randomAdapter(model, { r: 3, alpha: 7, targets: ['q', 'v', 'c_fc', 'h.1.mlp.c_proj'] });
    const { report, model: merged }: { report: MergeReport; model: typeof model } = await lora.merge();
    expect(report.layers.map((l) => l.path)).toEqual([...lora.layers.keys()]);
    const errors = report.layers.map((l) => l.error);
    expect(report.worst.error).toBe(Math.max(...errors));
    const percent = (100 * Math.max(...report.layers.map((l) => l.ratio))).toFixed(0);
    expect(String(report)).toBe(
      `5 weights merged; largest error ${report.worst.error.toExponential(2)} in ${report.worst.path}, where ${report.worst.bound.toExponential(2)} is allowed; every component is within ${percent} % of its bound`,
    );
    expect(merged.constructor).toBe(model.constructor);
    expect([...merged.namedModules().keys()]).toEqual([...model.namedModules().keys()]);
  });

  it('P56: a tied head: merging is refused, or unties it and leaves the embeddings alone', async () => {
    const model = tinyGpt2({ backend, dtype: 'f32' });
    const lora = randomAdapter(model, { r: 2, targets: ['lm_head', 'v'] });
    const bits = await modelHashes(model);
    expect(await failure(() => lora.merge())).toBe(
      'merge: lm_head.weight is tied to transformer.wte.weight; merging would change both. Pass { untie: true } to give the head a weight of its own',
    );
    const { model: merged } = await lora.merge({ untie: true });
    expect(merged.transformer.wte.weight).toBe(model.transformer.wte.weight);
    expect(merged.tied).toEqual({});
    expect(merged.config.tie_word_embeddings).toBe(false);
    expect(model.config.tie_word_embeddings).toBe(true);
    const head = merged.namedParameters().get('lm_head.weight')!;
    expect(await hashOf(head)).not.toBe(bits['transformer.wte.weight']);
    expect(merged.parameterCount - model.parameterCount).toBe(11 * 8);
    expect(await modelHashes(model)).toEqual(bits);
    const ids = tokens(backend, [2, 5]);
    const [z, z2] = [
      await noGrad(() => lora.model.forward(ids)).data(),
      await noGrad(() => merged.forward(ids)).data(),
    ];
    expect(distance(z, z2)).toBeLessThan(1e-5);
  });
  it('P56: with an adapter on it, a tied head still counts its weight once', () => {
    const model = tinyGpt2({ backend });
    const lora = randomAdapter(model, { r: 2, targets: ['lm_head'] });
    expect(lora.plan.modelParameters).toBe(model.parameterCount);
    expect(lora.model.parameterCount).toBe(model.parameterCount + lora.plan.parameters);
    expect(new Set(lora.model.parameters()).size).toBe(lora.model.parameters().length);
  });
  it('P56: an untied head merges as any other layer', async () => {
    const model = tinyGpt2({ backend, config: { tie_word_embeddings: false } });
    const { model: merged, report } = await randomAdapter(model, { r: 2, targets: ['lm_head'] }).merge();
    expect(report.layers.map((l) => l.path)).toEqual(['lm_head']);
    expect(merged.tied).toEqual({});
  });
});
