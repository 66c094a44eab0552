import { assertSameBits } from '@bax/check';
import { assign, foldIn, keep, key, mul, noGrad, randn, scope, setBackend, type Tensor } from '@bax/core';
import { cpu } from '@bax/cpu';
import {
  adapterFrom, attachFactors, attachLora, loadAdapter, loadGpt2, loadTokenizer, memoryFolder, planLora, planOf, saveAdapter, saveGpt2, withAdapter, type Gpt2,
  type LoraModel, type ReadAdapterOptions, type WritableFolder,
} from '@bax/nn'; // prettier-ignore
import fc from 'fast-check';
import { beforeEach, describe, expect, it } from 'vitest';
import { adapterFolder, f32Bytes, goldenBytes, gpt2Folder, headerOf, rewrite } from '../support/golden.ts';
import { randomAdapter, tinyGpt2, tokens } from '../support/gpt2.ts';
import { modelHashes } from '../support/hash.ts';
import { expectClose } from '../support/numbers.ts';
import { failure } from './support.ts';
import { runs } from '../../support/runs.ts';

let backend = cpu();
beforeEach(() => setBackend((backend = cpu())));
const json = (name: string): Record<string, unknown> =>
  JSON.parse(new TextDecoder().decode(goldenBytes(`${name}/adapter_config.json`))) as Record<string, unknown>;
const bytesOf = async (folder: WritableFolder): Promise<Uint8Array> => {
  const source = await folder.open('adapter_model.safetensors');
  return source.read(0, source.size);
};
const configOf = async (folder: WritableFolder): Promise<Record<string, unknown>> =>
  JSON.parse(await folder.readText('adapter_config.json', 1e6)) as Record<string, unknown>;

describe('P23, P49: what saveAdapter writes', () => {
  it.each(['peft-all-linear', 'peft-c-attn'])(
    'P49: %s is saved again byte for byte, and its configuration key by key',
    async (name) => {
      const { lora } = await loadAdapter(await loadGpt2(gpt2Folder(), { backend }), adapterFolder(name));
      const folder = memoryFolder();
      const saved = await saveAdapter(lora, folder, { baseModel: '../gpt2' });
      const bytes = await bytesOf(folder);
      const [file, theirFile] = [bytes, goldenBytes(`${name}/adapter_model.safetensors`)].map((b) => {
        const { header, start } = headerOf(b);
        const { __metadata__: metadata, ...tensors } = header;
        return { metadata, tensors: JSON.stringify(tensors), data: Buffer.from(b.subarray(start)).toString('base64') };
      }); // prettier-ignore
      expect(file).toEqual({ ...theirFile, metadata: { format: 'pt', bax: expect.stringMatching(/"base":"sha256:[0-9a-f]{64}"/) } }); // prettier-ignore
      const count = [...lora.parameters().values()].reduce((n, t) => n + t.size, 0);
      expect(saved).toEqual({ bytes: bytes.length, trained: count, stored: count });
      const [ours, theirs] = [await configOf(folder), json(name)];
      const { target_modules, init_lora_weights, auto_mapping, task_type, ...rest } = ours;
      expect(theirs).toMatchObject(rest);
      expect(new Set(target_modules as string[])).toEqual(new Set(theirs['target_modules'] as string[]));
      expect({ init_lora_weights, auto_mapping, task_type }).toEqual({ init_lora_weights: true, auto_mapping: null, task_type: 'CAUSAL_LM' }); // prettier-ignore
    },
  );

  const slices = ['q', 'k', 'v'];
  /** The factors by name, as numbers. */
  const factorsOf = async (lora: LoraModel<Gpt2>): Promise<Record<string, number[]>> => {
    const all: Record<string, number[]> = {};
    for (const [name, t] of lora.parameters()) all[name] = Array.from(await t.data());
    return all;
  };
  const settings = fc.record({
    r: fc.integer({ min: 1, max: 4 }),
    alpha: fc.oneof(fc.integer({ min: 1, max: 9 }), fc.double({ min: 0.01, max: 50, noNaN: true })),
    targets: fc.oneof(
      fc.constantFrom(
        'all-linear' as const,
        ['c_attn'],
        ['c_proj'],
        ['h.0.mlp.c_fc', 'lm_head'],
        ['attn.c_proj', 'h.1.attn.c_attn'],
      ),
      fc.subarray(slices, { minLength: 1 }),
      fc.constant(['q', 'c_fc']),
    ),
    dropout: fc.constantFrom(0, 0.1, 0.5),
    seed: fc.nat(99),
  });

  it('is read back to the bit, slices as slices, whatever r and α', async () => {
    const model = tinyGpt2({ backend });
    const ids = tokens(backend, [2, 5]);
    const law = async ({
      seed,
      ...config
    }: typeof settings extends fc.Arbitrary<infer T> ? T : never): Promise<void> => {
      const lora = randomAdapter(model, config, { seed });
      const folder = memoryFolder();
      const { bytes, trained, stored } = await saveAdapter(lora, folder);
      const file = await bytesOf(folder);
      const { header, start } = headerOf(file);
      expect(bytes).toBe(file.length);
      expect(bytes).toBe(start + 4 * stored); // 8 + header + Σ dtype · count
      expect(trained).toBe(lora.adapter().parameterCount);
      delete header['__metadata__'];
      for (const name of Object.keys(header))
        expect(name).toMatch(/^base_model\.model\.(transformer\.h\.[01]\..+|lm_head)\.lora_[AB]\.weight$/);

      const { lora: again, unknownKeys, warnings } = await loadAdapter(model, folder);
      expect({ unknownKeys, warnings }).toEqual({ unknownKeys: [], warnings: [] });
      expect(await factorsOf(again)).toEqual(await factorsOf(lora));
      expect(again.adapter().config.dropout).toBe(config.dropout);
      const rows = (l: LoraModel<Gpt2>): unknown[] =>
        [...l.adapter().branches]
          .map(([path, { r, alpha, A, B }]) => ({ path, r, alpha, k: A.shape[1], out: B.shape[0] }))
          .sort((a, b) => (a.path < b.path ? -1 : 1));
      expect(rows(again)).toEqual(rows(lora));
      const [z, z2] = [await lora.model.forward(ids).data(), await again.model.forward(ids).data()];
      assertSameBits(z2, z, 'logits after loading');
    };
    await fc.assert(fc.asyncProperty(settings, law), runs(40));
  });

  it('of three slices whose α do not add up exactly, too: 0.1 + 0.1 + 0.1 is not 3 · 0.1', async () => {
    const model = tinyGpt2({ backend });
    for (const alpha of [0.1, 0.7, 1 / 3]) {
      const folder = memoryFolder();
      await saveAdapter(randomAdapter(model, { r: 1, alpha, targets: slices }), folder);
      const { lora } = await loadAdapter(model, folder);
      expect([...lora.adapter().branches.values()].map((e) => e.alpha)).toEqual(Array(6).fill(alpha));
    }
  });

  it('of slices, PEFT sees one pair of the summed rank and α, whose B A is the same', async () => {
    const model = tinyGpt2({ backend, dtype: 'f64' });
    const ids = tokens(backend, [2, 5]);
    const lora = randomAdapter(model, { r: 2, alpha: 3, targets: ['q', 'v'] });
    const folder = memoryFolder();
    const { trained, stored } = await saveAdapter(lora, folder);
    expect({ trained, stored }).toEqual({ trained: 2 * 2 * 2 * (8 + 8), stored: 2 * 4 * (8 + 24) });
    const config = await configOf(folder);
    expect(config).toMatchObject({
      r: 4,
      lora_alpha: 6,
      target_modules: ['c_attn'],
      fan_in_fan_out: true,
      rank_pattern: {},
      alpha_pattern: {},
    });
    const foreign = rewrite(await bytesOf(folder), (_, metadata) => delete metadata['bax']); // as PEFT would write it again
    const whole = memoryFolder({
      'adapter_config.json': JSON.stringify(config),
      'adapter_model.safetensors': foreign,
    });
    const { lora: again } = await loadAdapter(model, whole);
    expect([...again.adapter().branches].map(([path, { r }]) => `${path} ${r}`)).toEqual([
      'transformer.h.0.attn.c_attn 4',
      'transformer.h.1.attn.c_attn 4',
    ]);
    // A' = [A_q; A_v], B' = [[B_q, 0], [0, 0], [0, B_v]], rounded to f32 when they were stored
    const [A, B] = [
      await again.layers.get('transformer.h.0.attn.c_attn')!.branches[0]!.A.data(),
      await again.layers.get('transformer.h.0.attn.c_attn')!.branches[0]!.B.data(),
    ];
    const part = async (name: string): Promise<number[]> =>
      Array.from(await lora.parameters().get(`transformer.h.0.attn.c_attn.${name}`)!.data(), Math.fround);
    expect(Array.from(A)).toEqual([...(await part('q.A')), ...(await part('v.A'))]);
    const [q, v] = [await part('q.B'), await part('v.B')];
    const block = Array.from({ length: 24 * 4 }, (_, i) => {
      const [row, column] = [Math.floor(i / 4), i % 4];
      if (row < 8 && column < 2) return q[row * 2 + column];
      return row >= 16 && column >= 2 ? v[(row - 16) * 2 + column - 2] : 0;
    });
    expect(Array.from(B)).toEqual(block);
    const { lora: own } = await loadAdapter(model, folder);
    expectClose(await again.model.forward(ids).data(), await own.model.forward(ids).data(), 1e-13);
  });

  it.each([
    ['DoRA, lengths of all rows: those that no slice changes keep W’s', { dora: true }],
    ['rsLoRA, the α that gives their scale at the summed rank', { rslora: true }],
  ])('PEFT sees, of slices with %s', async (_, kind) => {
    const model = tinyGpt2({ backend, dtype: 'f64' });
    const ids = tokens(backend, [2, 5]);
    const folder = memoryFolder();
    await saveAdapter(randomAdapter(model, { r: 2, alpha: 3, targets: ['q', 'v'], ...kind }), folder);
    const foreign = rewrite(await bytesOf(folder), (_, metadata) => delete metadata['bax']); // as PEFT would write it again
    const whole = memoryFolder({
      'adapter_config.json': JSON.stringify(await configOf(folder)),
      'adapter_model.safetensors': foreign,
    });
    const [{ lora: again }, { lora: own }] = [await loadAdapter(model, whole), await loadAdapter(model, folder)]; // prettier-ignore
    expect([...again.adapter().branches.keys()]).toEqual(['transformer.h.0.attn.c_attn', 'transformer.h.1.attn.c_attn']); // prettier-ignore
    expectClose(await again.model.forward(ids).data(), await own.model.forward(ids).data(), 1e-6); // all is rounded to f32
  });

  it('modules of unequal r and α are named in rank_pattern and alpha_pattern, and are read back', async () => {
    const model = tinyGpt2({ backend });
    const { entries } = planLora(model, { r: 1, targets: ['c_attn', 'mlp.c_proj'] });
    const chosen = entries.map((target, i) => ({ target, r: i + 1, alpha: 2 * (i + 1) + (i % 2) }));
    const plan = planOf(model, planLora(model).config, chosen);
    const lora = attachFactors(model, plan, ({ path }, factor, shape) =>
      keep(randn(shape, { key: foldIn(key(3), `${path}${factor}`) })),
    );
    const folder = memoryFolder();
    await saveAdapter(lora, folder);
    expect(await configOf(folder)).toMatchObject({
      r: 1,
      lora_alpha: 2,
      target_modules: [
        'transformer.h.0.attn.c_attn',
        'transformer.h.0.mlp.c_proj',
        'transformer.h.1.attn.c_attn',
        'transformer.h.1.mlp.c_proj',
      ],
      rank_pattern: {
        '^transformer\\.h\\.0\\.mlp\\.c_proj': 2,
        '^transformer\\.h\\.1\\.attn\\.c_attn': 3,
        '^transformer\\.h\\.1\\.mlp\\.c_proj': 4,
      },
      alpha_pattern: {
        '^transformer\\.h\\.0\\.mlp\\.c_proj': 5,
        '^transformer\\.h\\.1\\.attn\\.c_attn': 6,
        '^transformer\\.h\\.1\\.mlp\\.c_proj': 9,
      },
    });
    const { lora: again } = await loadAdapter(model, folder);
    expect(await factorsOf(again)).toEqual(await factorsOf(lora));
    const ids = tokens(backend, [1, 4]);
    assertSameBits(await again.model.forward(ids).data(), await lora.model.forward(ids).data(), 'logits');
  });

  it.each([
    ['f32', NaN],
    ['f32', -Infinity],
    ['f64', NaN],
    ['f64', 1e300], // finite, but not in the f32 that is stored
  ] as const)('a factor in %s that holds %d is refused, and nothing is written', async (dtype, value) => {
    const lora = randomAdapter(tinyGpt2({ backend, dtype }), { r: 2, targets: ['q', 'v'] });
    const B = lora.parameters().get('transformer.h.1.attn.c_attn.v.B')!;
    backend.write(B.view.buffer, dtype === 'f32' ? Float32Array.of(value) : Float64Array.of(value), 3);
    const folder = memoryFolder();
    expect(await failure(() => saveAdapter(lora, folder))).toBe(
      'saveAdapter: B of transformer.h.1.attn.c_attn holds values that are not finite; nothing was written',
    );
    expect(await folder.list()).toEqual([]);
  });

  it('slices of one layer with different scales are refused: PEFT holds one for a module', async () => {
    const model = tinyGpt2({ backend });
    const { entries, config } = planLora(model, {
      r: 2,
      targets: ['h.0.attn.c_attn.q', 'h.0.attn.c_attn.v'],
    });
    const plan = planOf(
      model,
      config,
      entries.map((target, i) => ({ target, r: 2, alpha: 2 + i })),
    );
    const lora = attachFactors(model, plan, (_, _f, shape) => keep(randn(shape, { key: 1 })));
    const folder = memoryFolder();
    expect(await failure(() => saveAdapter(lora, folder))).toBe(
      'saveAdapter: the slices of transformer.h.0.attn.c_attn have different scales, 1.5 and 1; PEFT holds one for a module',
    );
    expect(await folder.list()).toEqual([]);
  });

  it('a slice with something taken out of W beside one without: PEFT has the scale of both, and it is read back', async () => {
    const model = tinyGpt2({ backend });
    const plan = planLora(model, { targets: ['q', 'v'], r: 2, alpha: 3, init: 'pissa' });
    const of = (seed: number): { A: Tensor; B: Tensor } => ({
      A: keep(randn([2, 8], { key: seed })),
      B: keep(randn([8, 2], { key: seed + 1 })),
    });
    const adapter = adapterFrom(plan, {
      factors: ({ slice }) => (slice!.name === 'q' ? { ...of(1), taken: of(3) } : of(5)),
    });
    const folder = memoryFolder();
    await saveAdapter(withAdapter(model, adapter), folder);
    expect(await configOf(folder)).toMatchObject({ r: 6, lora_alpha: 9, use_rslora: false }); // s = 3/2
    const { lora } = await loadAdapter(model, folder);
    const [before, after] = [adapter.tensors(), lora.adapter().tensors()];
    expect([...after.keys()]).toEqual([...before.keys()]);
    for (const [path, t] of before) assertSameBits(await after.get(path)!.data(), await t.data(), path);
  });

  it('P23: lengths that were trained where no slice is are refused, for nothing here would hold them', async () => {
    const model = tinyGpt2({ backend });
    const folder = memoryFolder();
    const plan = planLora(model, { targets: ['q', 'v'], r: 2, dora: true });
    await saveAdapter(await attachLora(model, plan, { key: key(1) }), folder);
    const bytes = await bytesOf(folder);
    const withLength = async (row: number, options: ReadAdapterOptions = {}): Promise<unknown> => {
      const name = 'base_model.model.transformer.h.0.attn.c_attn.lora_magnitude_vector';
      const changed = rewrite(bytes, (tensors) => tensors.get(name)!.bytes.set(f32Bytes(9), 4 * row));
      await folder.write('adapter_model.safetensors', [changed]);
      return loadAdapter(model, folder, options);
    };
    await withLength(7); // the last of q
    for (const row of [8, 15])
      expect(await failure(() => withLength(row))).toBe(
        "loadAdapter: the magnitude of transformer.h.0.attn.c_attn is not W's outside of its slices; it was trained as a whole since. Remove the 'bax' metadata to load it so",
      );
    await withLength(16); // the first of v
    await withLength(8, { anyBase: true }); // another base has other lengths
  });

  it('what is refused holds no memory of the base', async () => {
    const base = await loadGpt2(gpt2Folder(), { backend });
    const lora = randomAdapter(base, { r: 2, targets: ['c_attn'] }); // whose W is a view
    const B = lora.parameters().get('transformer.h.1.attn.c_attn.lora.B')!;
    backend.write(B.view.buffer, Float32Array.of(NaN), B.view.offset);
    await failure(() => saveAdapter(lora, memoryFolder()));
    lora.detach().dispose();
    expect(backend.memory().live).toBe(0);
  });

  it('P52: changes nothing in memory', async () => {
    const model = tinyGpt2({ backend });
    const lora = randomAdapter(model, { r: 2, targets: ['q', 'c_fc'] });
    const [before, memory] = [await modelHashes(lora.model), backend.memory().live];
    await saveAdapter(lora, memoryFolder());
    expect(await modelHashes(lora.model)).toEqual(before);
    expect(backend.memory().live).toBe(memory);
  });
});

it('is of the moment of the call, whatever training does before it resolves', async () => {
  const model = tinyGpt2({ backend: cpu() });
  const lora = randomAdapter(model, { r: 2, targets: ['q', 'mlp.c_fc'] });
  const [then, now] = [memoryFolder(), memoryFolder()];
  await saveAdapter(lora, then);
  const saving = saveAdapter(lora, now);
  const { live } = model.backend.memory();
  scope(() => noGrad(() => [...lora.parameters().values()].forEach((t) => assign(t, mul(t, 2)))));
  await saving;
  expect(await bytesOf(now)).toEqual(await bytesOf(then));
  expect(model.backend.memory().live, 'the copies are freed').toBeLessThan(live);
});

it('a path in place of a folder is told what makes one of it', async () => {
  const model = tinyGpt2({ backend: cpu() });
  const path = 'models/mine' as unknown as WritableFolder;
  for (const [by, call] of [
    ['saveAdapter', async () => saveAdapter(randomAdapter(model, { r: 1 }), path)],
    ['loadAdapter', async () => loadAdapter(model, path)],
    ['loadGpt2', async () => loadGpt2(path)],
    ['saveGpt2', async () => saveGpt2(model, path)],
    ['loadTokenizer', async () => loadTokenizer(path)],
  ] as const)
    await expect(call()).rejects.toThrow(
      `${by}: give it a folder: await openFolder("models/mine") of bax/node`,
    );
});
