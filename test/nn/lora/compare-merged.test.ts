import { noGrad } from '@bax/core';
import { cpu } from '@bax/cpu';
import { castModule, compareMerged } from '@bax/nn';
import { expect, test } from 'vitest';
import { randomAdapter, tinyGpt2, tokens } from '../support/gpt2.ts';
import { modelHashes } from '../support/hash.ts';
import { distance, largest } from '../support/numbers.ts';

test.each(['f32', 'f64'] as const)(
  'P34: compares merged and unmerged logits in %s, changes nothing and keeps no memory',
  async (dtype) => {
    const backend = cpu();
    const lora = randomAdapter(tinyGpt2({ backend, dtype }), { r: 2, targets: ['q', 'c_fc'] });
    const { model: merged } = await lora.merge();
    const ids = tokens(backend, [2, 6]);
    const [u, m] = [
      await noGrad(() => lora.model.forward(ids)).data(),
      await noGrad(() => merged.forward(ids)).data(),
    ];
    const bits = await modelHashes(lora.model);
    await compareMerged(lora.model, merged, ids, 2);
    const { live } = backend.memory();
    const { difference, bound, rule } = await compareMerged(lora.model, merged, ids, 2);
    expect(backend.memory().live).toBeLessThanOrEqual(live);
    expect(difference).toBe(distance(m, u));
    expect(difference).toBeLessThanOrEqual(bound);
    const exact = await castModule(lora.model, 'f64').forward(ids).data();
    const unit = (dtype === 'f64' ? 2 ** -53 : 2 ** -24) * largest(u);
    const kappa = (bound - 5 * distance(u, exact) - 8 * unit) / 4; // what it does to round each weight once more
    expect(kappa).toBeGreaterThan(unit / 4);
    expect(kappa).toBeLessThan(64 * unit);
    expect(rule).toBe(
      'five times what f32 costs the unmerged model, measured in f64, and what one rounding of each weight does',
    );
    expect(await modelHashes(lora.model)).toEqual(bits);
  },
);

test('P34: a merge that is wrong by 1 in a thousand is out of bounds', async () => {
  const backend = cpu();
  const lora = randomAdapter(tinyGpt2({ backend }), { r: 2, targets: ['q', 'c_fc'] });
  const ids = tokens(backend, [2, 6]);
  lora.scale(1.001);
  const { model: merged } = await lora.merge();
  lora.scale(1);
  const { difference, bound } = await compareMerged(lora.model, merged, ids, 2);
  expect(difference).toBeGreaterThan(bound);
});
