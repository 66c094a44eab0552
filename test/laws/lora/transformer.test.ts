import { assertSameBits, gradcheck } from '@bax/check';
import {
  copy,
  keep,
  key,
  noGrad,
  slice,
  tensor,
  type Backend,
  type DType,
  type HostArrays,
  type Tensor,
} from '@bax/core';
import { cpu } from '@bax/cpu';
import { castModule, transform, type Gpt2, type Gpt2Config } from '@bax/nn';
import fc from 'fast-check';
import { beforeAll, describe, expect, it, test } from 'vitest';
import { randomAdapter, tinyGpt2, tokenIds } from '../../nn/support/gpt2.ts';
import { distance, largest } from '../../nn/support/numbers.ts';
import { backendCases } from '../../support/backends.ts';
import { runs } from '../../support/runs.ts';

const host = cpu();
type Targets = 'all-linear' | string[];
const targets = fc.constantFrom<Targets>(
  ['q', 'v'],
  'all-linear',
  ['c_attn'],
  ['k', 'mlp.c_proj', 'lm_head'],
);
const configs: fc.Arbitrary<Partial<Gpt2Config>> = fc.record({
  n_layer: fc.integer({ min: 1, max: 3 }),
  n_head: fc.constantFrom(1, 2, 4),
  n_embd: fc.constantFrom(8, 16),
  tie_word_embeddings: fc.boolean(),
  activation_function: fc.constantFrom('gelu_new', 'gelu', 'relu'),
});
const idsOn = (backend: Backend, batch: number, time: number, seed: number): Tensor =>
  tensor(tokenIds(batch * time, 11, seed), { shape: [batch, time], dtype: 'i32', backend });
const logits = async (
  model: Gpt2,
  ids: Tensor,
  context: Parameters<Gpt2['forward']>[1] = {},
): Promise<HostArrays[DType]> => noGrad(() => model.forward(ids, context)).data();

test('P34: the merged model is the unmerged one in f64, to 2^-40 of the largest logit: the algebra of all of it', async () => {
  let moved = 0;
  const law = async (
    config: Partial<Gpt2Config>,
    chosen: Targets,
    size: number,
    seed: number,
  ): Promise<void> => {
    const model = tinyGpt2({ backend: host, dtype: 'f64', config, seed });
    const lora = randomAdapter(model, { r: 2, alpha: 3, targets: chosen }, { seed, size });
    const { model: merged, report } = await lora.merge({ untie: true });
    const ids = idsOn(host, 2, 6, seed);
    const [base, unmerged, z] = [
      await logits(model, ids),
      await logits(lora.model, ids),
      await logits(merged, ids),
    ];
    expect(distance(z, unmerged)).toBeLessThanOrEqual(2 ** -40 * largest(unmerged));
    expect(Math.max(...report.layers.map((l) => l.ratio))).toBeLessThanOrEqual(1);
    if (distance(unmerged, base) > 1e-4) moved++;
  };
  await fc.assert(
    fc.asyncProperty(configs, targets, fc.constantFrom(0.05, 0.2, 0.5), fc.nat(99), law),
    runs(25),
  );
  expect(moved, 'the adapters do something').toBeGreaterThan(20);
});

describe.each(backendCases)('on $name', (device) => {
  let backend: Backend;
  beforeAll(async () => void (backend = await device.make()));

  it('P34: in f32 merging costs no more than f32 already costs: err_m ≤ 4 err_u + 8 (L + 1) u max|z|', async () => {
    const u = backend.info.roundoff;
    const law = async (
      config: Partial<Gpt2Config>,
      chosen: Targets,
      size: number,
      seed: number,
    ): Promise<void> => {
      const build = (on: Backend) =>
        randomAdapter(
          tinyGpt2({ backend: on, config, seed }),
          { r: 2, alpha: 3, targets: chosen },
          { seed, size },
        );
      const lora = build(backend);
      const { model: merged } = await lora.merge({ untie: true });
      const exact = await logits(castModule(build(host).model, 'f64'), idsOn(host, 2, 6, seed));
      const ids = idsOn(backend, 2, 6, seed);
      const [unmerged, z] = [await logits(lora.model, ids), await logits(merged, ids)];
      const floor = distance(unmerged, exact);
      expect(floor, 'f32 itself').toBeLessThanOrEqual(1e-4 * largest(exact));
      // each layer's weights are rounded once more, which err_u knows nothing of where sums are f64, as on the cpu
      const rounded = 8 * (lora.model.config.n_layer + 1) * u * largest(exact);
      expect(distance(z, exact)).toBeLessThanOrEqual(4 * floor + rounded);
    };
    await fc.assert(
      fc.asyncProperty(configs, targets, fc.constantFrom(0.05, 0.2, 0.5), fc.nat(99), law),
      runs(15 * device.share),
    );
  });

  it('P35: a changed token changes no bit of the logits before it, and those at it', async () => {
    const law = async (chosen: Targets, seed: number, at: number): Promise<void> => {
      const { model } = randomAdapter(tinyGpt2({ backend, seed }), { r: 2, targets: chosen }, { seed });
      const values = tokenIds(8, 11, seed);
      const other = values.with(at, (values[at]! + 1 + (seed % 9)) % 11);
      const [z, z2] = [await logits(model, idsOf(values)), await logits(model, idsOf(other))];
      const rows = (x: ArrayLike<number>, from: number, to: number): number[] =>
        Array.from({ length: (to - from) * 11 }, (_, i) => x[from * 11 + i]!);
      assertSameBits(rows(z2, 0, at), rows(z, 0, at), 'logits before');
      expect(rows(z2, at, at + 1), 'its own').not.toEqual(rows(z, at, at + 1));
      if (at < 7) expect(rows(z2, at + 1, 8), 'those after it').not.toEqual(rows(z, at + 1, 8));
    };
    const idsOf = (values: Int32Array): Tensor =>
      tensor(values, { shape: [1, values.length], dtype: 'i32', backend });
    await fc.assert(fc.asyncProperty(targets, fc.nat(99), fc.nat(7), law), runs(20 * device.share));
  });
});

/** Logits of the positions of `ids`, token by token or in any pieces, with a cache. */
async function inPieces(
  model: Gpt2,
  values: Int32Array,
  batch: number,
  cuts: readonly number[],
  mask?: Tensor,
): Promise<number[][]> {
  const time = values.length / batch;
  const cache = model.newCache(batch, time);
  const rows: number[][] = [];
  for (const [i, from] of [0, ...cuts].entries()) {
    const to = cuts[i] ?? time;
    const piece = Int32Array.from(
      { length: batch * (to - from) },
      (_, j) => values[Math.floor(j / (to - from)) * time + from + (j % (to - from))]!,
    );
    const ids = tensor(piece, { shape: [batch, to - from], dtype: 'i32', backend: host });
    const seen = mask && copy(slice(mask, 3, 0, to));
    const z = await noGrad(() => model.forward(ids, { cache, ...(seen ? { mask: seen } : {}) })).data();
    expect(cache.length).toBe(to);
    for (let j = 0; j < batch * (to - from); j++) rows.push(Array.from(z.slice(j * 11, (j + 1) * 11)));
  }
  cache.dispose();
  return rows;
}

describe('P35: the cache, in f64', () => {
  const near = (a: ArrayLike<number>, b: ArrayLike<number>): void =>
    expect(distance(a, b)).toBeLessThanOrEqual(2 ** -40 * largest(b));

  test('cut at any places, it gives the logits of the whole; and a prefix gives those of the prefix', async () => {
    const law = async (
      config: Partial<Gpt2Config>,
      chosen: Targets,
      seed: number,
      cuts: number[],
    ): Promise<void> => {
      const { model } = randomAdapter(
        tinyGpt2({ backend: host, dtype: 'f64', config, seed }),
        { r: 2, targets: chosen },
        { seed },
      );
      const values = tokenIds(8, 11, seed);
      const ids = tensor(values, { shape: [1, 8], dtype: 'i32', backend: host });
      const whole = await logits(model, ids);
      near(
        (
          await inPieces(
            model,
            values,
            1,
            cuts.toSorted((a, b) => a - b),
          )
        ).flat(),
        whole,
      );
      const prefix = await logits(
        model,
        tensor(values.slice(0, 3), { shape: [1, 3], dtype: 'i32', backend: host }),
      );
      near(prefix, whole.slice(0, 33));
      near(await noGrad(() => model.lastLogits(ids)).data(), whole.slice(77));
    };
    const cuts = fc.uniqueArray(fc.integer({ min: 1, max: 7 }), { maxLength: 7 });
    await fc.assert(fc.asyncProperty(configs, targets, fc.nat(99), cuts, law), runs(25));
  });
  test('every single split point, of a batch of two', async () => {
    const { model } = randomAdapter(tinyGpt2({ backend: host, dtype: 'f64' }), { r: 2, targets: ['q', 'v'] });
    const values = tokenIds(16, 11, 3);
    const whole = await logits(model, tensor(values, { shape: [2, 8], dtype: 'i32', backend: host }));
    for (let cut = 1; cut < 8; cut++) {
      const rows = await inPieces(model, values, 2, [cut]);
      const first = rows.slice(0, 2 * cut);
      const ordered = [
        ...first.slice(0, cut),
        ...rows.slice(2 * cut, 8 + cut),
        ...first.slice(cut),
        ...rows.slice(8 + cut),
      ];
      near(ordered.flat(), whole);
    }
  });

  test('left padding under a mask: what stands there changes nothing, and the rest is as without it, at the same positions', async () => {
    const law = async (chosen: Targets, seed: number, pad: number, cut: number): Promise<void> => {
      const base = tinyGpt2({ backend: host, dtype: 'f64', seed });
      const { model } = randomAdapter(base, { r: 2, targets: chosen }, { seed });
      const values = tokenIds(8, 11, seed);
      const mask = tensor(
        Int32Array.from({ length: 8 }, (_, i) => (i < pad ? 0 : 1)),
        { shape: [1, 1, 1, 8], dtype: 'i32', backend: host },
      );
      const other = values.map((v, i) => (i < pad ? (v + 1 + seed) % 11 : v));
      const [z, z2] = await Promise.all(
        [values, other].map((v) =>
          logits(model, tensor(v, { shape: [1, 8], dtype: 'i32', backend: host }), { mask }),
        ),
      );
      assertSameBits(z2!.slice(11 * pad), z!.slice(11 * pad), 'logits of what is not padding');
      // without the padding, by a model whose first position is the padded one's
      const shifted = transform(model, {
        tensor: (t, path) => (path === 'transformer.wpe.weight' ? keep(copy(slice(t, 0, pad))) : undefined),
      });
      const alone = await logits(
        shifted,
        tensor(values.slice(pad), { shape: [1, 8 - pad], dtype: 'i32', backend: host }),
      );
      near(z!.slice(11 * pad), alone);
      near((await inPieces(model, values, 1, [cut], mask)).flat().slice(11 * pad), alone);
    };
    await fc.assert(
      fc.asyncProperty(
        targets,
        fc.nat(99),
        fc.integer({ min: 1, max: 6 }),
        fc.integer({ min: 1, max: 7 }),
        law,
      ),
      runs(25),
    );
  });

  test('a cache that is too small, and more tokens than positions, are refused', async () => {
    const { failure } = await import('../../nn/files/support.ts');
    const model = tinyGpt2({ backend: host });
    const [cache, ids] = [model.newCache(1, 4), idsOn(host, 1, 5, 1)];
    expect(await failure(() => model.forward(ids, { cache }))).toBe(
      'cache: 5 tokens do not fit into a cache of 4\n  at transformer.h.0.attn',
    );
    expect(await failure(() => model.forward(idsOn(host, 1, 9, 1)))).toBe(
      "gpt2: 9 tokens exceed the model's context of 8",
    );
    const full = model.newCache();
    expect(full.capacity).toBe(8);
    noGrad(() => model.forward(ids, { cache: full }));
    expect(await failure(() => model.forward(idsOn(host, 1, 4, 1), { cache: full }))).toBe(
      "gpt2: 9 tokens exceed the model's context of 8",
    );
    expect(await failure(() => model.forward(tensor([[1.5]], { backend: host })))).toBe(
      'gpt2: ids are f32 of rank 2; they must be i32 [batch, time]',
    );
    expect(await failure(() => model.forward(tensor([1], { dtype: 'i32', backend: host })))).toBe(
      'gpt2: ids are i32 of rank 1; they must be i32 [batch, time]',
    );
    expect(await failure(() => model.forward(tensor([[]], { dtype: 'i32', backend: host })))).toBe(
      'gpt2: ids are empty; give at least one token',
    );
  });
});

test('P35: a cache that would swallow gradients is refused', async () => {
  const { failure } = await import('../../nn/files/support.ts');
  const lora = randomAdapter(tinyGpt2({ backend: host }), { r: 1, targets: ['k'] });
  const [ids, cache] = [idsOn(host, 1, 4, 1), lora.model.newCache()];
  for (const p of lora.parameters().values()) p.requiresGrad = true;
  expect(await failure(() => lora.model.loss(ids, ids, { cache }))).toBe(
    'cache: keys and values would lose their gradients in it; run the model inside noGrad()\n  at transformer.h.0.attn',
  );
  expect(cache.length).toBe(0);
  noGrad(() => lora.model.forward(ids, { cache }));
  expect(cache.length).toBe(4);
});

describe('P17: the slices of GPT-2', () => {
  test('are the thirds of c_attn, queries, keys and values in this order', () => {
    const { slices } = tinyGpt2({ backend: host }).transformer.h[1]!.attn.c_attn;
    expect(slices).toEqual({
      q: { start: 0, length: 8 },
      k: { start: 8, length: 8 },
      v: { start: 16, length: 8 },
    });
  });
  test('do what their names say: one token alone has nothing to choose from, and a query is not seen by others', async () => {
    const model = tinyGpt2({ backend: host, dtype: 'f64', config: { n_layer: 1 } });
    const [one, two] = [idsOn(host, 1, 1, 1), idsOn(host, 1, 2, 1)];
    const [z1, z2] = [await logits(model, one), await logits(model, two)];
    for (const [name, moves] of [['q', [false, true]], ['k', [false, true]], ['v', [true, true]]] as const) {
      const lora = randomAdapter(model, { r: 2, alpha: 4, targets: [name] });
      expect([distance(await logits(lora.model, one), z1) > 1e-9, distance(await logits(lora.model, two), z2) > 1e-9], name).toEqual(moves);
    } // prettier-ignore
    // keys alone: every key moved by the same c is no change, since the softmax does not feel q · c; queries alone: it is
    for (const [name, feels] of [['k', false], ['q', true]] as const) {
      const bias = model.namedParameters().get('transformer.h.0.attn.c_attn.bias')!;
      const before = await bias.data();
      const { start, length } = model.transformer.h[0]!.attn.c_attn.slices[name]!;
      const moved = before.slice();
      for (let i = start; i < start + length; i++) moved[i]! += 0.5;
      host.write(bias.view.buffer, moved);
      expect(distance(await logits(model, two), z2) > 1e-9, name).toBe(feels);
      host.write(bias.view.buffer, before);
    } // prettier-ignore
  });
});

describe("A's and B's gradients through a whole GPT-2 are its differences, in f64", () => {
  const choices: { targets: Targets; dropout: number }[] = [
    { targets: ['q', 'v'], dropout: 0 },
    { targets: 'all-linear', dropout: 0 },
    { targets: ['c_attn', 'lm_head'], dropout: 0 },
    { targets: ['k', 'mlp.c_fc'], dropout: 0.3 },
  ];
  it.each(choices)(
    'adapter on $targets with dropout $dropout: each factor alone and all together',
    async ({ targets: chosen, dropout }) => {
      const config = dropout > 0 ? { resid_pdrop: 0.2, attn_pdrop: 0.2, embd_pdrop: 0.2 } : {};
      const model = tinyGpt2({ backend: host, dtype: 'f64', config, seed: 2 });
      const lora = randomAdapter(model, { r: 2, alpha: 3, targets: chosen, dropout });
      const [ids, following] = [
        idsOn(host, 2, 5, 1),
        tensor(tokenIds(10, 11, 2).with(3, -100), { shape: [2, 5], dtype: 'i32', backend: host }),
      ];
      const context = dropout > 0 ? { key: key(9) } : {};
      const factors = Object.fromEntries(lora.parameters());
      const { checked, kinks } = await gradcheck(() => lora.model.loss(ids, following, context), factors);
      expect(kinks).toBe(0);
      expect(checked).toBe(3 * (Object.keys(factors).length + 1));
    },
  );
});
