import { invalidLoraConfigs, loraConfigs } from '@bax/check';
import { BaxError, key } from '@bax/core';
import { cpu } from '@bax/cpu';
import { attachLora, Embedding, planLora } from '@bax/nn';
import fc from 'fast-check';
import { expect, it } from 'vitest';
import { tinyGpt2 } from '../nn/support/gpt2.ts';

const model = tinyGpt2({ backend: cpu() });

it('loraConfigs: all are taken, and everything that may be said is', async () => {
  const seen = new Set<string>();
  for (const config of fc.sample(loraConfigs(model, { dropout: true, variants: true }), {
    numRuns: 300,
    seed: 1,
  })) {
    const plan = planLora(model, config);
    const { targets, r, alpha, init, dropout, bias, rslora, dora, freezeA } = plan.config;
    seen.add(`bias ${bias}`);
    for (const [name, value] of Object.entries({ rslora, dora, freezeA })) if (value) seen.add(name);
    if (plan.entries.some(({ layer }) => layer instanceof Embedding)) seen.add('embedding');
    seen.add(`init ${init}`).add(`dropout ${dropout}`).add(`r ${r}`);
    seen.add(Number.isInteger(Math.log2(alpha / r)) ? 'exact scale' : 'inexact scale');
    if (typeof targets === 'string') seen.add(targets);
    else
      for (const t of targets) seen.add(t instanceof RegExp ? 'pattern' : t.includes('.') ? 'path' : 'name');
    if (plan.entries.some(({ slice }) => slice)) seen.add('slice');
    expect(plan.entries.some(({ path }) => path === 'lm_head')).toBe(false); // tied
  }
  for (const what of ['init kaiming', 'init gaussian', 'dropout 0', 'dropout 0.5', 'r 1', 'r 8', 'exact scale', 'inexact scale', 'all-linear', 'pattern', 'path', 'name', 'slice', 'bias none', 'bias all', 'rslora', 'dora', 'freezeA', 'embedding', 'init orthogonal', 'init pissa', 'init olora'])
    expect(seen).toContain(what); // prettier-ignore
});

it('loraConfigs: can be attached and merged; tied heads on demand', async () => {
  for (const config of fc.sample(loraConfigs(model, { maxRank: 2, variants: true }), {
    numRuns: 25,
    seed: 2,
  })) {
    expect(config.r).toBeLessThanOrEqual(2);
    const lora = await attachLora(model, planLora(model, config), { key: key(1) });
    (await lora.merge()).dispose();
    lora.detach();
  }
  const heads = fc.sample(loraConfigs(model, { tied: true }), { numRuns: 100, seed: 3 });
  expect(heads.some((config) => planLora(model, config).entries.some(({ path }) => path === 'lm_head'))).toBe(true); // prettier-ignore
});

it('invalidLoraConfigs: each is refused as it says', () => {
  const kinds = new Set<string>();
  for (const { config, refused } of fc.sample(invalidLoraConfigs(model), { numRuns: 400, seed: 1 })) {
    let error: unknown;
    try {
      planLora(model, config);
    } catch (e) {
      error = e;
    }
    expect(error, JSON.stringify(config)).toBeInstanceOf(BaxError);
    expect((error as Error).message.startsWith(refused), `${(error as Error).message} | ${refused}`).toBe(true); // prettier-ignore
    kinds.add(refused.replace(/(is|=) .*/, ''));
  }
  for (const config of fc.sample(loraConfigs(model), { numRuns: 100, seed: 1 })) {
    const { rslora, dora, bias, freezeA, init, dropout } = planLora(model, config).config; // the paper's alone
    expect([rslora, dora, bias, freezeA, dropout, ['kaiming', 'gaussian'].includes(init)]).toEqual([false, false, 'none', false, 0, true]); // prettier-ignore
  }
  expect([...kinds].sort()).toEqual(
    expect.arrayContaining(['lora: alpha ', 'lora: dropout ', 'lora: r ', 'planLora: no module matches', 'planLora: r ']), // prettier-ignore
  );
});
