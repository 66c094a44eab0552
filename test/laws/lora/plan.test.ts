import { keep, zeros, type Tensor } from '@bax/core';
import { cpu } from '@bax/cpu';
import {
  adamW, attachFactors, attachLora, countGpt2Lora, Embedding, gpt2Config, hollowGpt2, Linear, LoraModel, matches, paperCounts, planLora, planOf, targetsOf, type Gpt2,
} from '@bax/nn'; // prettier-ignore
import fc from 'fast-check';
import { describe, expect, it, test } from 'vitest';
import { failure } from '../../nn/files/support.ts';
import { tinyGpt2, tokens } from '../../nn/support/gpt2.ts';
import { runs } from '../../support/runs.ts';

const backend = cpu();

describe('P24: the counts of the paper that follow from the configuration, and its errata', () => {
  const of = (n_layer: number, n_embd: number): Gpt2 =>
    hollowGpt2(gpt2Config({ n_layer, n_embd, n_head: n_embd / 64 }));
  const small = (): Gpt2 => of(12, 768);
  const medium = (): Gpt2 => of(24, 1024);
  const large = (): Gpt2 => of(36, 1280);

  it.each(paperCounts.rows.filter(({ method }) => method === 'LoRA'))(
    '$model $what r = $r: $count is Σ r (in + out) of what planLora finds in a model of that size',
    ({ layers, width, what, r, count }) => {
      const targets = what.split(', ').map((name) => (name === 'o' ? 'attn.c_proj' : name));
      const plan = planLora(of(layers, width), { r: r!, targets });
      expect(plan.parameters).toBe(count);
      expect(plan.bytes).toBe(4 * count);
    },
  );

  it('they are, in whole numbers, and what the paper prints of them', () => {
    const found = paperCounts.rows.map(({ count, printed }) => [
      count,
      ...printed.map(({ text, agrees, off }) => `${text} ${agrees}${agrees === 'differs' ? ` ${(100 * off).toFixed(2)} %` : ''}`),
    ]); // prettier-ignore
    expect(found).toEqual([
      [294_912, '0.3M rounded'],
      [786_432, '0.8M rounded'],
      [2_359_296, '4.7M differs 99.21 %'], // r = 8 of Table 10
      [4_718_592, '4.7M rounded'], // r = 16 of the scripts
      [393_216, '0.35M differs -10.99 %'],
      [737_280, '0.77M differs 4.44 %'],
      [4_718_592, '4.7M rounded'],
      [4_718_592, '4.7M rounded'],
      [9_437_184, '9.4M rounded'],
      [9_437_184, '9.4M rounded'],
      [18_874_368, '18.8M truncated', '18M truncated'],
      [18_874_368, '18.8M truncated', '18M truncated'],
      [18_874_368, '18M truncated'],
      [37_748_736, '37.7M rounded'],
      [37_748_736, '37.7M rounded'],
      [301_989_888, '301.9M truncated'],
      [603_979_776, '603.8M differs -0.03 %'],
      [354_823_168, '354.92M differs 0.03 %'], // full fine-tuning
      [774_030_080, '774.03M rounded'],
      [174_604_259_328, '175,255.8M differs 0.37 %'],
      [7_078_080, '7.1M rounded'], // Adapter^H of r = 1, 4, 8, 16, 64
      [21_234_432, '21.2M rounded'],
      [40_109_568, '40.1M rounded'],
      [77_859_840, '77.9M rounded'],
      [304_361_472, '304.4M rounded'],
      [3_244_032, '3.2M rounded'], // PrefixEmbed
      [18_874_368, '20.2M differs 7.02 %'], // PrefixLayer
    ]);
  });

  test("PEFT's default for GPT-2: the fused c_attn as one", () => {
    expect(planLora(small(), { r: 8, targets: ['c_attn'] }).parameters).toBe(294_912);
  });

  test("the models' own", () => {
    expect(small().parameterCount).toBe(124_439_808);
    expect(medium().parameterCount).toBe(354_823_168);
    expect(large().parameterCount).toBe(774_030_080);
    expect(planLora(small(), { targets: ['v'] }).modelParameters).toBe(124_439_808);
    const gpt3 = hollowGpt2(gpt2Config({ n_layer: 96, n_embd: 12288, n_head: 96, n_positions: 2048 }));
    const full = paperCounts.rows.filter(({ method }) => method === 'full').map(({ count }) => count);
    expect(full).toEqual([medium(), large(), gpt3].map((model) => model.parameterCount));
  });

  it('the plan counts what attaching makes', async () => {
    for (const targets of [
      'all-linear' as const,
      ['q'],
      ['lm_head', 'c_proj'],
      ['v', 'c_fc', 'h.0.attn.c_proj'],
    ]) {
      const model = tinyGpt2({ backend: cpu() });
      const plan = planLora(model, { r: 3, targets });
      const factors = (await attachLora(model, plan, { key: new Uint32Array(2) })).parameters();
      expect([...factors.values()].reduce((n, t) => n + t.size, 0)).toBe(plan.parameters);
      expect([...factors.values()].reduce((n, t) => n + t.bytes, 0)).toBe(plan.bytes);
      expect(plan.entries.reduce((n, e) => n + e.r * (e.in + e.out), 0)).toBe(plan.parameters);
      const counted = countGpt2Lora(model.config, { r: 3, targets });
      expect([counted.matrices, counted.parameters, counted.bytes]).toEqual([
        plan.entries.length,
        plan.parameters,
        plan.bytes,
      ]);
      const optimizer = adamW(factors);
      expect([...optimizer.stateTensors().values()].reduce((n, t) => n + t.bytes, 0)).toBe(counted.optimizerBytes); // prettier-ignore
    }
  });
});

describe('P25: a pattern means whole segments at the end of a path, and every pattern must mean something', () => {
  const segment = fc.constantFrom('q', 'freq', 'c_attn', 'attn', 'h', '0', '1', '10', 'x.y');
  const path = fc.array(segment, { minLength: 1, maxLength: 5 }).map((s) => s.join('.'));

  it('by the segments themselves', () => {
    fc.assert(
      fc.property(path, path, (pattern, full) => {
        const [p, f] = [pattern.split('.'), full.split('.')];
        expect(matches(pattern, full)).toBe(
          p.length <= f.length && p.every((s, i) => s === f[f.length - p.length + i]),
        );
      }),
      runs(100),
    );
    expect(matches('q', 'h.0.freq')).toBe(false);
    expect(matches('', 'h.0')).toBe(false);
    expect(matches(/h\.\d+\.attn/, 'h.0.attn')).toBe(true);
    expect(matches(/attn/, 'h.0.attn'), 'a regular expression means the whole path').toBe(false);
    expect(matches(/H\..*|x/giy, 'h.0.attn')).toBe(true);
    expect(matches(/a|b/, 'ab'), 'alternatives, too').toBe(false);
  });

  const model = tinyGpt2({ backend });
  const all = targetsOf(model).map((t) => t.path);
  const patterns = fc.uniqueArray(
    fc.oneof(
      fc.constantFrom('q', 'k', 'v', 'mlp.c_proj', 'attn.c_proj', 'c_fc', 'lm_head', 'h.0.mlp.c_fc'),
      fc.constant(/transformer\.h\.1\.mlp\..*/),
    ),
    { minLength: 1, maxLength: 5 },
  );

  it("is planned for exactly the paths that some pattern means, in the model's order; another pattern never takes one away", () => {
    fc.assert(
      fc.property(patterns, patterns, (some, others) => {
        const planned = (targets: (string | RegExp)[]): string[] =>
          planLora(model, { r: 1, targets }).entries.map((e) => e.path);
        expect(planned(some)).toEqual(all.filter((p) => some.some((pattern) => matches(pattern, p))));
        expect(planned([...some, ...others])).toEqual(expect.arrayContaining(planned(some)));
        expect(planned([...some].reverse())).toEqual(planned(some));
      }),
      runs(100),
    );
  });

  it("'all-linear' is every layer but the head", () => {
    expect(planLora(model, { r: 1 }).entries.map((e) => e.path)).toEqual(
      all.filter((p) => /\.(c_attn|c_proj|c_fc)$/.test(p)),
    );
  });

  it.each([
    [
      ['q_proj'],
      "planLora: no module matches 'q_proj'. Nearest: transformer.h.0.attn.c_attn (slices q, k, v), transformer.h.0.attn.c_proj, transformer.h.0.mlp.c_proj (9 linears in all)",
    ],
    [
      ['q', 'c_fn'],
      "planLora: no module matches 'c_fn'. Nearest: transformer.h.0.mlp.c_fc, transformer.h.0.attn.c_attn (slices q, k, v), transformer.h.0.attn.c_proj (9 linears in all)",
    ],
    [
      ['attn'],
      "planLora: no module matches 'attn'. Nearest: transformer.h.0.attn.c_attn (slices q, k, v), transformer.h.0.mlp.c_fc, transformer.h.0.attn.c_proj (9 linears in all)",
    ],
    [
      ['transformer.h.2.attn.c_attn'],
      "planLora: no module matches 'transformer.h.2.attn.c_attn'. Nearest: transformer.h.0.attn.c_attn (slices q, k, v), transformer.h.0.attn.c_proj, transformer.h.0.mlp.c_fc (9 linears in all)",
    ],
    [['ln_1'], /^planLora: no module matches 'ln_1'\. Nearest: \S.* \(9 linears in all\)$/],
    [[''], /^planLora: no module matches ''\. /],
    [[/c_attn/], /^planLora: no module matches 'c_attn'\. Nearest: transformer\.h\.0\.attn\.c_attn/],
    [
      ['c_attn', 'q'],
      "planLora: transformer.h.0.attn.c_attn is targeted whole and by its slice 'q'; choose one",
    ],
  ])('%j is refused, and the nearest paths are named', async (targets, why) => {
    const message = await failure(() => planLora(model, { r: 1, targets }));
    if (typeof why === 'string') expect(message).toBe(why);
    else expect(message).toMatch(why);
  });

  it('changes nothing, and prints what it will do', () => {
    const before = backend.memory();
    const plan = planLora(model, { r: 2, targets: ['v', 'h.1.mlp.c_fc'] });
    expect(backend.memory()).toEqual(before);
    expect(String(plan)).toBe(
      [
        'transformer.h.0.attn.c_attn.v  W [8, 8]  A [2, 8]  B [8, 2]  32',
        'transformer.h.1.attn.c_attn.v  W [8, 8]  A [2, 8]  B [8, 2]  32',
        'transformer.h.1.mlp.c_fc       W [32, 8]  A [2, 8]  B [32, 2]  80',
        `3 targets, 144 trainable parameters (576 bytes), 7.53 % of the model's ${model.parameterCount}`,
      ].join('\n'),
    );
  });
});

test("an adapter's layers are in the model's order, in whatever order a file or a plan names them", () => {
  const model = tinyGpt2({ backend });
  const { entries, config } = planLora(model, { r: 1, targets: ['v', 'c_fc', 'q'] });
  const plan = planOf(model, config, entries.toReversed().map((target) => ({ target, r: 1, alpha: 1 }))); // prettier-ignore
  const lora = attachFactors(model, plan, (_, __, shape) => keep(zeros(shape, { backend })));
  expect([...lora.layers.keys()]).toEqual(
    [0, 1].flatMap((i) => [`transformer.h.${i}.attn.c_attn`, `transformer.h.${i}.mlp.c_fc`]),
  );
});

test('P25: a layer alone is no model: nothing would take its place, and it would compute the base', async () => {
  for (const layer of [new Linear(zeros([4, 6], { backend })), new Embedding(zeros([4, 6], { backend }))]) {
    const why =
      'the model is a layer itself, and an adapter takes the place of a layer in a model; make it a property of a Module';
    expect(await failure(() => planLora(layer, { r: 1 }))).toBe(`planLora: ${why}`);
    expect(await failure(() => new LoraModel(layer))).toBe(`attachLora: ${why}`);
  }
});

test('P25: an option that there is not is refused, as what was meant by it would be left out', async () => {
  const options =
    'r, alpha, rankPattern, alphaPattern, targets, exclude, layersToTransform, rslora, dora, freezeA, dropout, init, bias, modulesToSave';
  for (const name of ['rank', 'target', 'lora_alpha', 'toString'])
    expect(await failure(() => planLora(tinyGpt2({ backend }), { [name]: 1 }))).toBe(
      `lora: there is no option '${name}'; there are ${options}`,
    );
});

test('P25: an option of another kind is refused', async () => {
  for (const [given, message] of [
    [{ dropout: '0.5' }, 'dropout is "0.5"; it must be a number'],
    [{ alpha: '16' }, 'alpha is "16"; it must be a number'],
    [{ dora: 1 }, 'dora is 1; it must be a boolean'],
    [{ modulesToSave: 'lm_head' }, 'modulesToSave is "lm_head"; it must be a list'],
    [{ exclude: null }, 'exclude is null; it must be a list'],
    [{ rankPattern: null }, 'rankPattern is null; it must be an object'],
    [{ alphaPattern: { q: '4' } }, `alphaPattern: 'q' is "4"; it must be a finite number above 0`],
  ] as [object, string][])
    expect(await failure(() => planLora(tinyGpt2({ backend }), given))).toBe(`lora: ${message}`);
});

test('P19: a row that asks for an adapter of a model without one is refused; rows of none are the base', async () => {
  const model = tinyGpt2({ backend });
  const ids = tokens(backend, [2, 4]);
  expect(await failure(() => model.forward(ids, { adapters: ['poet', null] }))).toBe(
    "gpt2: a row asks for the adapter 'poet', and the model has none",
  );
  expect(await failure(() => model.forward(ids, { adapters: [null] }))).toBe(
    'gpt2: adapters names 1 rows, and ids have 2',
  );
  expect(await model.forward(ids, { adapters: [null, null] }).data()).toEqual(
    await model.forward(ids).data(),
  );
});

test('what attachFactors makes and the model does not take is freed: factors, biases, lengths', async () => {
  const model = tinyGpt2({ backend });
  const { buffers } = backend.memory();
  const plan = planLora(model, { r: 2, targets: ['v', 'c_fc'], bias: 'all' });
  const wide = (): Promise<string> =>
    failure(() => attachFactors(model, plan, (_, __, shape) => zeros(shape, { backend, dtype: 'f64' })));
  expect(await wide()).toContain('c_attn.v is f64 on cpu, and the layer f32 on cpu');
  expect(backend.memory().buffers).toBe(buffers);
});

test("P25: a model that has an adapter gets no second one: its names would be nobody else's", async () => {
  const model = tinyGpt2({ backend });
  const lora = await attachLora(model, planLora(model, { r: 1, targets: ['v'] }), {
    key: new Uint32Array(2),
  });
  for (const targets of ['all-linear' as const, ['c_attn.base'], ['v']])
    expect(await failure(() => planLora(lora.model, { r: 1, targets }))).toBe(
      'planLora: transformer.h.0.attn.c_attn has an adapter already; give the base, or the model that merge() makes',
    );
  const { model: merged } = await lora.merge();
  expect(planLora(merged, { r: 1, targets: ['v'] }).entries).toHaveLength(2);
  expect(planLora(lora.base, { r: 1, targets: ['v'] }).entries).toHaveLength(2);
});

describe('P25: a plan of another model is refused, and makes nothing', () => {
  it('of one with the same paths, and of one with others', async () => {
    const own = cpu();
    const model = tinyGpt2({ backend: own });
    const { buffers } = own.memory();
    const other = planLora(tinyGpt2({ backend, seed: 1 }), { r: 1, targets: ['v'] });
    expect(await failure(() => attachLora(model, other, { key: new Uint32Array(2) }))).toBe(
      'attachLora: the plan was made for another model: its transformer.h.0.attn.c_attn is another layer',
    );
    const longer = planLora(tinyGpt2({ backend, config: { n_layer: 3 } }), {
      r: 1,
      targets: ['h.2.mlp.c_fc'],
    });
    expect(await failure(() => attachLora(model, longer, { key: new Uint32Array(2) }))).toBe(
      'attachLora: the plan was made for another model: its transformer.h.2.mlp.c_fc is another layer',
    );
    expect(own.memory().buffers).toBe(buffers);
  });
  it('and factors of which one cannot be made: those made before are freed', () => {
    const own = cpu();
    const model = tinyGpt2({ backend: own });
    const { buffers } = own.memory();
    let calls = 0;
    const source = (_: unknown, __: unknown, shape: readonly number[]): Tensor => {
      if (++calls === 3) throw new Error('no more memory');
      return keep(zeros(shape, { backend: own }));
    };
    expect(() => attachFactors(model, planLora(model, { r: 1, targets: ['v'] }), source)).toThrow(
      'no more memory',
    );
    expect(own.memory().buffers).toBe(buffers);
  });
});
