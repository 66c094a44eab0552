/** P23, P60: files of every kind of adapter, changed in every field: what loads does what was saved, or an error says what is wrong. */
import { sameBits } from '@bax/check';
import { BaxError, noGrad } from '@bax/core';
import { cpu } from '@bax/cpu';
import { type Gpt2, LoraModel, memoryFolder, readAdapter, saveAdapter, type WritableFolder } from '@bax/nn';
import { beforeAll, describe, expect, it } from 'vitest';
import { adapterLike, type Variant, variantNames } from '../../laws/lora/variants.ts';
import { headerOf, type Raw, rewrite } from '../support/golden.ts';
import { tinyGpt2, tokens } from '../support/gpt2.ts';
import { hashes, modelHashes } from '../support/hash.ts';
import { distance, largest } from '../support/numbers.ts';

type Json = null | boolean | number | string | Json[] | { [key: string]: Json };
const WEIGHTS = 'adapter_model.safetensors';
const CONFIG = 'adapter_config.json';
const bytesOf = async (folder: WritableFolder, name: string): Promise<Uint8Array> => {
  const source = await folder.open(name);
  return source.read(0, source.size);
};

/** Every place in a value: the keys on the way to it. */
const placesOf = (json: Json, at: readonly (string | number)[] = []): (readonly (string | number)[])[] =>
  json === null || typeof json !== 'object'
    ? [at]
    : [at, ...Object.entries(json).flatMap(([k, v]) => placesOf(v, [...at, Array.isArray(json) ? Number(k) : k]))]; // prettier-ignore
const get = (json: Json, at: readonly (string | number)[]): Json =>
  at.reduce<Json>((x, k) => (x as Record<string | number, Json>)[k]!, json);
/** The value with another one at a place; undefined takes it away. */
function changed(json: Json, at: readonly (string | number)[], value: Json | undefined): Json {
  if (at.length === 0) return value ?? null;
  const copy = structuredClone(json);
  const [owner, last] = [get(copy, at.slice(0, -1)) as Record<string, Json>, at.at(-1)!];
  if (value !== undefined) owner[last] = value;
  else if (Array.isArray(owner)) owner.splice(Number(last), 1);
  else delete owner[last];
  return copy;
}
/** What to put in the place of a value: others of its type, and of every other type. */
function othersThan(value: Json): (Json | undefined)[] {
  const all: (Json | undefined)[] = [undefined, null, true, false, 0, 1, 2, -1, 0.5, 1e308, '', 'q', 'pissa', '__proto__', [], [1], { constructor: 1 }]; // prettier-ignore
  if (typeof value === 'number') all.push(value + 1, value * 2);
  if (typeof value === 'string') all.push(`${value}x`, value.slice(1));
  return all.filter((other) => JSON.stringify(other) !== JSON.stringify(value));
}

/** Fields that say what an adapter computes, and of which the tensors cannot know: they mean what they say. */
const MEANING = /^(lora_alpha|alpha_pattern|use_rslora|init_lora_weights)/;

describe.each(variantNames)('%s', (variant: Variant) => {
  let model: Gpt2;
  let folder: WritableFolder;
  let config: Json;
  let record: Json;
  let weights: Uint8Array;
  let logits: ArrayLike<number>;
  let bits: Record<string, string>;
  const backend = cpu();
  const run = async (lora: LoraModel<Gpt2>): Promise<ArrayLike<number>> =>
    noGrad(() => lora.model.forward(tokens(backend, [1, 4]))).data();
  const withOnly = (adapter: Parameters<LoraModel<Gpt2>['add']>[1]): LoraModel<Gpt2> => {
    const lora = new LoraModel(model);
    lora.add('a', adapter);
    lora.activate('a');
    return lora;
  };
  beforeAll(async () => {
    model = tinyGpt2({ backend });
    bits = await modelHashes(model);
    const adapter = await adapterLike(model, variant);
    folder = memoryFolder();
    await saveAdapter(withOnly(adapter), folder);
    logits = await run(withOnly(adapter));
    config = JSON.parse(await folder.readText(CONFIG, 1e6)) as Json;
    weights = await bytesOf(folder, WEIGHTS);
    record = JSON.parse((headerOf(weights).header['__metadata__'] as unknown as Record<string, string>)['bax']!) as Json; // prettier-ignore
  });

  /** 'refused', 'equal' or 'other'. What is refused leaves no memory behind. */
  async function outcome(files: Record<string, Uint8Array | string>): Promise<string> {
    const { live } = backend.memory();
    try {
      const { adapter } = await readAdapter(model, memoryFolder({ [CONFIG]: JSON.stringify(config), [WEIGHTS]: weights, ...files })); // prettier-ignore
      // the same function: without its record a pair is one of PEFT's, and its sums have another order
      const same = distance(await run(withOnly(adapter)), logits) < 1e-5 * Math.max(1, largest(logits));
      adapter.dispose();
      return same ? 'equal' : 'other';
    } catch (error) {
      if (!(error instanceof BaxError)) throw error;
      expect(backend.memory().live).toBeLessThanOrEqual(live); // less, where garbage was collected
      return 'refused';
    }
  }
  const withRecord = (other: Json): Uint8Array =>
    rewrite(weights, (_, metadata) => void (metadata['bax'] = JSON.stringify(other)));

  it('P23: is read back to the bit, tensors and logits, and saved again the same', async () => {
    const { adapter, warnings, unknownKeys } = await readAdapter(model, folder);
    expect({ warnings, unknownKeys }).toEqual({ warnings: [], unknownKeys: [] });
    expect(sameBits(await run(withOnly(adapter)), logits)).toBe(true);
    const again = memoryFolder();
    await saveAdapter(withOnly(adapter), again);
    expect(await bytesOf(again, WEIGHTS)).toEqual(weights);
    expect(JSON.parse(await again.readText(CONFIG, 1e6))).toEqual(config);
    const { adapter: third } = await readAdapter(model, again);
    expect(await hashes(third.tensors())).toEqual(await hashes(adapter.tensors()));
    expect([...third.parameters().keys()]).toEqual([...adapter.parameters().keys()]);
  });

  it('P60: any field of the record, changed', async () => {
    const seen = new Map<string, number>();
    for (const at of placesOf(record))
      for (const value of othersThan(get(record, at))) {
        const what = await outcome({ [WEIGHTS]: withRecord(changed(record, at, value)) });
        seen.set(what, (seen.get(what) ?? 0) + 1);
        if (what === 'other')
          throw new Error(`${at.join('.')} = ${JSON.stringify(value)} loads as another adapter`);
      }
    expect(seen.get('refused')).toBeGreaterThan(10);
    expect(await modelHashes(model)).toEqual(bits);
  });

  it('P60: any field of the configuration, changed', async () => {
    const other = new Set<string>();
    for (const at of placesOf(config).slice(1))
      for (const value of othersThan(get(config, at))) {
        const what = await outcome({ [CONFIG]: JSON.stringify(changed(config, at, value)) });
        if (what === 'other' && !MEANING.test(String(at[0]))) other.add(`${at.join('.')} = ${JSON.stringify(value)}`); // prettier-ignore
      }
    expect([...other]).toEqual([]);
    expect(await modelHashes(model)).toEqual(bits);
  });

  it('P60: any tensor missing, misshaped, of another type, renamed or twice', async () => {
    const names = Object.keys(headerOf(weights).header).filter((name) => name !== '__metadata__');
    const changes: ((tensors: Map<string, Raw>, name: string) => void)[] = [
      (t, name) => void t.delete(name),
      (t, name) => void Object.assign(t.get(name)!, { shape: [...t.get(name)!.shape].reverse() }),
      (t, name) => void Object.assign(t.get(name)!, { shape: [t.get(name)!.shape.reduce((a, b) => a * b)] }),
      (t, name) => void Object.assign(t.get(name)!, { shape: [...t.get(name)!.shape, 1] }),
      (t, name) => void Object.assign(t.get(name)!, { dtype: 'I32' }),
      (t, name) => void t.set(name.replace('base_model.model.', ''), t.get(name)!),
      (t, name) => void t.set(`${name}x`, t.get(name)!),
      (t, name) => void t.set(name.replace('transformer', 'base_model'), t.get(name)!),
      (t, name) => (t.set(`${name}.more`, t.get(name)!), void t.delete(name)),
      (t, name) => t.get(name)!.bytes.set(new Uint8Array(Float32Array.of(NaN).buffer)),
    ];
    for (const name of names)
      for (const [i, change] of changes.entries()) {
        const file = rewrite(weights, (tensors) => change(tensors, name));
        const same = JSON.stringify(headerOf(file).header) === JSON.stringify(headerOf(weights).header);
        const square = new Set(headerOf(weights).header[name]!.shape).size === 1;
        if ((same && i < 9) || (square && i === 1) || (i === 2 && headerOf(weights).header[name]!.shape.length === 1)) continue; // prettier-ignore
        expect(await outcome({ [WEIGHTS]: file }), `${name}, change ${i}`).toBe('refused');
      }
    expect(await modelHashes(model)).toEqual(bits);
  });

  it('P60: weights of the base that PEFT adds are taken if they are the base\'s, and refused if one bit differs', async () => {
    const [path] = [...model.namedModules()].find(([p]) => Object.keys(headerOf(weights).header).some((name) => name.startsWith(`base_model.model.${p}.lora_`)) && p !== '')!;
    const own = model.namedParameters().get(path === 'lm_head' ? 'transformer.wte.weight' : `${path}.weight`)!;
    const values = Float32Array.from(await own.data());
    const add = (bytes: Uint8Array, shape: readonly number[] = own.shape): Uint8Array =>
      rewrite(weights, (t) => void t.set(`base_model.model.${path}.base_layer.weight`, { dtype: 'F32', shape, bytes }));
    const bytes = new Uint8Array(values.buffer);
    expect(await outcome({ [WEIGHTS]: add(bytes) })).toBe('equal');
    for (const place of [0, 17, bytes.length - 1]) {
      const turned = bytes.slice();
      turned[place]! ^= 1;
      expect(await outcome({ [WEIGHTS]: add(turned) })).toBe('refused');
    }
    expect(await outcome({ [WEIGHTS]: add(bytes.slice(4 * own.shape[1]!), [own.shape[0]! - 1, own.shape[1]!]) })).toBe('refused');
    expect(await outcome({ [WEIGHTS]: add(bytes.slice(0, -4 * own.shape[1]!), [own.shape[0]! - 1, own.shape[1]!]) })).toBe('refused'); // a prefix
    expect(await outcome({ [WEIGHTS]: add(bytes, [own.size]) })).toBe('refused');
  }); // prettier-ignore
});
