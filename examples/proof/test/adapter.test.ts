import { checkLora, invalidLoraConfigs, loraConfigs, verifyMerge } from '@bax/check';
import { attachLora, BaxError, device, key, planLora, saveAdapter, saveGpt2, tensor } from 'bax';
import { openFolder } from 'bax/node';
import fc from 'fast-check';
import { beforeAll, describe, expect, test } from 'vitest';
import { config, learn, newAdapter } from '../src/adapter.ts';
import { logits, newModel } from '../src/model.ts';

let model: ReturnType<typeof newModel>;
beforeAll(async () => void (model = newModel(await device('cpu'))));

/** 0 1 2 … 31 0 1 2 …: a text that can be learned in no time. */
const text = Int32Array.from({ length: 400 }, (_, i) => i % 32);

describe('our adapter', () => {
  test('as it starts: disabled it is the base, merged it is unmerged, no bit of the base changes …', async () => {
    const lora = await newAdapter(model);
    const { dead } = await checkLora(lora, undefined, { plan: planLora(model, config) });
    expect(dead).toHaveLength(4); // B is 0 in all four layers
  });

  test('learns, and what was learned can be merged; then it is saved for `bax-check verify`', async () => {
    const lora = await newAdapter(model);
    const losses = await learn(lora, text, 30);
    expect(losses.at(-1)).toBeLessThan(0.8 * losses[0]!);
    const { dead } = await checkLora(lora, undefined, { runs: 0.5 });
    expect(dead).toEqual([]);
    console.log(String(await verifyMerge(lora)));
    await saveGpt2(model, await openFolder('.bax-out/base', { create: true }));
    await saveAdapter(lora, await openFolder('.bax-out/adapter', { create: true }));
  });
});

describe('any adapter', () => {
  test('that our model takes can be merged, with what our program asks of it', async () => {
    const ids = tensor([[3, 1, 4, 1, 5, 9]], { dtype: 'i32' });
    await fc.assert(
      fc.asyncProperty(loraConfigs(model, { maxRank: 4 }), async (drawn) => {
        const lora = await attachLora(model, planLora(model, drawn), { key: key(3) });
        await verifyMerge(lora, (m) => logits(m, ids));
        lora.detach();
      }),
      { numRuns: 10 },
    );
  });

  test('that it must refuse is refused, in words', () => {
    fc.assert(
      fc.property(invalidLoraConfigs(model), ({ config: drawn, refused }) => {
        let error: unknown;
        try {
          planLora(model, drawn);
        } catch (caught) {
          error = caught;
        }
        expect(error).toBeInstanceOf(BaxError);
        expect((error as Error).message.startsWith(refused)).toBe(true);
      }),
    );
  });
});
