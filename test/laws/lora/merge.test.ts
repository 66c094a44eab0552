import { assertSameBits } from '@bax/check';
import { assign, key, mul, noGrad, scope, type Backend } from '@bax/core';
import { createAdapter, type Linear, LoraModel, type MergeReport, planLora } from '@bax/nn';
import fc from 'fast-check';
import { beforeAll, describe, expect, it } from 'vitest';
import { failure } from '../../nn/files/support.ts';
import { randomAdapter, tinyGpt2, tokens } from '../../nn/support/gpt2.ts';
import { hashOf, modelHashes } from '../../nn/support/hash.ts';
import { matrix, plus, scaled, times, turned } from '../../nn/support/host.ts';
import { distance } from '../../nn/support/numbers.ts';
import { backendCases } from '../../support/backends.ts';
import { adapted, deltaOf, instances, outputOf, put, run, weightOf, type Instance } from './support.ts';
import { runs } from '../../support/runs.ts';

describe.each(backendCases)('on $name', (device) => {
  let backend: Backend;
  beforeAll(async () => void (backend = await device.make()));

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
      const rounded = matrix(8, 8, deltaOf(blank).data.map((x) => Math.fround(-x))); // prettier-ignore
      const { report } = await adapted({ ...blank, W: rounded }, { backend }).merge();
      most = Math.max(most, report.worst.ratio);
      expect(report.worst.ratio).toBeLessThanOrEqual(1);
    };
    const eight = fc.array(mantissa, { minLength: 8, maxLength: 8 });
    await fc.assert(
      fc.asyncProperty(eight, eight, fc.constantFrom(1 + 2 ** -24 - 2 ** -40, 1 + 3 * 2 ** -24), law),
      runs(60),
    );
    // Where u is twice what rounding to nearest costs, so is the bound.
    expect(most, 'the bound is not idle').toBeGreaterThan((0.4 * 2 ** -24) / backend.info.roundoff);
  });

  it('merges what runs: with a strength s is multiplied by it; a disabled adapter is not merged', async () => {
    const law = async (instance: Instance, strength: number): Promise<void> => {
      const lora = adapted(instance, { backend });
      const x = put(instance.x, { backend });
      lora.scale(strength);
      const W = plus(instance.W, scaled(deltaOf(instance), strength));
      const { model } = await lora.merge();
      assertSameBits(await weightOf(model), W.data, 'W + strength · s B A');
      assertSameBits(await run(lora.model, x), outputOf(instance, W).data, 'unmerged');
      lora.disable();
      expect(await failure(() => lora.merge())).toBe(
        'merge: the adapter is disabled, so merging would give the base; call enable() first',
      );
    };
    await fc.assert(fc.asyncProperty(instances('int'), fc.constantFrom(0, 0.5, 1, 2, -1), law), runs(50));
    const lora = adapted(fc.sample(instances('int'), { numRuns: 1, seed: 1 })[0]!, { backend });
    for (const strength of [NaN, Infinity])
      expect(await failure(() => lora.scale(strength))).toBe(
        `activate: the weight of 'default' is ${strength}; it must be a finite number`,
      );
    expect(lora.active.get('default')).toBe(1);
  });

  it('is of the moment of the call, whatever is done to the adapters before it resolves; nothing else is left of it', async () => {
    const model = tinyGpt2({ backend });
    const [a, b] = [1, 2].map((r) => randomAdapter(model, { r, targets: ['c_fc', 'mlp.c_proj'] }).adapter());
    const lora = new LoraModel(model);
    lora.add('a', a!);
    lora.add('b', b!);
    lora.activate('a');
    const { model: whole, dispose } = await lora.merge();
    const bits = await modelHashes(whole);
    dispose();
    const train = (): void => scope(() => [...a!.parameters().values()].forEach((t) => assign(t, mul(t, 2))));
    const changes: (() => unknown)[] = [() => lora.activate('b'), () => lora.scale(0.5), () => lora.disable(), () => lora.remove('b'), train]; // prettier-ignore
    for (const change of changes) {
      lora.enable();
      lora.activate({ a: 1 });
      const { buffers } = backend.memory();
      const merging = lora.merge();
      noGrad(change);
      const { model: merged, report, dispose } = await merging;
      expect(await modelHashes(merged)).toEqual(bits);
      expect(report.worst.ratio).toBeLessThanOrEqual(1);
      dispose();
      expect(backend.memory().buffers).toBeLessThanOrEqual(buffers); // less, where garbage was collected
    }
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
    expect(lora.model.parameterCount).toBe(model.parameterCount + lora.adapter().parameterCount);
    expect(new Set(lora.model.parameters()).size).toBe(lora.model.parameters().length);
  });
  it('P56: an adapter of the table changes what is looked up, and the head that is tied to it stays', async () => {
    const model = tinyGpt2({ backend });
    const ids = tokens(backend, [2, 5]);
    const bits = await modelHashes(model);
    for (const targets of [['wte'], ['wte', 'lm_head', 'v']]) {
      const lora = randomAdapter(model, { r: 2, targets });
      const z = await noGrad(() => lora.model.forward(ids)).data();
      expect(await failure(() => lora.merge())).toBe(
        'merge: lm_head.weight is tied to transformer.wte.weight; merging would change both. Pass { untie: true } to give the head a weight of its own',
      );
      const { model: merged } = await lora.merge({ untie: true });
      expect(merged.tied).toEqual({});
      expect(merged.config.tie_word_embeddings).toBe(false);
      const [head, table] = [merged.lm_head as Linear, merged.transformer.wte].map((m) => m.weight);
      expect(head === model.transformer.wte.weight).toBe(targets.length === 1);
      expect(table).not.toBe(model.transformer.wte.weight);
      expect(distance(await noGrad(() => merged.forward(ids)).data(), z)).toBeLessThan(1e-5);
      // the same by hand: an untied base whose table and head are what they should be
      const dense = async (path: string): Promise<Float64Array> => {
        const branch = lora.adapter().branches.get(path);
        const W = Float64Array.from(await model.transformer.wte.weight.data()); // [11, 8]
        if (!branch) return W;
        const [A, B] = [matrix(2, path === 'lm_head' ? 8 : 11, await branch.A.data()), matrix(path === 'lm_head' ? 11 : 8, 2, await branch.B.data())];
        const delta = scaled(times(B, A), branch.scale);
        return plus(matrix(11, 8, W), path === 'lm_head' ? delta : turned(delta)).data;
      };
      expect(distance(await table!.data(), await dense('transformer.wte'))).toBeLessThan(1e-6);
      expect(distance(await head!.data(), await dense('lm_head'))).toBeLessThan(1e-6);
    }
    expect(await modelHashes(model)).toEqual(bits);
  }); // prettier-ignore

  it('P56: a head of its own unties while it is active, and merges without the table', async () => {
    const model = tinyGpt2({ backend });
    const lora = new LoraModel(model);
    lora.add('a', await createAdapter(planLora(model, { r: 2, targets: ['v'], modulesToSave: ['lm_head'] }), { key: key(1) })); // prettier-ignore
    expect(lora.model.tied).toEqual(model.tied);
    lora.activate('a');
    expect(lora.model.tied).toEqual({});
    expect(lora.model.parameterCount).toBe(model.parameterCount + lora.adapter().parameterCount);
    const own = lora.adapter().full.get('lm_head.weight')!;
    backend.write(
      own.view.buffer,
      Float32Array.from({ length: own.size }, (_, i) => i),
      own.view.offset,
    );
    const { model: merged } = await lora.merge();
    expect(merged.tied).toEqual({});
    expect(merged.transformer.wte.weight).toBe(model.transformer.wte.weight);
    expect(await merged.namedParameters().get('lm_head.weight')!.data()).toEqual(await own.data());
    lora.disable();
    expect(lora.model.tied).toEqual(model.tied);
    expect(lora.model.parameterCount).toBe(model.parameterCount + lora.adapter().parameterCount - own.size);
  });

  it('P56: an untied head merges as any other layer', async () => {
    const model = tinyGpt2({ backend, config: { tie_word_embeddings: false } });
    const { model: merged, report } = await randomAdapter(model, { r: 2, targets: ['lm_head'] }).merge();
    expect(report.layers.map((l) => l.path)).toEqual(['lm_head']);
    expect(merged.tied).toEqual({});
  });
});
