import { assertSameBits } from '@bax/check';
import { add, key, noGrad, normals, sub, type Backend, type BufferRef, type Tensor } from '@bax/core';
import { cpu } from '@bax/cpu';
import {
  adamW, attachLora, loadAdapter, LoraModel, memoryFolder, planLora, readAdapter, saveAdapter, saveGpt2, sgd, train, type Gpt2,
} from '@bax/nn'; // prettier-ignore
import { beforeAll, describe, expect, it, test } from 'vitest';
import { randomAdapter, tinyGpt2, tokens } from '../../nn/support/gpt2.ts';
import { hashes, modelHashes } from '../../nn/support/hash.ts';
import { matrix } from '../../nn/support/host.ts';
import { backendCases } from '../../support/backends.ts';
import { put } from './support.ts';
import { adapterLike, variantNames, variants } from './variants.ts';

/** A few steps of an adapter's training on one batch. */
async function trained(
  lora: LoraModel<Gpt2>,
  backend: Backend,
  steps = 3,
  dropout?: boolean,
): Promise<number[]> {
  const { losses } = await train({
    batches: (step) => ({
      ids: tokens(backend, [2, 6], 11, step),
      targets: tokens(backend, [2, 6], 11, step + 100),
      validTokens: 12,
    }),
    loss: ({ ids, targets }, { key: k }) => lora.model.loss(ids, targets, dropout ? { key: k } : {}),
    steps,
    optimizer: adamW(lora.parameters(), { lr: 1e-2 }),
  });
  return losses;
}

describe.each(backendCases)('on $name', (device) => {
  let backend: Backend;
  beforeAll(async () => void (backend = await device.make()));

  const choices: ('all-linear' | string[])[] = [['q', 'v'], 'all-linear', ['lm_head', 'c_fc']];
  it.each(choices.map((targets) => ({ targets })))(
    'P5, P7, P52: nothing that is done with an adapter on $targets changes a bit of the base',
    async ({ targets }) => {
      const model = tinyGpt2({ backend });
      const ids = tokens(backend, [2, 6]);
      const logits = await noGrad(() => model.forward(ids)).data();
      const bits = await modelHashes(model);
      const modules = [...model.namedModules()]; // held: to ask for them again would name them again
      const expectSame = async (after: string): Promise<void> => {
        for (const [path, m] of modules) expect(m.path, after).toBe(path);
        expect(await modelHashes(model), after).toEqual(bits);
        assertSameBits(await noGrad(() => model.forward(ids)).data(), logits, after);
      };
      const lora = await attachLora(model, planLora(model, { r: 2, alpha: 6, targets, dropout: 0.2 }), {
        key: key(1),
      });
      await expectSame('attach');
      const before = await hashes(lora.parameters());
      await trained(lora, backend, 4, true);
      await expectSame('training');
      const after = await hashes(lora.parameters());
      for (const name of Object.keys(before))
        expect(after[name], `${name} was trained`).not.toBe(before[name]);

      const { model: merged } = await lora.merge({ untie: true });
      await expectSame('merge');
      expect(await hashes(lora.parameters()), 'merge leaves the adapter').toEqual(after);
      await noGrad(() => merged.forward(ids)).data();
      const adaptedLogits = await noGrad(() => lora.model.forward(ids)).data();
      expect(adaptedLogits).not.toEqual(logits);

      lora.disable();
      assertSameBits(
        await noGrad(() => lora.model.forward(ids)).data(),
        logits,
        'disabled: the base, bit for bit',
      );
      lora.enable();
      lora.scale(0);
      assertSameBits(await noGrad(() => lora.model.forward(ids)).data(), logits, 'strength 0');
      lora.scale(1);
      assertSameBits(
        await noGrad(() => lora.model.forward(ids)).data(),
        adaptedLogits,
        'enabled again: as before, bit for bit',
      );
      await expectSame('disable and enable');

      const folder = memoryFolder();
      await saveAdapter(lora, folder);
      await loadAdapter(model, folder);
      await saveGpt2(merged, memoryFolder());
      await expectSame('save and load');

      expect(lora.detach()).toBe(model);
      await expectSame('detach');
      await noGrad(() => merged.forward(ids)).data(); // lives on without the adapter
      expect(() => lora.model.forward(ids)).toThrow('this tensor was freed when its adapter was detached');
    },
  );

  // where a test costs more, fewer kinds
  const kinds = variantNames.filter((_, i) => i % Math.min(5, Math.ceil(1 / device.share)) === 0);
  it.each(kinds)('P5, P7, P52: %s: the base keeps its bits through training, merging, saving, swapping, mixing', async (variant) => {
    const model = tinyGpt2({ backend });
    const ids = tokens(backend, [2, 6]);
    const bits = await modelHashes(model);
    const expectSame = async (after: string): Promise<void> => expect(await modelHashes(model), after).toEqual(bits);
    const lora = new LoraModel(model);
    const adapter = await adapterLike(model, variant);
    lora.add('a', adapter);
    lora.add('b', await adapterLike(model, 'slices of a layer', 2));
    lora.activate('a');
    await expectSame('adding');
    const [before, frozen] = [await hashes(lora.parameters()), await hashes(adapter.tensors())];
    await trained(lora, backend, 2, true);
    await expectSame('training');
    const trainedOnes = await hashes(adapter.tensors());
    for (const name of Object.keys(trainedOnes))
      expect(trainedOnes[name] !== frozen[name], `${name} was trained`).toBe(name in before); // P29: a frozen A keeps its bits
    const { model: merged } = await lora.merge({ untie: true });
    await noGrad(() => merged.forward(ids)).data();
    await expectSame('merging');
    const folder = memoryFolder();
    await saveAdapter(lora, folder, { adapter: 'a' });
    await expectSame('saving');
    const { adapter: read } = await readAdapter(model, folder);
    lora.swap('a', read);
    await expectSame('loading and swapping');
    expect(await hashes(adapter.tensors()), 'merging, saving, swapping leave the adapter').toEqual(trainedOnes);
    lora.activate('b');
    const mixes = adapter.full.size === 0 && !adapter.config.dora;
    await noGrad(() => lora.model.forward(ids, { adapters: [mixes ? 'a' : null, 'b'] })).data();
    await expectSame('a mixed batch');
    expect(await hashes(read.tensors())).toEqual(await hashes((await readAdapter(model, folder)).adapter.tensors()));
    lora.detach();
    await expectSame('detaching');
    expect([...model.namedParameters().values()].some((t) => t.requiresGrad || t.grad)).toBe(false);
  }); // prettier-ignore

  it('P5: many adapters on one base, trained in turn, are as each alone', async () => {
    const [together, alone] = [tinyGpt2({ backend }), tinyGpt2({ backend })];
    const [a, b] = await Promise.all(
      [1, 2].map((seed) =>
        attachLora(together, planLora(together, { r: 2, targets: ['v'] }), { key: key(seed) }),
      ),
    );
    const c = await attachLora(alone, planLora(alone, { r: 2, targets: ['v'] }), { key: key(1) });
    await trained(a!, backend, 1);
    await trained(b!, backend, 2);
    await trained(c, backend, 1);
    expect(await hashes(a!.parameters())).toEqual(await hashes(c.parameters()));
  });
});

describe('P5, the negative control: (W + Δ) − Δ does not bring W back', () => {
  test('0.1 + 1 − 1 in f32', async () => {
    const on = { backend: cpu() };
    const [W, delta] = [put(matrix(1, 1, [0.1]), on), put(matrix(1, 1, [1]), on)];
    expect((await sub(add(W, delta), delta).data())[0]).toBe(Math.fround(0.100000024));
  });
  test('in about 11 % of the entries at σ_Δ/σ_W = 0.1; never in whole numbers, which so prove nothing', async () => {
    const on = { backend: cpu() };
    const restored = async (W: number[], delta: number[]): Promise<number> => {
      const [w, d] = [put(matrix(1, W.length, W), on), put(matrix(1, W.length, delta), on)];
      const back = await sub(add(w, d), d).data();
      const original = await w.data();
      return Array.from(back).filter((x, i) => x === original[i]).length;
    };
    const normal = (n: number, sigma: number, seed: number): number[] =>
      Array.from(normals(key(seed), n), (z) => sigma * z);
    const n = 4096;
    const failures = n - (await restored(normal(n, 0.02, 1), normal(n, 0.002, 2)));
    expect(failures / n).toBeGreaterThan(0.05);
    expect(failures / n).toBeLessThan(0.2);
    const whole = Array.from({ length: n }, (_, i) => (i * 7) % 17);
    expect(await restored(whole, whole.toReversed())).toBe(n);
  });
});

describe('P7: frozen means no gradient and no state', () => {
  /** A cpu that records each allocation by its length. */
  function counting(): { backend: Backend; lengths: number[] } {
    const inner = cpu();
    const lengths: number[] = [];
    const backend: Backend = {
      ...inner,
      alloc: (length, type): BufferRef => (lengths.push(length), inner.alloc(length, type)),
    };
    return { backend, lengths };
  }
  // Sizes that nothing else has: a buffer of a weight's size is a gradient, a state or a copy of it.
  const config = { n_embd: 22, n_head: 2, n_inner: 37, vocab_size: 11, n_positions: 8 };
  const weights = {
    'attn.c_attn': 22 * 66,
    'attn.c_proj': 22 * 22,
    'mlp.c_fc': 22 * 37,
    'mlp.c_proj': 37 * 22,
    wte: 11 * 22,
  };

  const choices: ('all-linear' | string[])[] = [['q', 'v'], ['c_attn'], 'all-linear'];
  it.each(choices.map((targets) => ({ targets })))(
    'no buffer of the size of a weight is allocated in steps of an adapter on $targets',
    async ({ targets }) => {
      const { backend, lengths } = counting();
      const model = tinyGpt2({ backend, config });
      const lora = await attachLora(model, planLora(model, { r: 3, targets }), { key: key(2) });
      lengths.length = 0;
      await trained(lora, backend, 2);
      for (const [name, size] of Object.entries(weights)) expect(lengths, name).not.toContain(size);
      expect(lengths).toContain(3 * 22); // A's gradient and state: the count sees what there is
    },
  );
  it('and the control: fine-tuning all of it does allocate them', async () => {
    const { backend, lengths } = counting();
    const model = tinyGpt2({ backend, config });
    lengths.length = 0;
    await train({
      batches: () => ({ ids: tokens(backend, [1, 5]), targets: tokens(backend, [1, 5]), validTokens: 5 }),
      loss: ({ ids, targets }) => model.loss(ids, targets),
      steps: 1,
      optimizer: sgd(model.namedParameters()),
    });
    for (const [name, size] of Object.entries(weights)) expect(lengths, name).toContain(size);
  });

  it("the optimiser's state is 2 Σ r (in + out) numbers, of A and B alone", async () => {
    const backend = cpu();
    const model = tinyGpt2({ backend, config });
    const before = backend.memory().live;
    const lora = await attachLora(model, planLora(model, { r: 3, targets: ['q', 'v', 'mlp.c_fc'] }), {
      key: key(2),
    });
    const count = 2 * 3 * (2 * (22 + 22) + (22 + 37));
    expect(lora.adapter().parameterCount).toBe(count);
    expect(backend.memory().live - before).toBe(4 * count);
    const state = adamW(lora.parameters()).stateTensors();
    expect(backend.memory().live - before).toBe(3 * 4 * count);
    expect([...state.values()].reduce((n, t) => n + t.size, 0)).toBe(2 * count);
    for (const name of state.keys())
      expect(name).toMatch(
        /^transformer\.h\.[01]\.(attn\.c_attn\.[qv]|mlp\.c_fc\.lora)\.[AB]\.exp_avg(_sq)?$/,
      );
    expect([...model.namedParameters().values()].some((p: Tensor) => p.requiresGrad || p.grad)).toBe(false);
  });

  it.each(variantNames)('%s: the optimiser has two numbers for each that is trained, and none of the base', async (variant) => {
    const backend = cpu();
    const model = tinyGpt2({ backend, config });
    const lora = await attachLora(model, planLora(model, variants[variant]), { key: key(2) });
    const { parameters } = planLora(model, variants[variant]);
    const own = [...lora.parameters().values()];
    expect(own.reduce((n, t) => n + t.size, 0)).toBe(parameters);
    const base = new Set(model.parameters());
    expect(own.filter((t) => base.has(t))).toEqual([]);
    const state = adamW(lora.parameters()).stateTensors();
    expect([...state.values()].reduce((n, t) => n + t.size, 0)).toBe(2 * parameters);
  }); // prettier-ignore

  it('attaching allocates the factors and nothing else; detaching gives all back', async () => {
    const backend = cpu();
    const model = tinyGpt2({ backend, config });
    const { live } = backend.memory();
    const lora = await attachLora(model, planLora(model, { r: 2 }), { key: key(2) });
    expect(backend.memory().live - live).toBe(lora.adapter().bytes);
    lora.detach();
    expect(backend.memory().live).toBe(live);
  });
});

test('P52: merging shares with the base every tensor that it does not change, and frees what it made on the way', async () => {
  const backend = cpu();
  const model = tinyGpt2({ backend });
  const lora = randomAdapter(model, { r: 2, targets: ['q', 'mlp.c_proj'] });
  const { live } = backend.memory();
  const { model: merged } = await lora.merge();
  expect(backend.memory().live - live).toBe(4 * 2 * (8 * 24 + 32 * 8));
  const [ours, theirs] = [model.namedParameters(), merged.namedParameters()];
  for (const [path, t] of theirs)
    expect(t === ours.get(path), path).toBe(!/c_attn\.weight|mlp\.c_proj\.weight/.test(path));
});

test("P52: a merged model's dispose gives back what merging made, and nothing of the base or the adapter", async () => {
  const backend = cpu();
  const model = tinyGpt2({ backend });
  const lora = randomAdapter(model, { r: 2, targets: ['lm_head', 'q', 'mlp.c_proj'] });
  const ids = tokens(backend, [1, 4]);
  const z = await noGrad(() => lora.model.forward(ids)).data();
  const bits = await modelHashes(lora.model);
  const { buffers } = backend.memory();
  const merged = await lora.merge({ untie: true });
  expect(backend.memory().buffers).toBe(buffers + 5);
  merged.dispose();
  expect(backend.memory().buffers).toBe(buffers);
  expect(await modelHashes(lora.model)).toEqual(bits);
  assertSameBits(await noGrad(() => lora.model.forward(ids)).data(), z, 'logits');
});

test('P52: a merge that fails leaves no memory and no change behind', async () => {
  const backend = cpu();
  const model = tinyGpt2({ backend });
  const lora = randomAdapter(model, { r: 2, targets: ['q', 'v', 'c_fc'] });
  const B = lora.parameters().get('transformer.h.1.attn.c_attn.v.B')!;
  backend.write(B.view.buffer, Float32Array.of(Infinity), 5);
  const [bits, { live }] = [await modelHashes(lora.model), backend.memory()];
  await expect(lora.merge()).rejects.toThrow(
    /^merge: transformer\.h\.1\.attn\.c_attn: component \[18, \d\] is not finite; the adapter or the base is broken\. Nothing was merged$/,
  );
  expect(await modelHashes(lora.model)).toEqual(bits);
  expect(backend.memory().live).toBe(live);
});
