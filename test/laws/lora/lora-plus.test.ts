/** LoRA+: B learns λ times as fast as A. */
import { assertSameBits } from '@bax/check';
import { type Backend, key, mul, sum, valueAndGrad } from '@bax/core';
import { cpu } from '@bax/cpu';
import {
  adamW,
  attachLora,
  loraPlus,
  type LoraConfig,
  LoraModel,
  createAdapter,
  type Optimizer,
  planLora,
  sgd,
} from '@bax/nn';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { tinyGpt2 } from '../../nn/support/gpt2.ts';
import { plus, rowsOf, scaled, times, turned } from '../../nn/support/host.ts';
import { onEveryBackend } from '../../support/backends.ts';
import {
  adapted,
  inputOf,
  instances,
  put,
  tryLaw,
  weightOf,
  type Form,
  type Instance,
  type One,
} from './support.ts';

type Make = (lora: LoraModel<One>) => Optimizer;

/** Values of the parameters after some steps of a linear loss, by name. */
async function after(
  instance: Instance,
  on: { backend: Backend },
  make: Make,
  steps: number,
  config: LoraConfig = {},
): Promise<Map<string, ArrayLike<number>>> {
  const lora = adapted(instance, on, undefined, config);
  const [x, G] = [inputOf(instance, on), put(instance.G, on)];
  const optimizer = make(lora);
  for (let step = 0; step < steps; step++)
    optimizer.step(valueAndGrad(() => sum(mul(lora.model.forward(x), G)), [...optimizer.params]).grads);
  return new Map(
    await Promise.all([...lora.parameters()].map(async ([name, t]) => [name, await t.data()] as const)),
  );
}
const forms = fc.constantFrom<(Form | undefined)[]>(undefined, undefined, 'embedding');
const drawn = forms.chain((form) => instances('int', { narrow: true, size: 8, ...(form ? { form } : {}) }));
const ratios = fc.constantFrom(1 / 2, 2, 4, 16);

onEveryBackend((device) => {
  it("P46: after a step of SGD B has moved λ times as far as in plain LoRA, and A as far; an embedding's A and B by a ratio of their own", async () => {
    await tryLaw(
      device,
      50,
      fc.tuple(drawn, ratios, ratios),
      async (on, [instance, ratio, embeddingRatio]) => {
        const lr = 1 / 8;
        const plain = await after(instance, on, (lora) => sgd(lora.parameters(), { lr }), 1);
        const fast = await after(
          instance,
          on,
          (lora) => sgd(loraPlus(lora, { ratio, embeddingRatio }), { lr }),
          1,
        );
        const table = instance.form === 'embedding';
        for (const { name, A, B } of instance.parts)
          for (const [factor, from, times] of [
            ['A', A, table ? embeddingRatio : 1],
            ['B', B, table ? embeddingRatio : ratio],
          ] as const) {
            const path = `proj.${name ?? 'lora'}.${factor}`;
            const moved = (to: ArrayLike<number>): Float64Array => from.data.map((v, i) => to[i]! - v);
            assertSameBits(
              moved(fast.get(path)!),
              moved(plain.get(path)!).map((v) => times * v),
              path,
            );
          }
      },
    );
  });

  it('P13: from B = 0 the first step of LoRA+ is η_B of the full one, projected: ΔW = −λη s² D AᵀA', async () => {
    const arbitrary = fc.tuple(
      instances('int', { zeroB: true, narrow: true, size: 8, slices: false }),
      ratios,
    );
    await tryLaw(device, 30, arbitrary, async (on, [instance, ratio]) => {
      const lora = adapted(instance, on);
      const [x, G] = [put(instance.x, on), put(instance.G, on)];
      const optimizer = sgd(loraPlus(lora, { ratio }), { lr: 1 / 8 });
      optimizer.step(valueAndGrad(() => sum(mul(lora.model.forward(x), G)), [...optimizer.params]).grads);
      const { model } = await lora.merge();
      const {
        s,
        W,
        parts: [part],
      } = instance;
      const D = rowsOf(times(turned(instance.G), instance.x), 0, W.rows);
      const step = scaled(times(times(D, turned(part!.A)), part!.A), (-ratio / 8) * s * s);
      assertSameBits(await weightOf(model), plus(W, step).data, "W' after a step");
    });
  });

  it('P29: with a ratio of 1 it is plain LoRA, in bits, after three steps of AdamW or SGD; with DoRA, too', async () => {
    const makers = fc.constantFrom(
      (p: Parameters<typeof adamW>[0]) => adamW(p, { lr: 1e-2, weightDecay: 0.1 }),
      (p: Parameters<typeof sgd>[0]) => sgd(p, { lr: 1e-2, weightDecay: 0.1, momentum: 0.5 }),
    );
    const arbitrary = fc.tuple(instances('real', { size: 8 }), makers, fc.boolean());
    await tryLaw(device, 20, arbitrary, async (on, [instance, make, dora]) => {
      const config = { dora };
      const [plain, plus1] = [
        await after(instance, on, (lora) => make(lora.parameters()), 3, config),
        await after(instance, on, (lora) => make(loraPlus(lora, { ratio: 1 })), 3, config),
      ];
      expect([...plus1.keys()]).toEqual([...plain.keys()]);
      for (const [name, values] of plain) assertSameBits(plus1.get(name)!, values, name);
    });
  });
});

describe('P46: who learns how fast: every parameter is in one group, and in the one that it belongs to', () => {
  const model = tinyGpt2({ backend: cpu(), config: { tie_word_embeddings: false } });
  /** ratio and decay by the last names of the parameters' paths. */
  const rates = (
    lora: Parameters<typeof loraPlus>[0],
  ): [name: string, rate: number, decay: number | undefined][] =>
    loraPlus(lora, { ratio: 8, weightDecay: 0.5, embeddingRatio: 3 }).flatMap(
      ({ params, lrRatio = 1, weightDecay }) =>
        [...(params as ReadonlyMap<string, unknown>).keys()].map(
          (name): [string, number, number | undefined] => [name, lrRatio, weightDecay],
        ),
    );
  const config: LoraConfig = {
    r: 2,
    targets: ['wte', 'v', 'c_fc'],
    dora: true,
    bias: 'all',
    modulesToSave: ['lm_head', 'ln_f'],
  };

  it('of one adapter, and of two that are active together', async () => {
    const lora = await attachLora(model, planLora(model, config), { key: key(1) });
    const expected = (name: string): [number, number] => {
      const [last] = name.split('.').slice(-1);
      if (last === 'bias' || name === 'transformer.ln_f.weight') return [8, 0];
      if (last === 'magnitude') return [8, 0.5];
      if (name.startsWith('transformer.wte.')) return [3, 0.5];
      return [last === 'B' ? 8 : 1, 0.5];
    };
    const found = rates(lora);
    expect(found.map(([name]) => name).sort()).toEqual([...lora.parameters().keys()].sort());
    for (const [name, ...rest] of found) expect(rest, name).toEqual(expected(name));

    const several = new LoraModel(model);
    const plain: LoraConfig = { r: 2, targets: ['wte', 'v'] };
    for (const name of ['a', 'b'])
      several.add(name, await createAdapter(planLora(model, plain), { key: key(2) }));
    several.activate(['a', 'b']);
    const both = rates(several);
    expect(both.map(([name]) => name).sort()).toEqual([...several.parameters().keys()].sort());
    for (const [name, ...rest] of both) expect(rest, name).toEqual(expected(name.replace(/^[ab]\//, '')));
  });
});

it('a ratio that is no positive number is refused: B would never learn', async () => {
  const model = tinyGpt2({ backend: cpu() });
  const lora = await attachLora(model, planLora(model, { r: 1, targets: ['q'] }), { key: key(1) });
  for (const ratio of [0, -1, NaN, Infinity])
    expect(() => loraPlus(lora, { ratio })).toThrow(
      `loraPlus: ratio is ${ratio}; it must be a finite number above 0`,
    );
  expect(() => loraPlus(lora, { ratio: 1, embeddingRatio: -2 })).toThrow('loraPlus: embeddingRatio is -2');
});
