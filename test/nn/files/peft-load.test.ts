import { BaxError, key, setBackend, valueAndGrad, type Tensor } from '@bax/core';
import { cpu } from '@bax/cpu';
import {
  adamW,
  attachLora,
  loadAdapter,
  loadGpt2,
  memoryFolder,
  planLora,
  saveAdapter,
  type Gpt2,
  type LoadedAdapter,
} from '@bax/nn';
import fc from 'fast-check';
import { beforeEach, describe, expect, it, test } from 'vitest';
import { adapterFolder, f32Bytes, golden, goldenBytes, gpt2Folder, idsOf, rewrite, targetsOf, type Golden } from '../support/golden.ts'; // prettier-ignore
import { modelHashes } from '../support/hash.ts';
import { distance, expectClose, largest } from '../support/numbers.ts';
import { failure } from './support.ts';
import { runs } from '../../support/runs.ts';

let backend = cpu();
beforeEach(() => setBackend((backend = cpu())));
const load = (dtype: 'f32' | 'f64' = 'f32'): Promise<Gpt2> => loadGpt2(gpt2Folder(), { dtype, backend });
const json = (name: string): Record<string, unknown> =>
  JSON.parse(new TextDecoder().decode(goldenBytes(`${name}/adapter_config.json`))) as Record<string, unknown>;

/** bax's name of A or B as PEFT's. */
const peftName = (name: string): string =>
  `base_model.model.${name.replace(/\.lora\.([AB])$/, '.lora_$1.weight')}`;
const numbers = ({ data }: Golden): Float64Array => Float64Array.from(data);

describe.each(['peft-all-linear', 'peft-c-attn'])(
  'P49: %s, which PEFT made with a base and factors of unequal sizes',
  (name) => {
    const expected = golden(`${name}/expected.safetensors`);
    const want = (key: string): Float64Array => numbers(expected.get(key)!);
    async function loaded(
      dtype: 'f32' | 'f64',
    ): Promise<LoadedAdapter<Gpt2> & { base: Gpt2; ids: Tensor; targets: Tensor }> {
      const base = await load(dtype);
      const [ids, targets] = [
        idsOf(expected.get('ids')!, backend),
        targetsOf(expected.get('labels')!, backend),
      ];
      return { base, ids, targets, ...(await loadAdapter(base, adapterFolder(name))) };
    }

    it("loads to PEFT's logits, loss and gradients in f64", async () => {
      const { lora, base, ids, targets, warnings, unknownKeys } = await loaded('f64');
      const paths = [...base.namedModules().keys()].filter((path) => lora.layers.has(path));
      expect([...lora.layers.keys()], "the model's order, not the file's").toEqual(paths);
      expect({ warnings, unknownKeys }).toEqual({ warnings: [], unknownKeys: [] });
      expectClose(await lora.model.forward(ids).data(), want('logits'), 1e-13);
      const factors = lora.parameters();
      const { value, grads } = valueAndGrad(() => lora.model.loss(ids, targets), [...factors.values()]);
      expectClose(await value.data(), want('loss'), 1e-13);
      const names = [...factors.keys()];
      expect(names.map(peftName).sort()).toEqual([...expected.keys()].filter((k) => k.startsWith('grad.')).map((k) => k.slice(5)).sort()); // prettier-ignore
      for (const [i, g] of grads.entries())
        expectClose(await g.data(), want(`grad.${peftName(names[i]!)}`), 1e-13, names[i]!);
    });

    it('in f32 as near to f64 as PyTorch comes', async () => {
      const { lora, ids } = await loaded('f32');
      const exact = want('logits');
      const ours = distance(await lora.model.forward(ids).data(), exact);
      expect(ours).toBeLessThanOrEqual(
        4 * distance(want('logits_f32'), exact) + 8 * 2 ** -24 * largest(exact),
      );
    });

    it("P6, P33: merges to PEFT's merged weights and logits; every other weight is the base's own", async () => {
      const { lora, base, ids } = await loaded('f64');
      const { model, report } = await lora.merge();
      const merged = new Map([...expected].filter(([k]) => k.startsWith('merged.')).map(([k, g]) => [k.slice(7), numbers(g)])); // prettier-ignore
      const [before, after] = [base.namedParameters(), model.namedParameters()];
      expect([...after.keys()]).toEqual([...before.keys()]);
      for (const [path, t] of after) {
        if (merged.has(path)) expectClose(await t.data(), merged.get(path)!, 1e-15, path);
        else expect(t, path).toBe(before.get(path));
      }
      expect(report.layers.map((l) => `${l.path}.weight`).sort()).toEqual([...merged.keys()].sort());
      expectClose(await model.forward(ids).data(), want('logits_merged'), 1e-13);
    });
  },
);

describe("P3, P49: five steps from PEFT's own start are PEFT's five steps", () => {
  const expected = golden('peft-train-start/expected.safetensors');
  const want = (key: string): Float64Array => numbers(expected.get(key)!);
  const losses = want('losses');

  it.each([
    ['f64', 1e-12],
    ['f32', 2e-4],
  ] as const)('in %s, to %d', async (dtype, tolerance) => {
    const { lora, warnings } = await loadAdapter(await load(dtype), adapterFolder('peft-train-start'));
    expect(warnings).toEqual(['every B is zero: this adapter was never trained and changes nothing']);
    const [ids, targets] = [
      idsOf(expected.get('ids')!, backend),
      targetsOf(expected.get('labels')!, backend),
    ];
    const factors = lora.parameters();
    const [names, params] = [[...factors.keys()], [...factors.values()]];
    const optimizer = adamW(factors, { lr: 1e-2, weightDecay: 0.01 });
    for (let step = 0; step < 5; step++) {
      const { value, grads } = valueAndGrad(() => lora.model.loss(ids, targets), params);
      expectClose([await value.item()], [losses[step]!], tolerance, `loss ${step}`);
      if (step === 0)
        for (const [i, name] of names.entries()) {
          const g = await grads[i]!.data();
          if (name.endsWith('.A')) expect(largest(g), name).toBe(0); // B is 0
          expectClose(g, want(`grad.${peftName(name)}`), tolerance, name);
        }
      optimizer.step(grads);
      if (step === 0 || step === 4)
        for (const [name, t] of factors)
          expectClose(
            await t.data(),
            want(`after${step + 1}.${peftName(name)}`),
            tolerance,
            `${name} ${step}`,
          );
    }
  });
});

describe('P23, P60: an adapter that is not right is refused, by name, and leaves nothing behind', () => {
  const C_ATTN = 'base_model.model.transformer.h.0.attn.c_attn';
  const file = goldenBytes('peft-c-attn/adapter_model.safetensors');
  const config = (change: Record<string, unknown>): string =>
    JSON.stringify({ ...json('peft-c-attn'), ...change });
  type Files = Record<string, Uint8Array | string | undefined>;

  /** The error; the model keeps its bits, and the device its memory. */
  async function refused(change: Files): Promise<string> {
    const base = await load();
    const [bits, memory] = [await modelHashes(base), backend.memory()];
    const message = await failure(() => loadAdapter(base, adapterFolder('peft-c-attn', change)));
    expect(await modelHashes(base)).toEqual(bits);
    expect({ ...backend.memory(), peak: 0, pooled: 0 }).toEqual({ ...memory, peak: 0, pooled: 0 });
    return message;
  }
  const withConfig = (change: Record<string, unknown>): Promise<string> =>
    refused({ 'adapter_config.json': config(change) });
  const withFile = (change: Parameters<typeof rewrite>[1]): Promise<string> =>
    refused({ 'adapter_model.safetensors': rewrite(file, change) });

  it('a model that has an adapter already, on whatever layers', async () => {
    const base = await load();
    const lora = await attachLora(base, planLora(base, { r: 1, targets: ['wte'] }), { key: key(1) });
    const { buffers } = backend.memory();
    expect(await failure(() => loadAdapter(lora.model, adapterFolder('peft-all-linear')))).toBe(
      'loadAdapter: transformer.wte has an adapter already; give the base, or the model that merge() makes',
    );
    expect(backend.memory().buffers).toBe(buffers);
  });
  it('a missing file', async () => {
    expect(await refused({ 'adapter_config.json': undefined })).toBe(
      'loadAdapter: peft-c-attn is not an adapter: it has no adapter_config.json',
    );
    expect(await refused({ 'adapter_model.safetensors': undefined })).toBe(
      'loadAdapter: peft-c-attn is not an adapter: it has no adapter_model.safetensors',
    );
  });

  const where = 'peft-c-attn/adapter_config.json';
  it.each([
    [{ peft_type: 'IA3' }, 'peft_type is "IA3"; bax reads "LORA"'],
    [{ peft_type: undefined }, 'peft_type is undefined; bax reads "LORA"'],
    [{ use_dora: 1 }, 'use_dora is 1, neither true nor false'],
    [{ use_rslora: 'yes' }, 'use_rslora is "yes", neither true nor false'],
    [{ use_qalora: true }, 'use_qalora: true changes what the adapter computes, and bax does not support it'],
    [{ lora_bias: true }, 'lora_bias: true changes what the adapter computes, and bax does not support it'],
    [{ bias: 'some' }, 'bias: "some" changes what the adapter computes, and bax does not support it'],
    [{ modules_to_save: 'lm_head' }, 'modules_to_save is "lm_head"; it must be a list of names'],
    [{ layers_to_transform: ['0'] }, 'layers_to_transform is ["0"]; it must be a list of numbers'],
    [{ layers_to_transform: [0], layers_pattern: '(h|)*' }, 'layers_pattern: "(h|)*" is not a name'],
    [{ exclude_modules: '(a+)+' }, 'exclude_modules: the pattern "(a+)+" is too long or repeats too much'],
    [
      { alora_invocation_tokens: [1] },
      'alora_invocation_tokens: [1] changes what the adapter computes, and bax does not support it',
    ],
    [
      { target_parameters: ['x'] },
      'target_parameters: ["x"] changes what the adapter computes, and bax does not support it',
    ],
    [
      { init_lora_weights: 'pissa_niter_4' },
      'init_lora_weights: "pissa_niter_4" changed the base weights; convert the adapter in PEFT first (path_initial_model_for_weight_conversion)',
    ],
    [{ r: 0 }, 'r is 0; the rank is an integer from 1'],
    [{ r: 1.5 }, 'r is 1.5; the rank is an integer from 1'],
    [{ r: '2' }, 'r is "2"; the rank is an integer from 1'],
    [{ lora_alpha: 0 }, 'lora_alpha is 0; it must be a finite number above 0'],
    [{ lora_alpha: '5' }, 'lora_alpha is "5"; it must be a finite number above 0'],
    [{ lora_dropout: 1 }, 'lora_dropout is 1, not a probability in [0, 1)'],
    [{ target_modules: [] }, 'target_modules is []; it must be a list of names or a pattern'],
    [{ target_modules: null }, 'target_modules is null; it must be a list of names or a pattern'],
    [{ target_modules: [1] }, 'target_modules is [1]; it must be a list of names or a pattern'],
    [{ target_modules: '(' }, 'target_modules: "(" is not a pattern'],
    [{ target_modules: '(.|.)*x' }, 'target_modules: the pattern "(.|.)*x" is too long or repeats too much'],
    [{ target_modules: '(a+)+' }, 'target_modules: the pattern "(a+)+" is too long or repeats too much'],
    [
      { target_modules: '.*.*.*.*.*.*x' },
      'target_modules: the pattern ".*.*.*.*.*.*x" is too long or repeats too much',
    ],
    [
      { target_modules: '.?.?.?.?.?x' },
      'target_modules: the pattern ".?.?.?.?.?x" is too long or repeats too much',
    ],
    [{ rank_pattern: 3 }, 'rank_pattern is not an object'],
    [{ rank_pattern: { c_attn: 'a' } }, 'rank_pattern: c_attn is "a"'],
    [{ alpha_pattern: { c_attn: -1 } }, 'alpha_pattern: c_attn is -1'],
  ])('a configuration with %j', async (change, why) => {
    expect(await withConfig(change)).toBe(`${where}: ${why}`);
  });

  it('a configuration that is no object', async () => {
    expect(await refused({ 'adapter_config.json': '[]' })).toBe(`${where}: expected a JSON object`);
    expect(await refused({ 'adapter_config.json': '{"r":1,"r":2}' })).toBe(
      `${where}: duplicate key "r" at offset 7 (line 1, column 8)`,
    );
  });

  it('targets and tensors that do not agree', async () => {
    const name = 'peft-c-attn/adapter_model.safetensors';
    expect(await withConfig({ target_modules: ['c_attn', 'c_fc'] })).toBe(
      `loadAdapter: ${name} has no tensors for transformer.h.0.mlp.c_fc, which target_modules names`,
    );
    expect(await withConfig({ target_modules: ['h.0.attn.c_attn'] })).toBe(
      `loadAdapter: ${name} holds tensors for transformer.h.1.attn.c_attn, which target_modules does not name`,
    );
    expect(await withConfig({ target_modules: ['attn'] })).toBe(
      `loadAdapter: ${name} holds tensors for transformer.h.0.attn.c_attn, which target_modules does not name`,
    );
    expect(await withFile((t) => t.delete(`${C_ATTN}.lora_B.weight`))).toBe(
      `loadAdapter: ${name} has '${C_ATTN}.lora_A.weight' but lacks '${C_ATTN}.lora_B.weight'`,
    );
    expect(await withFile((t) => t.delete(`${C_ATTN}.lora_A.weight`))).toBe(
      `loadAdapter: ${name} has '${C_ATTN}.lora_B.weight' but lacks '${C_ATTN}.lora_A.weight'`,
    );
    expect(await withFile((t) => ['A', 'B'].forEach((f) => t.delete(`${C_ATTN}.lora_${f}.weight`)))).toBe(
      `loadAdapter: ${name} has no tensors for transformer.h.0.attn.c_attn, which target_modules names`,
    );
    expect(await withFile((t) => t.clear())).toBe(
      `loadAdapter: ${name} is empty: it holds no tensor, so loading it would silently give the base model`,
    );
    expect(
      await withFile((t) =>
        t.set(`${C_ATTN}.lora_magnitude_vector`, { dtype: 'F32', shape: [1], bytes: f32Bytes(1) }),
      ),
    ).toBe(`loadAdapter: ${name} has a magnitude of transformer.h.0.attn.c_attn, and use_dora is false`);
    expect(await withConfig({ use_dora: true })).toBe(
      `loadAdapter: ${name} has no magnitude of transformer.h.0.attn.c_attn, and use_dora is true`,
    );
    expect(await withConfig({ bias: 'all' })).toBe(
      `loadAdapter: ${name} lacks transformer.h.0.ln_1.bias, which bias or modules_to_save asks for`,
    );
    expect(await withConfig({ modules_to_save: ['lm_head'] })).toBe(
      `loadAdapter: ${name} lacks lm_head.weight, which modules_to_save asks for`,
    );
    expect(
      await withFile((t) => {
        for (const f of ['A', 'B']) {
          t.set(`base_model.model.transformer.wte.lora_${f}.weight`, t.get(`${C_ATTN}.lora_${f}.weight`)!);
        }
      }),
    ).toBe(`loadAdapter: ${name} holds tensors for transformer.wte as a linear layer, which it is not`);
  });

  it('patterns mean whole names, as they do to PEFT', async () => {
    const name = 'peft-c-attn/adapter_model.safetensors';
    const notNamed = `loadAdapter: ${name} holds tensors for transformer.h.0.attn.c_attn, which target_modules does not name`;
    for (const pattern of ['c_attn', '.*attn.c', 'transformer.h.0', 'h\\.\\d+\\.attn\\.c_attn'])
      expect(await withConfig({ target_modules: pattern }), pattern).toBe(notNamed);
    for (const pattern of ['.*c_attn', 'transformer\\.h\\.\\d\\.attn\\.(c_attn|q)', 'x|.*\\.c_attn'])
      await loadAdapter(
        await load(),
        adapterFolder('peft-c-attn', { 'adapter_config.json': config({ target_modules: pattern }) }),
      );
    // a key that is no whole end of a path names nothing; one that is names all of them, the last for both
    for (const key of ['c_att', '_attn', 'h.0', 'transformer.h.0.attn.c_attn.x']) {
      const { lora } = await loadAdapter(
        await load(),
        adapterFolder('peft-c-attn', {
          'adapter_config.json': config({ rank_pattern: { [key]: 9 }, alpha_pattern: { [key]: 9 } }),
        }),
      );
      expect(
        [...lora.adapter().branches.values()].map((e) => e.alpha),
        key,
      ).toEqual([5, 5]);
    }
    const { lora } = await loadAdapter(
      await load(),
      adapterFolder('peft-c-attn', {
        'adapter_config.json': config({ alpha_pattern: { 'h.1.attn.c_attn': 7, 'attn.c_attn': 9 } }),
      }),
    );
    expect([...lora.adapter().branches].map(([path, e]) => `${path} ${e.alpha}`).sort()).toEqual([
      'transformer.h.0.attn.c_attn 9',
      'transformer.h.1.attn.c_attn 7',
    ]);
  });

  it('shapes that do not fit', async () => {
    expect(await withConfig({ r: 3 })).toBe(
      'loadAdapter: lora_A of transformer.h.0.attn.c_attn is [2, 12], expected [r, in] = [3, 12]',
    );
    expect(await withConfig({ rank_pattern: { 'h.1.attn.c_attn': 4 } })).toBe(
      'loadAdapter: lora_A of transformer.h.1.attn.c_attn is [2, 12], expected [r, in] = [4, 12]',
    );
    expect(await withFile((t) => void (t.get(`${C_ATTN}.lora_B.weight`)!.shape = [2, 36]))).toBe(
      'loadAdapter: lora_B of transformer.h.0.attn.c_attn is [2, 36], expected [out, r] = [36, 2]',
    );
    expect(await withFile((t) => void (t.get(`${C_ATTN}.lora_A.weight`)!.shape = [12, 2]))).toBe(
      'loadAdapter: lora_A of transformer.h.0.attn.c_attn is [12, 2], expected [r, in] = [2, 12]',
    );
  });

  it('numbers that are none', async () => {
    for (const value of [NaN, Infinity, -Infinity])
      expect(await withFile((t) => t.get(`${C_ATTN}.lora_B.weight`)!.bytes.set(f32Bytes(value), 40))).toBe(
        `loadAdapter: peft-c-attn/adapter_model.safetensors: '${C_ATTN}.lora_B.weight' holds values that are not finite`,
      );
  });

  it('a file that was cut', async () => {
    for (const length of [0, 7, 100, file.length - 1])
      expect(await refused({ 'adapter_model.safetensors': file.slice(0, length) })).toMatch(
        /^safetensors: peft-c-attn\/adapter_model.safetensors: /,
      );
  });

  const records = (slices: unknown, version = 1): Promise<string> =>
    withFile((_, metadata) => void (metadata['bax'] = JSON.stringify({ version, slices })));
  const path = 'transformer.h.0.attn.c_attn';
  const q = { name: 'q', start: 0, length: 12, r: 1, alpha: 2.5 };
  const v = { ...q, name: 'v', start: 24 };
  it.each([
    [
      { [path]: [q, q] },
      `planLora: ${path}.q and ${path}.q are adapted both, and share outputs of ${path}; choose one`,
    ],
    [
      { [path]: [null, v] },
      `loadAdapter: the slices recorded for ${path} are no list of slices; the file was changed after it was saved`,
    ],
    [
      { [path]: {} },
      `loadAdapter: the slices recorded for ${path} are no list of slices; the file was changed after it was saved`,
    ],
    [
      { [path]: [] },
      `loadAdapter: the slices recorded for ${path} are no list of slices; the file was changed after it was saved`,
    ],
    [
      { [path]: [{ ...q, start: 1 }, v] },
      `loadAdapter: the slices recorded for ${path} name 'q', which the model's layer has not there; the file was changed after it was saved`,
    ],
    [
      { [path]: [{ ...q, name: '__proto__' }, v] },
      `loadAdapter: the slices recorded for ${path} name '__proto__', which the model's layer has not there; the file was changed after it was saved`,
    ],
    [
      { [path]: [{ ...q, r: 2 }, v] },
      `loadAdapter: the slices recorded for ${path} have another scale than its α/r; the file was changed after it was saved`,
    ],
    [
      { [path]: [{ ...q, r: 0.5 }, v] },
      `loadAdapter: the slices recorded for ${path} have a rank of 0.5; the file was changed after it was saved`,
    ],
    [
      { [path]: [q] },
      `loadAdapter: the slices recorded for ${path} have ranks that do not sum to 2; the file was changed after it was saved`,
    ],
    [
      { [path]: [q, v] },
      `loadAdapter: lora_B of ${path} is not zero outside of its slices; it was trained as a whole since. Remove the 'bax' metadata to load it so`,
    ],
    [
      { 'transformer.h.7': [q, v] },
      "loadAdapter: peft-c-attn/adapter_model.safetensors: metadata 'bax' records slices of transformer.h.7, of which the file holds no tensors",
    ],
    ['x', "loadAdapter: peft-c-attn/adapter_model.safetensors: metadata 'bax' is not of version 1"],
  ])('slices recorded as %j', async (slices, why) => {
    expect(await records(slices)).toBe(why);
  });
  it('slices of another version', async () => {
    expect(await records({ [path]: [q, v] }, 2)).toMatch(/metadata 'bax' is not of version 1$/);
  });

  it('an unknown key is told, and does no harm', async () => {
    const { unknownKeys } = await loadAdapter(
      await load(),
      adapterFolder('peft-c-attn', { 'adapter_config.json': config({ use_magic: 1 }) }),
    );
    expect(unknownKeys).toEqual(['use_magic']);
  });
});

describe('P60: hostile files give an error of ours or what was saved, and never touch the model', () => {
  /** One byte, a run of bytes, or the end of the file changed. */
  const spoiled = (file: Uint8Array): fc.Arbitrary<Uint8Array> => {
    const place = fc.oneof(fc.nat(file.length - 1), fc.nat(Math.min(file.length - 1, 2000)));
    return fc.oneof(
      fc.tuple(place, fc.nat(255)).map(([i, byte]) => file.with(i, byte)),
      fc.tuple(place, fc.nat(7)).map(([i, bit]) => file.with(i, file[i]! ^ (1 << bit))),
      fc
        .tuple(place, fc.nat(40))
        .map(([i, n]) => Uint8Array.from([...file.subarray(0, i), ...file.subarray(i + n)])),
      fc
        .tuple(place, fc.uint8Array({ maxLength: 12 }))
        .map(([i, more]) => Uint8Array.from([...file.subarray(0, i), ...more, ...file.subarray(i)])),
      fc.nat(file.length).map((n) => file.slice(0, n)),
    );
  };
  /** Some value of the configuration replaced by any other, or a key added. */
  const reconfigured = (name: string): fc.Arbitrary<string> => {
    const good = json(name);
    const value = fc.oneof(
      fc.jsonValue({ maxDepth: 2 }),
      fc.constantFrom<unknown>(
        0,
        -1,
        1e99,
        'c_attn',
        '.*',
        '(',
        'all-linear',
        [],
        {},
        null,
        true,
        [null],
        ['c_attn', 'q'],
      ),
    );
    return fc
      .tuple(
        fc.oneof(fc.constantFrom(...Object.keys(good)), fc.constantFrom('__proto__', 'constructor', 'bax')),
        value,
      )
      .map(([key, v]) => JSON.stringify({ ...good, [key]: v }));
  };
  const NAME = 'peft-c-attn';

  async function harmless(change: Parameters<typeof adapterFolder>[1], base: Gpt2): Promise<void> {
    const bits = await modelHashes(base);
    try {
      const { lora } = await loadAdapter(base, adapterFolder(NAME, change));
      for (const [name, t] of lora.parameters())
        expect((await t.data()).every(Number.isFinite), name).toBe(true);
      lora.detach();
    } catch (error) {
      expect(error).toBeInstanceOf(BaxError);
    }
    expect(await modelHashes(base)).toEqual(bits);
    expect(backend.memory().buffers).toBe([...base.namedParameters()].length);
  }

  it('adapter_model.safetensors', async () => {
    const base = await load();
    const file = goldenBytes(`${NAME}/adapter_model.safetensors`);
    await fc.assert(
      fc.asyncProperty(spoiled(file), (bytes) => harmless({ 'adapter_model.safetensors': bytes }, base)),
      runs(300),
    );
  });
  it('adapter_config.json, its bytes and its values', async () => {
    const base = await load();
    const bytes = spoiled(goldenBytes(`${NAME}/adapter_config.json`));
    await fc.assert(
      fc.asyncProperty(fc.oneof(bytes, reconfigured(NAME)), (text) =>
        harmless({ 'adapter_config.json': text }, base),
      ),
      runs(400),
    );
  });
  it("our metadata, its slices' records", async () => {
    const base = await load();
    const file = goldenBytes(`${NAME}/adapter_model.safetensors`);
    const field = fc.oneof(
      fc.constantFrom<unknown>('q', 'k', 'v', 0, 12, 24, 1, 2, 2.5, 5, null),
      fc.jsonValue({ maxDepth: 1 }),
    );
    const record = fc.oneof(
      fc.record({ name: field, start: field, length: field, r: field, alpha: field }),
      fc.jsonValue(),
    );
    const text = fc.dictionary(
      fc.constantFrom('transformer.h.0.attn.c_attn', 'transformer.h.1.attn.c_attn', 'x'),
      fc.oneof(fc.array(record, { maxLength: 3 }), fc.jsonValue()),
    );
    const law = (slices: unknown): Promise<void> =>
      harmless(
        {
          'adapter_model.safetensors': rewrite(
            file,
            (_, metadata) => void (metadata['bax'] = JSON.stringify({ version: 1, slices })),
          ),
        },
        base,
      );
    await fc.assert(fc.asyncProperty(text, law), runs(300));
  });
});

test('an aborted load or save rejects with the reason, and leaves no buffer and no file', async () => {
  const base = await load();
  const { lora } = await loadAdapter(base, adapterFolder('peft-c-attn'));
  const { buffers } = backend.memory();
  const signal = AbortSignal.abort(new Error('enough'));
  await expect(loadAdapter(base, adapterFolder('peft-c-attn'), { signal })).rejects.toThrow('enough');
  expect(backend.memory().buffers).toBe(buffers);
  const folder = memoryFolder();
  await expect(saveAdapter(lora, folder, { signal })).rejects.toThrow('enough');
  expect(await folder.list()).toEqual([]);
});
