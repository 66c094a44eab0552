import { assertSameBits } from '@bax/check';
import { BaxError, setBackend } from '@bax/core';
import { cpu } from '@bax/cpu';
import { loadGpt2, memoryFolder, saveGpt2, type WritableFolder } from '@bax/nn';
import fc from 'fast-check';
import { beforeEach, describe, expect, it, test } from 'vitest';
import { failure } from '../files/support.ts';
import {
  f32Bytes,
  golden,
  goldenBytes,
  gpt2Folder,
  headerOf,
  rewrite,
  type Change,
  type Raw,
} from '../support/golden.ts';
import { randomAdapter, tinyGpt2, tokens } from '../support/gpt2.ts';
import { modelHashes } from '../support/hash.ts';
import { runs } from '../../support/runs.ts';

let backend = cpu();
beforeEach(() => setBackend((backend = cpu())));

const FILE = 'gpt2/model.safetensors';
const weights = goldenBytes(FILE);
const config = JSON.parse(new TextDecoder().decode(goldenBytes('gpt2/config.json'))) as Record<
  string,
  unknown
>;
const stored = golden(FILE);
const rewritten = (
  change: (tensors: Map<string, Raw>, metadata: Record<string, string>) => void,
): Change => ({
  'model.safetensors': rewrite(weights, change),
});
const reconfigured = (change: Record<string, unknown>): Change => ({
  'config.json': JSON.stringify({ ...config, ...change }),
});

/** Loads to the golden weights, bit for bit. */
async function expectGolden(change: Change): Promise<void> {
  const model = await loadGpt2(gpt2Folder(change), { backend });
  const parameters = model.namedParameters();
  expect([...parameters.keys()].sort()).toEqual([...stored.keys()].sort());
  for (const [path, t] of parameters) expect(await t.data(), path).toEqual(stored.get(path)!.data);
}

describe('a directory that transformers wrote', () => {
  it('is read bit for bit', () => expectGolden({}));

  it("also under the Hub's first names, without the prefix", () =>
    expectGolden(rewritten((tensors) => {
      const old = [...tensors];
      tensors.clear();
      for (const [name, t] of old) tensors.set(name.replace('transformer.', ''), t);
    }))); // prettier-ignore

  it('with the causal masks of old checkpoints', () =>
    expectGolden(rewritten((tensors) => {
      const mask = { dtype: 'U8', shape: [1, 1, 2, 2], bytes: Uint8Array.of(1, 0, 1, 1) };
      tensors.set('transformer.h.0.attn.bias', mask);
      tensors.set('h.1.attn.bias', mask);
      tensors.set('transformer.h.1.attn.masked_bias', { dtype: 'F32', shape: [], bytes: f32Bytes(-1e4) });
    }))); // prettier-ignore

  it('with the tied head stored again', () =>
    expectGolden(
      rewritten((tensors) => tensors.set('lm_head.weight', tensors.get('transformer.wte.weight')!)),
    ));

  it('with a head of its own', async () => {
    const head = {
      dtype: 'F32',
      shape: [17, 12],
      bytes: f32Bytes(...Array.from({ length: 204 }, (_, i) => i)),
    };
    const change = {
      ...rewritten((t) => t.set('lm_head.weight', head)),
      ...reconfigured({ tie_word_embeddings: false }),
    };
    const model = await loadGpt2(gpt2Folder(change));
    expect(model.tied).toEqual({});
    expect(Array.from(await model.namedParameters().get('lm_head.weight')!.data())).toEqual([
      ...Array(204).keys(),
    ]);
  });

  it('widened to f64 without loss', async () => {
    const model = await loadGpt2(gpt2Folder(), { dtype: 'f64' });
    for (const [path, t] of model.namedParameters())
      expect(await t.data(), path).toEqual(Float64Array.from(stored.get(path)!.data));
  });

  it('reports every byte', async () => {
    const seen: { done: number; total: number }[] = [];
    await loadGpt2(gpt2Folder(), { onProgress: (p) => seen.push(p) });
    const total = [...stored.values()].reduce((n, { data }) => n + data.byteLength, 0);
    expect(seen).toHaveLength(stored.size);
    expect(seen.at(-1)).toEqual({ done: total, total });
    seen.forEach(({ done }, i) => expect(done).toBeGreaterThan(i === 0 ? 0 : seen[i - 1]!.done));
  });
});

describe('a directory that is not right is refused, by name, and leaves nothing in memory', () => {
  async function refused(change: Change, options = {}): Promise<string> {
    const message = await failure(() => loadGpt2(gpt2Folder(change), { backend, ...options }));
    expect(backend.memory().buffers).toBe(0);
    return message;
  }
  const path = 'transformer.h.1.mlp.c_fc.weight';

  it('missing files', async () => {
    expect(await refused({ 'config.json': undefined })).toBe(
      'loadGpt2: gpt2 is not a model directory: it has no config.json',
    );
    expect(await refused({ 'model.safetensors': undefined })).toBe(
      'loadGpt2: gpt2 has no model.safetensors; save the model with safe_serialization=True',
    );
    expect(await refused({ 'model.safetensors': undefined, 'model.safetensors.index.json': '{}' })).toBe(
      'loadGpt2: gpt2 holds its weights in several files; save the model with max_shard_size="100GB"',
    );
  });
  it('a configuration that is none', async () => {
    expect(await refused({ 'config.json': '3' })).toBe('gpt2/config.json: expected a JSON object');
    expect(await refused({ 'config.json': '{' })).toBe(
      'gpt2/config.json: expected a key in double quotes at offset 1 (line 1, column 2)',
    );
    expect(await refused(reconfigured({ model_type: undefined }))).toBe(
      'gpt2/config.json: has no model_type; a GPT-2 directory says "gpt2"',
    );
    expect(await refused(reconfigured({ model_type: 'gpt_neox' }))).toBe(
      `gpt2/config.json: model_type is "gpt_neox"; this loader reads 'gpt2'`,
    );
    expect(await refused({ 'config.json': ' '.repeat(2 ** 20 + 1) })).toBe(
      'gpt2/config.json: is 1048577 bytes long, more than the 1048576 that are read as text',
    );
  });
  it('a weight that is missing, misshaped or left over', async () => {
    expect(await refused(rewritten((t) => t.delete(path)))).toBe(`loadGpt2: ${FILE} lacks ${path} [12, 48]`);
    expect(await refused(rewritten((t) => void (t.get(path)!.shape = [48, 12])))).toBe(
      `loadGpt2: ${FILE}: ${path} is [48, 12], config.json asks for [12, 48]`,
    );
    expect(
      await refused(
        rewritten((t) => t.set('transformer.h.2.ln_1.weight', t.get('transformer.ln_f.weight')!)),
      ),
    ).toBe(`loadGpt2: ${FILE} holds 1 tensors that GPT-2 has not: transformer.h.2.ln_1.weight`);
    expect(await refused(rewritten((t) => t.set('wte.weight', t.get('transformer.wte.weight')!)))).toBe(
      `loadGpt2: ${FILE} holds transformer.wte.weight twice, with its prefix and without`,
    );
    expect(await refused(reconfigured({ n_layer: 3 }))).toBe(
      `loadGpt2: ${FILE} lacks transformer.h.2.ln_1.weight [12]`,
    );
    expect(await refused(reconfigured({ n_layer: 1 }))).toMatch(
      /^loadGpt2: gpt2\/model.safetensors holds 12 tensors that GPT-2 has not: transformer.h.1.attn.c_attn.bias, (\S+, ){3}\S+$/,
    );
    expect(await refused(reconfigured({ n_embd: 24 }))).toBe(
      `loadGpt2: ${FILE}: transformer.wte.weight is [17, 12], config.json asks for [17, 24]`,
    );
    expect(await refused(reconfigured({ vocab_size: 2 ** 24, n_embd: 2 ** 22, n_head: 1 }))).toBe(
      `loadGpt2: ${FILE}: transformer.wte.weight is [17, 12], config.json asks for [16777216, 4194304]`,
    );
    expect(await refused(reconfigured({ tie_word_embeddings: false }))).toBe(
      `loadGpt2: ${FILE} lacks lm_head.weight [17, 12]`,
    );
  });
  it('a weight of integers, or of f64 where f32 was asked for', async () => {
    const as = (dtype: string, bytes: number) =>
      rewritten((t) =>
        t.set('transformer.ln_f.bias', { dtype, shape: [12], bytes: new Uint8Array(12 * bytes) }),
      );
    expect(await refused(as('I32', 4))).toBe(
      `safetensors: ${FILE}: tensor 'transformer.ln_f.bias' holds I32, not floats; use read()`,
    );
    expect(await refused(as('F64', 8))).toBe(
      `safetensors: ${FILE}: tensor 'transformer.ln_f.bias' is F64 and would be rounded to f32; read it as 'f64'`,
    );
    await expect(loadGpt2(gpt2Folder(as('F64', 8)), { dtype: 'f64' })).resolves.toBeDefined();
  });
  it('a file that was cut', async () => {
    for (const length of [0, 5, 400, weights.length - 1])
      expect(await refused({ 'model.safetensors': weights.slice(0, length) })).toMatch(
        /^safetensors: gpt2\/model\.safetensors: /,
      );
  });
  it('an abort, and a progress report that throws', async () => {
    const aborter = new AbortController();
    let calls = 0;
    const onProgress = (): void => void (++calls === 3 && aborter.abort());
    await expect(loadGpt2(gpt2Folder(), { backend, signal: aborter.signal, onProgress })).rejects.toThrow(
      'aborted',
    );
    expect({ calls, buffers: backend.memory().buffers }).toEqual({ calls: 3, buffers: 0 });
    const thrown = new Error('mine');
    await expect(loadGpt2(gpt2Folder(), { backend, onProgress: () => { throw thrown; } })).rejects.toBe(thrown); // prettier-ignore
    expect(backend.memory().buffers).toBe(0);
  });
});

test('P60: a spoiled file gives an error of ours or a model that computes, and no memory is lost', async () => {
  const place = fc.oneof(fc.nat(weights.length - 1), fc.nat(3000));
  const bytes = fc.oneof(
    fc.tuple(place, fc.nat(255)).map(([i, byte]) => weights.with(i, byte)),
    fc
      .tuple(place, fc.nat(40))
      .map(([i, n]) => Uint8Array.from([...weights.subarray(0, i), ...weights.subarray(i + n)])),
    fc.nat(weights.length).map((n) => weights.slice(0, n)),
  );
  const law = async (file: Uint8Array): Promise<void> => {
    try {
      const model = await loadGpt2(gpt2Folder({ 'model.safetensors': file }), { backend });
      expect(model.parameterCount).toBe(4188);
      model.dispose();
    } catch (error) {
      expect(error).toBeInstanceOf(BaxError);
    }
    expect(backend.memory().buffers).toBe(0);
  };
  await fc.assert(fc.asyncProperty(bytes, law), runs(150));
});

const bytesOf = async (folder: WritableFolder, name: string): Promise<Uint8Array> => {
  const source = await folder.open(name);
  return source.read(0, source.size);
};

describe('P23: what saveGpt2 writes', () => {
  it("is, in F32, transformers' own file byte for byte", async () => {
    const folder = memoryFolder();
    await saveGpt2(await loadGpt2(gpt2Folder()), folder);
    expect(Buffer.compare(await bytesOf(folder, 'model.safetensors'), weights)).toBe(0);
    const written = JSON.parse(await folder.readText('config.json', 1e5)) as Record<string, unknown>;
    const { torch_dtype, ...rest } = written;
    expect(torch_dtype).toBe('float32');
    expect(config).toMatchObject(rest);
  });

  it.each([
    ['F32', 2 ** -25, 2],
    ['F16', 2 ** -11, 1],
    ['BF16', 2 ** -8, 1],
    ['F64', 0, 4],
  ] as const)(
    'in %s is read back, rounded at most once; and then to the same bits',
    async (dtype, u, halves) => {
      const model = tinyGpt2({ backend, config: { tie_word_embeddings: false, n_inner: 12 } });
      const folder = memoryFolder();
      await saveGpt2(model, folder, { dtype });
      const { header, start } = headerOf(await bytesOf(folder, 'model.safetensors'));
      expect((await bytesOf(folder, 'model.safetensors')).length).toBe(
        start + 2 * halves * model.parameterCount,
      );
      for (const [name, entry] of Object.entries(header))
        if (name !== '__metadata__') expect(entry.dtype).toBe(dtype);
      const again = await loadGpt2(folder, { dtype: dtype === 'F64' ? 'f64' : 'f32' });
      const before = model.namedParameters();
      expect([...again.namedParameters().keys()]).toEqual([...before.keys()]);
      for (const [path, t] of again.namedParameters()) {
        const [x, y] = [await before.get(path)!.data(), await t.data()];
        x.forEach((v, i) =>
          expect(Math.abs(y[i]! - v)).toBeLessThanOrEqual(u * Math.abs(v) + (dtype === 'F16' ? 2 ** -25 : 0)),
        );
        if (dtype === 'F32') expect(y).toEqual(x);
      }
      const second = memoryFolder();
      await saveGpt2(again, second, { dtype });
      expect(
        Buffer.compare(
          await bytesOf(second, 'model.safetensors'),
          await bytesOf(folder, 'model.safetensors'),
        ),
      ).toBe(0);
      expect(await second.readText('config.json', 1e5)).toBe(await folder.readText('config.json', 1e5));
    },
  );

  it.each([
    ['F32', NaN],
    ['F32', Infinity],
    ['F16', 65520], // the first that rounds to infinity
    ['BF16', 3.4e38],
  ] as const)('in %s is refused with a weight of %d, and nothing is written', async (dtype, value) => {
    const model = tinyGpt2({ backend });
    backend.write(model.transformer.h[1]!.ln_2.weight.view.buffer, Float32Array.of(value), 2);
    const folder = memoryFolder();
    expect(await failure(() => saveGpt2(model, folder, { dtype }))).toBe(
      `saveGpt2: transformer.h.1.ln_2.weight holds values that are not finite as ${dtype}; nothing was written`,
    );
    expect(await folder.list()).toEqual([]);
  });
  it('takes the largest numbers of each type', async () => {
    for (const [dtype, value, read] of [['F16', 65519.996, 65504], ['F32', 3.4028234663852886e38, 3.4028234663852886e38], ['BF16', 3.39e38, 3.3895313892515355e38]] as const) {
      const model = tinyGpt2({ backend });
      backend.write(model.transformer.ln_f.weight.view.buffer, Float32Array.of(value));
      const folder = memoryFolder();
      await saveGpt2(model, folder, { dtype });
      const again = await loadGpt2(folder);
      expect((await again.transformer.ln_f.weight.data())[0]).toBe(read);
    } // prettier-ignore
  });

  it("of a model with an adapter is refused: its names would be nobody else's; of the merged one it is not", async () => {
    const model = tinyGpt2({ backend });
    for (const targets of [['q', 'v'], ['lm_head'], 'all-linear'] as const) {
      const lora = randomAdapter(model, { r: 1, targets });
      const folder = memoryFolder();
      expect(await failure(() => saveGpt2(lora.model, folder))).toMatch(
        /^saveGpt2: the model holds \S+, which GPT-2 has not; merge its adapter first, or save that with saveAdapter$/,
      );
      expect(await folder.list()).toEqual([]);
      const { model: merged } = await lora.merge({ untie: true });
      await saveGpt2(merged, folder);
      const again = await loadGpt2(folder);
      expect(await modelHashes(again)).toEqual(await modelHashes(merged));
      const ids = tokens(backend, [2, 4]);
      assertSameBits(await again.forward(ids).data(), await merged.forward(ids).data(), 'logits');
    }
  });

  it('P52: changes nothing in memory', async () => {
    const model = tinyGpt2({ backend });
    const [before, memory] = [await modelHashes(model), backend.memory().live];
    for (const dtype of ['F32', 'F16', 'BF16', 'F64'] as const)
      await saveGpt2(model, memoryFolder(), { dtype });
    expect(await modelHashes(model)).toEqual(before);
    expect(backend.memory().live).toBe(memory);
  });
});
