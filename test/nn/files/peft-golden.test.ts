/** Every adapter that PEFT wrote to test/golden, one of each variant, on both bases: loaded, run, differentiated, merged, saved. */
import { readdirSync, readFileSync } from 'node:fs';
import { setBackend, type Tensor, valueAndGrad } from '@bax/core';
import { cpu } from '@bax/cpu';
import {
  adamW, type Adapter, loadAdapter, loadGpt2, type LoadedAdapter, LoraModel, loraPlus, memoryFolder, type Module, readAdapter, saveAdapter, sumAdapters,
} from '@bax/nn'; // prettier-ignore
import { beforeEach, describe, expect, it, test } from 'vitest';
import { adapterFolder, golden, goldenBytes, goldenFolder, gpt2Folder, idsOf, parsed, targetsOf, type Golden } from '../support/golden.ts'; // prettier-ignore
import { hashes, modelHashes } from '../support/hash.ts';
import { loadMlp } from '../support/mlp.ts';
import { distance, expectClose, largest } from '../support/numbers.ts';
import { failure } from './support.ts';

let backend = cpu();
beforeEach(() => setBackend((backend = cpu())));

interface Model extends Module {
  forward(ids: Tensor, context?: { adapters?: readonly (string | null)[] }): Tensor;
  loss(ids: Tensor, targets: Tensor): Tensor;
}
const load = async (name: string, dtype: 'f32' | 'f64'): Promise<Model> =>
  name.startsWith('peft-mlp') ? loadMlp({ dtype, backend }) : loadGpt2(gpt2Folder(), { dtype, backend });
const numbers = ({ data }: Golden): Float64Array => Float64Array.from(data);
type Json = Record<string, unknown>;
const jsonOf = (bytes: Uint8Array): Json => JSON.parse(new TextDecoder().decode(bytes)) as Json;

/** bax's name of a trained tensor as PEFT's, as far as the file has it. */
function peftName(name: string, has: (key: string) => boolean): string {
  const [, path, part] = /^(.+)\.lora\.(A|B|magnitude)$/.exec(name) ?? [];
  const prefix = 'base_model.model.';
  const choices = path
    ? part === 'magnitude'
      ? [`${prefix}${path}.lora_magnitude_vector`]
      : [`${prefix}${path}.lora_${part}.weight`, `${prefix}${path}.lora_embedding_${part}`]
    : [`${prefix}${name}`, prefix + name.replace(/\.([^.]+)$/, '.base_layer.$1')];
  return choices.find(has) ?? choices[0]!;
}

const root = new URL('../../golden/', import.meta.url);
const single = readdirSync(root).filter((d) => d.startsWith('peft-') && readdirSync(new URL(d, root)).includes('adapter_config.json')); // prettier-ignore
const refused: Readonly<Record<string, string>> = {
  'peft-mlp-lora-bias': 'lora_bias: true changes what the adapter computes, and bax does not support it',
};
const trainings = single.filter((name) => name.includes('-train-'));
const variants = single.filter((name) => !trainings.includes(name) && !(name in refused));

test('there is one of each variant', () => {
  expect(variants.length).toBeGreaterThan(40);
  const options = variants.map((name) => jsonOf(goldenBytes(`${name}/adapter_config.json`)));
  for (const key of ['use_dora', 'use_rslora', 'modules_to_save', 'exclude_modules', 'layers_to_transform', 'layers_pattern'])
    expect(options.some((o) => o[key]), key).toBeTruthy();
  for (const init of ['gaussian', 'orthogonal', 'pissa', 'olora'])
    expect(options.some((o) => o['init_lora_weights'] === init), init).toBe(true);
  for (const bias of ['all', 'lora_only']) expect(options.some((o) => o['bias'] === bias), bias).toBe(true);
}); // prettier-ignore

test.each(Object.entries(refused))('P49: %s is refused by name', async (name, why) => {
  expect(await failure(async () => loadAdapter(await load(name, 'f32'), adapterFolder(name)))).toBe(
    `${name}/adapter_config.json: ${why}`,
  );
});

describe.each(variants)('P49: %s', (name) => {
  const expected = golden(`${name}/expected.safetensors`);
  const want = (key: string): Float64Array => numbers(expected.get(key)!);
  const init = jsonOf(goldenBytes(`${name}/adapter_config.json`))['init_lora_weights'];
  // PEFT takes these parts out of W in f32, and so rounds what is left; here W keeps its bits
  const tolerance = init === 'pissa' || init === 'olora' ? 2e-5 : 1e-13;

  interface Loaded extends LoadedAdapter<Model> {
    readonly base: Model;
    readonly ids: Tensor;
    readonly targets: Tensor;
  }
  async function loaded(dtype: 'f32' | 'f64'): Promise<Loaded> {
    const base = await load(name, dtype);
    const [ids, targets] = [
      idsOf(expected.get('ids')!, backend),
      targetsOf(expected.get('labels')!, backend),
    ];
    return { base, ids, targets, ...(await loadAdapter(base, adapterFolder(name))) };
  }

  it("loads to PEFT's logits, loss and gradients in f64, and leaves the base's bits", async () => {
    const base = await load(name, 'f64');
    const bits = await modelHashes(base);
    const { lora, ids, targets, warnings, unknownKeys } = await loaded('f64');
    expect({ warnings, unknownKeys }).toEqual({ warnings: [], unknownKeys: [] });
    expectClose(await lora.model.forward(ids).data(), want('logits'), tolerance);
    const trained = lora.parameters();
    const { value, grads } = valueAndGrad(() => lora.model.loss(ids, targets), [...trained.values()]);
    expectClose(await value.data(), want('loss'), tolerance);
    const theirs = new Set([...expected.keys()].filter((k) => k.startsWith('grad.') && !k.includes('.modules_to_save.')).map((k) => k.slice(5))); // prettier-ignore
    const names = [...trained.keys()].map((key) => peftName(key, (k) => theirs.has(k)));
    expect(new Set(names)).toEqual(theirs);
    for (const [i, g] of grads.entries())
      expectClose(await g.data(), want(`grad.${names[i]!}`), tolerance, names[i]!);
    expect(await modelHashes(lora.base)).toEqual(bits);
  });

  it('in f32 as near to f64 as f32 comes', async () => {
    const { lora, ids } = await loaded('f32');
    const exact = want('logits');
    const ours = distance(await lora.model.forward(ids).data(), exact);
    expect(ours).toBeLessThanOrEqual(64 * 2 ** -24 * largest(exact) + tolerance);
  });

  it("P6, P33: merges to PEFT's merged weights and logits; every other weight is the base's own", async () => {
    const { lora, base, ids } = await loaded('f64');
    const { model, report } = await lora.merge({ untie: true });
    const merged = new Map([...expected].filter(([k]) => k.startsWith('merged.')).map(([k, g]) => [k.slice(7), numbers(g)])); // prettier-ignore
    const before = base.namedParameters();
    const after = model.namedParameters();
    for (const [path, values] of merged) expectClose(await after.get(path)!.data(), values, tolerance, path);
    for (const [path, t] of after)
      if (!merged.has(path)) expect(t, path).toBe(before.get(path) ?? before.get('transformer.wte.weight'));
    for (const { path, ratio } of report.layers) expect(ratio, path).toBeLessThanOrEqual(1);
    expectClose(await model.forward(ids).data(), want('logits_merged'), tolerance);
    expectClose(await model.forward(ids).data(), await lora.model.forward(ids).data(), 1e-12);
  });

  it('P23: is saved with the same tensors, and loads to the same bits', async () => {
    const { lora, base, ids } = await loaded('f32');
    const folder = memoryFolder();
    await saveAdapter(lora, folder, { baseModel: name.startsWith('peft-mlp') ? '../mlp' : '../gpt2' });
    const source = await folder.open('adapter_model.safetensors');
    const [ours, theirs] = [
      parsed(await source.read(0, source.size)),
      parsed(goldenBytes(`${name}/adapter_model.safetensors`)),
    ];
    if (tolerance < 1e-10) {
      for (const key of theirs.keys()) if (/original_module|modules_to_save\.|lm_head\.base_layer/.test(key)) theirs.delete(key); // prettier-ignore
      expect([...ours.keys()].sort()).toEqual([...theirs.keys()].sort());
      for (const [key, t] of theirs) expect(ours.get(key), key).toEqual(t);
      const text = await folder.readText('adapter_config.json', 1e6);
      const [config, their] = [JSON.parse(text) as Json, jsonOf(goldenBytes(`${name}/adapter_config.json`))];
      for (const key of ['bias', 'lora_dropout', 'use_dora', 'use_rslora', 'peft_type']) expect(config[key], key).toEqual(their[key]); // prettier-ignore
    }
    const { lora: again } = await loadAdapter(base, folder);
    expect(await hashes(again.adapter().tensors())).toEqual(await hashes(lora.adapter().tensors()));
    expect(
      Object.fromEntries([...again.adapter().branches].map(([k, b]) => [k, [b.scale, b.dropout]])),
    ).toEqual(Object.fromEntries([...lora.adapter().branches].map(([k, b]) => [k, [b.scale, b.dropout]])));
    const [z, z2] = [await lora.model.forward(ids).data(), await again.model.forward(ids).data()];
    expect(z2).toEqual(z);
  });
});

describe.each(['peft-several', 'peft-mlp-several', 'peft-mlp-several-head'])(
  'P9, P19, P49: %s: several adapters on one model',
  (name) => {
    const expected = golden(`${name}/expected.safetensors`);
    const want = (key: string): Float64Array => numbers(expected.get(key)!);
    const names = readdirSync(new URL(name, root), { withFileTypes: true }).filter((d) => d.isDirectory()).map((d) => d.name); // prettier-ignore
    const adapterAt = (sub: string): ReturnType<typeof adapterFolder> => goldenFolder(`${name}/${sub}`, ['adapter_config.json', 'adapter_model.safetensors']); // prettier-ignore
    async function all(): Promise<{ lora: LoraModel<Model>; ids: Tensor; adapters: Map<string, Adapter> }> {
      const base = await load(name, 'f64');
      const lora = new LoraModel(base);
      const adapters = new Map<string, Adapter>();
      for (const sub of names) {
        const { adapter } = await readAdapter(base, adapterAt(sub));
        adapters.set(sub, adapter);
        lora.add(sub, adapter);
      }
      return { lora, adapters, ids: idsOf(expected.get('ids')!, backend) };
    }

    it("each alone gives PEFT's logits", async () => {
      const { lora, ids } = await all();
      for (const sub of names) {
        lora.activate(sub);
        expectClose(await lora.model.forward(ids).data(), want(`logits.${sub}`), 1e-13, sub);
      }
    });
    const together = [...expected.keys()].filter((k) => k.startsWith('logits.') && k.includes('+')).map((k) => k.slice(7)); // prettier-ignore
    it.each(together)('together: %s', async (key) => {
      const { lora, ids } = await all();
      const which = key.split('+');
      if (which.includes('d')) {
        expect(await failure(() => lora.activate(which))).toMatch(/uses DoRA: what comes out would depend on their order/); // prettier-ignore
        return;
      }
      lora.activate(which);
      expectClose(await lora.model.forward(ids).data(), want(`logits.${key}`), 1e-13);
      const { model } = await lora.merge();
      const merged = model.namedParameters();
      for (const [k, g] of expected)
        if (k.startsWith(`merged.${key}.`))
          expectClose(await merged.get(k.slice(`merged.${key}.`.length))!.data(), numbers(g), 1e-13, k);
    });
    const rows = [...expected.keys()].filter((k) => k.startsWith('mixed.') && k !== 'mixed.ids').map((k) => k.slice(6)); // prettier-ignore
    it.each(rows)('row by row: %s', async (key) => {
      const { lora } = await all();
      const adapters = key.split('|').map((n) => (n === 'base' ? null : n));
      const ids = idsOf(expected.get('mixed.ids')!, backend);
      if (name.endsWith('-head')) {
        expect(await failure(() => lora.model.forward(ids, { adapters }))).toMatch(
          /'c' trains head\.\w+ whole, so its rows cannot share a batch/,
        );
        return;
      }
      expectClose(await lora.model.forward(ids, { adapters }).data(), want(`mixed.${key}`), 1e-13);
    });
    if (name === 'peft-several')
      it("the weighted sum is PEFT's 'cat' as a function; its file gives PEFT's own logits", async () => {
        const { lora, adapters, ids } = await all();
        const sum = sumAdapters([
          { adapter: adapters.get('a')!, weight: 0.7 },
          { adapter: adapters.get('b')!, weight: -1.5 },
        ]);
        lora.add('sum', sum);
        lora.activate({ a: 0.7, b: -1.5 });
        const active = await lora.model.forward(ids).data();
        lora.activate('sum');
        expectClose(await lora.model.forward(ids).data(), active, 1e-13);
        lora.activate('mix');
        expectClose(await lora.model.forward(ids).data(), want('logits.mix'), 1e-13);
      });
  },
);

describe.each(trainings)(
  "P3, P39, P46: %s: five steps from PEFT's own start are PEFT's five steps",
  (name) => {
    const expected = golden(`${name}/expected.safetensors`);
    const want = (key: string): Float64Array => numbers(expected.get(key)!);

    it.each([
      ['f64', 1e-11],
      ['f32', 2e-3],
    ] as const)('in %s, to %d', async (dtype, tolerance) => {
      const { lora } = await loadAdapter(await load(name, dtype), adapterFolder(name));
      const [ids, targets] = [
        idsOf(expected.get('ids')!, backend),
        targetsOf(expected.get('labels')!, backend),
      ];
      const all = lora.parameters();
      const trained = name.endsWith('lora-fa') ? new Map([...all].filter(([k]) => !k.endsWith('.A'))) : all;
      const optimizer =
        name.includes('loraplus') || name.endsWith('train-bias')
          ? adamW(loraPlus(lora, { ratio: 4, weightDecay: 0.01, embeddingRatio: 2e-3 / 5e-3 }), { lr: 5e-3 })
          : adamW(trained, { lr: 1e-2, weightDecay: 0.01 });
      const params = [...optimizer.params];
      const nameOf = new Map([...all].map(([k, t]) => [t, k]));
      const keys = params.map((p) => peftName(nameOf.get(p)!, (k) => expected.has(`after1.${k}`)));
      for (let step = 0; step < 5; step++) {
        const { value, grads } = valueAndGrad(() => lora.model.loss(ids, targets), params);
        expectClose([await value.item()], [want('losses')[step]!], tolerance, `loss ${step}`);
        if (step === 0)
          for (const [i, g] of grads.entries())
            expectClose(await g.data(), want(`grad.${keys[i]!}`), tolerance, keys[i]!);
        optimizer.step(grads);
        if (step === 0 || step === 4)
          for (const [i, t] of params.entries())
            expectClose(
              await t.data(),
              want(`after${step + 1}.${keys[i]!}`),
              tolerance,
              `${keys[i]!} ${step}`,
            );
      }
    });
  },
);

test("P46: LoRA+'s groups are PEFT's", async () => {
  for (const name of trainings.filter((n) => readdirSync(new URL(n, root)).includes('groups.json'))) {
    const { lora } = await loadAdapter(await load(name, 'f64'), adapterFolder(name));
    const nameOf = new Map([...lora.parameters()].map(([k, t]) => [t, k]));
    const file = jsonOf(readFileSync(new URL(`${name}/groups.json`, root))) as {
      groups: { lr: number; weightDecay: number; parameters: string[] }[];
    };
    const theirs = new Set(
      file.groups.flatMap((g) => g.parameters.map((p) => `${p} ${g.lr} ${g.weightDecay}`)),
    );
    const names = new Set([...theirs].map((line) => line.split(' ')[0]!));
    const ours = loraPlus(lora, { ratio: 4, weightDecay: 0.01, embeddingRatio: 2e-3 / 5e-3 }).flatMap((g) =>
      [...g.params.values()].map(
        (t) => `${peftName(nameOf.get(t)!, (k) => names.has(k))} ${5e-3 * (g.lrRatio ?? 1)} ${g.weightDecay}`,
      ),
    );
    expect(new Set(ours), name).toEqual(theirs);
  }
});
