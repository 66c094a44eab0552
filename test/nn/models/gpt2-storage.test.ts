/** GPT-2 with its matrices held in f16 or bf16. Of cpu bits are demanded: it sums in one order, whatever a weight is held in. */
import { assertSameBits } from '@bax/check';
import {
  BaxError,
  bytesOf,
  type HalfFloat,
  key,
  noGrad,
  setBackend,
  type Backend,
  type Tensor,
} from '@bax/core';
import { cpu } from '@bax/cpu';
import {
  adamW, attachLora, castModule, compareMerged, generate, loadAdapter, loadGpt2, memoryFolder, openSafetensors, perplexity, planLora, saveAdapter,
  saveGpt2, train, type Gpt2, type LoadOptions,
} from '@bax/nn'; // prettier-ignore
import { beforeEach, describe, expect, it, test, vi } from 'vitest';
import { onEveryBackend } from '../../support/backends.ts';
import { failure } from '../files/support.ts';
import { golden, goldenBytes, gpt2Folder, rewrite, type Change } from '../support/golden.ts';
import { tokens } from '../support/gpt2.ts';
import { modelHashes } from '../support/hash.ts';

let backend = cpu();
beforeEach(() => setBackend((backend = cpu())));

const FILE = 'gpt2/model.safetensors';
const weights = goldenBytes(FILE);
const stored = golden(FILE);
const halves: readonly HalfFloat[] = ['f16', 'bf16'];

/** Mantissa bits and the least exponent of normal numbers. */
const formats = { f16: [10, -14], bf16: [7, -126] } as const;
/** The nearest number of a format, ties to even, by its definition: the oracle. In f64, where all of it is exact. */
function nearest(x: number, storage: HalfFloat): number {
  if (x === 0) return x;
  const [digits, least] = formats[storage];
  const step = 2 ** (Math.max(Math.floor(Math.log2(Math.abs(x))), least) - digits);
  const [low, rest] = [Math.floor(x / step), x / step - Math.floor(x / step)];
  return (rest > 0.5 || (rest === 0.5 && low % 2 !== 0) ? low + 1 : low) * step;
}
/** The bits that stand for a number of a format. */
function patternOf(x: number, storage: HalfFloat): number {
  const [digits, least] = formats[storage];
  const sign = x < 0 || Object.is(x, -0) ? 0x8000 : 0;
  if (x === 0) return sign;
  const e = Math.max(Math.floor(Math.log2(Math.abs(x))), least);
  const mantissa = Math.abs(x) / 2 ** (e - digits); // with its leading one, if it is normal
  return sign + (e - least) * 2 ** digits + mantissa;
}

const isMatrix = (shape: readonly number[]): boolean => shape.length === 2;
const bytes = (data: ArrayBufferView): Uint8Array =>
  new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
/** The golden model with its matrices rounded by the oracle and stored in F32. */
const roundedFolder = (storage: HalfFloat): ReturnType<typeof gpt2Folder> =>
  gpt2Folder({
    'model.safetensors': rewrite(weights, (tensors) => {
      for (const [name, t] of tensors) {
        if (!isMatrix(t.shape)) continue;
        t.bytes = bytes(Float32Array.from(stored.get(name)!.data, (x) => nearest(x, storage)));
      }
    }),
  });
/** The golden model stored in F16 or BF16, the patterns made by the oracle. */
const halfFile = (storage: HalfFloat): Change => ({
  'model.safetensors': rewrite(weights, (tensors) => {
    for (const [name, t] of tensors) {
      t.dtype = storage.toUpperCase();
      t.bytes = bytes(
        Uint16Array.from(stored.get(name)!.data, (x) => patternOf(nearest(x, storage), storage)),
      );
    }
  }),
});
const logitsOf = async (model: Gpt2, on: Backend = backend): Promise<ArrayLike<number>> =>
  noGrad(() => model.forward(tokens(on, [2, 6], 17))).data();

describe.each(halves)('loaded with { storage: %o }', (storage) => {
  it('has exactly the logits of the model whose matrices were rounded and held in f32', async () => {
    const [held, wide] = [await loadGpt2(gpt2Folder(), { storage }), await loadGpt2(roundedFolder(storage))];
    for (const [path, t] of held.namedParameters()) {
      expect([t.dtype, t.storage], path).toEqual(['f32', isMatrix(t.shape) ? storage : 'f32']);
      assertSameBits(await t.data(), await wide.namedParameters().get(path)!.data(), path);
    }
    assertSameBits(await logitsOf(held), await logitsOf(wide), 'logits');
    expect(await logitsOf(held)).not.toEqual(await logitsOf(await loadGpt2(gpt2Folder())));
  });

  it('takes half the memory for its matrices, to the byte', async () => {
    const expected = [...stored.values()].reduce((n, { shape, data }) => n + data.length * (isMatrix(shape) ? 2 : 4), 0); // prettier-ignore
    const model = await loadGpt2(gpt2Folder(), { storage });
    expect([backend.memory().live, model.parameterBytes]).toEqual([expected, expected]);
    model.dispose();
    expect(backend.memory().live).toBe(0);
    await loadGpt2(gpt2Folder());
    expect(backend.memory().live).toBe([...stored.values()].reduce((n, { data }) => n + 4 * data.length, 0));
  });

  it("a file's own patterns go to the device as they are, and no wide copy is made on the host", async () => {
    const folder = gpt2Folder(halfFile(storage));
    const file = await openSafetensors(await folder.open('model.safetensors'));
    let longest = 0;
    const Real = Float32Array;
    vi.stubGlobal(
      'Float32Array',
      new Proxy(Real, {
        construct(target, args: [number]) {
          const made = new target(...args);
          longest = Math.max(longest, made.length);
          return made;
        },
      }),
    );
    const model = await loadGpt2(folder, { storage }).finally(() => vi.unstubAllGlobals());
    expect(longest).toBeLessThanOrEqual(48); // a bias: the smallest matrix is longer
    for (const [path, t] of model.namedParameters())
      if (isMatrix(t.shape)) expect(await t.held(), path).toEqual((await file.read(path)).data);
      else expect(await t.data(), path).toEqual(await file.readFloat(path));
  });

  it('is saved as it is: loaded again it is the same, in the type it is held in and in F32', async () => {
    const model = await loadGpt2(gpt2Folder(), { storage });
    for (const dtype of ['F32', storage === 'f16' ? 'F16' : 'BF16'] as const) {
      const folder = memoryFolder();
      await saveGpt2(model, folder, { dtype });
      const again = await loadGpt2(folder, { storage });
      for (const [path, t] of again.namedParameters())
        if (isMatrix(t.shape))
          expect(await t.held(), path).toEqual(await model.namedParameters().get(path)!.held());
    }
  });

  it('generates, and has the perplexity, of the rounded model', async () => {
    const [held, wide] = [await loadGpt2(gpt2Folder(), { storage }), await loadGpt2(roundedFolder(storage))];
    const text = Int32Array.from({ length: 40 }, (_, i) => (i * 5) % 17);
    const said = async (model: Gpt2): Promise<number[]> => {
      const all: number[] = [];
      for await (const token of generate(model, [1, 2], { maxNewTokens: 4 })) all.push(token);
      return all;
    };
    expect(await said(held)).toEqual(await said(wide));
    const options = { context: 8 };
    expect(await perplexity(held, text, options)).toEqual(await perplexity(wide, text, options));
  });

  it('widened: castModule makes a model of f32 with memory of its own, which can be trained', async () => {
    const held = await loadGpt2(gpt2Folder(), { storage });
    const wide = castModule(held, 'f32');
    assertSameBits(await logitsOf(wide), await logitsOf(held), 'logits');
    for (const p of wide.parameters()) expect(p.storage).toBe('f32');
    adamW(wide.namedParameters()).dispose();
  });
});

const steps = async (
  model: Gpt2,
  on: Backend,
  parameters: ReadonlyMap<string, Tensor>,
): Promise<number[]> => {
  const optimizer = adamW(parameters, { lr: 0.02 });
  const ids = { ids: tokens(on, [2, 6], 17, 3), targets: tokens(on, [2, 6], 17, 4), validTokens: 12 };
  const { losses } = await train({
    batches: () => ids,
    loss: ({ ids: x, targets }) => model.loss(x, targets),
    optimizer,
    steps: 8,
  });
  optimizer.dispose();
  return losses;
};

onEveryBackend((on) => {
  it.each(halves)(
    'LoRA trains, is saved, loaded and merged on a base held in %s (P5, P33, P34)',
    async (storage) => {
      const { backend: here } = on;
      const base = await loadGpt2(gpt2Folder(), { storage, backend: here });
      const wide = await loadGpt2(roundedFolder(storage), { backend: here });
      const bits = await modelHashes(base);
      const plan = planLora(base, { r: 2, targets: ['q', 'v', 'c_fc'] });
      expect(plan.bytes).toBe(4 * plan.parameters); // A and B are f32
      const [lora, other] = await Promise.all([base, wide].map(async (model) => attachLora(model, planLora(model, plan.config), { key: key(1) }))); // prettier-ignore
      const [losses, expected] = [await steps(lora!.model, here, lora!.parameters()), await steps(other!.model, here, other!.parameters())]; // prettier-ignore
      expect(losses.at(-1)!).toBeLessThan(0.9 * losses[0]!);
      losses.forEach((loss, i) => expect(Math.abs(loss - expected[i]!)).toBeLessThan(1e-4));
      if (here.name === 'cpu') expect(losses).toEqual(expected);
      expect(await modelHashes(base)).toEqual(bits);

      const { model: merged, report } = await lora!.merge();
      expect(report.worst.ratio).toBeLessThanOrEqual(1);
      for (const path of lora!.layers.keys()) expect(merged.namedParameters().get(`${path}.weight`)!.storage).toBe('f32'); // prettier-ignore
      expect(merged.namedParameters().get('transformer.wte.weight')!.storage).toBe(storage);
      const { difference, bound } = await compareMerged(lora!.model, merged, tokens(here, [2, 6], 17), 2);
      expect(difference).toBeLessThanOrEqual(bound);

      const folder = memoryFolder();
      await saveAdapter(lora!, folder);
      const loaded = await loadAdapter(base, folder);
      assertSameBits(
        await logitsOf(loaded.lora.model, here),
        await logitsOf(lora!.model, here),
        'a loaded adapter',
      );
      await saveGpt2(merged, memoryFolder());
    },
  );

  test('memory: the base in f16 takes less than the base in f32', async () => {
    const taken = async (options: LoadOptions): Promise<number> => {
      const before = on.backend.memory().live;
      const model = await loadGpt2(gpt2Folder(), { backend: on.backend, ...options });
      const live = on.backend.memory().live - before;
      model.dispose();
      return live;
    };
    expect(await taken({ storage: 'f16' })).toBeLessThan(0.75 * (await taken({})));
  });
});

describe('refused by name', () => {
  const load = (options: LoadOptions, change: Change = {}): Promise<string> =>
    failure(() => loadGpt2(gpt2Folder(change), { backend, ...options }));

  it('training what is held narrow', async () => {
    const model = await loadGpt2(gpt2Folder(), { storage: 'f16' });
    expect(() => adamW(model.namedParameters())).toThrow(
      new BaxError(
        "adamW: parameter 'transformer.wte.weight' is held in f16, and what is held so is frozen: a step would be rounded away; load the model with { storage: 'f32' } to train all of it, or train an adapter",
      ),
    );
    adamW([...model.namedParameters()].filter(([, p]) => p.storage === 'f32').map(([, p]) => p)).dispose();
  });

  it('options that do not fit together', async () => {
    expect(await load({ dtype: 'f64', storage: 'f16' })).toBe(
      'loadGpt2: what is held in f16 computes as f32, and dtype is f64; leave out one of them',
    );
    // @ts-expect-error -- what JavaScript may pass
    expect(await load({ storage: 'q4' })).toBe("loadGpt2: storage is 'q4'; choose f32, f16 or bf16");
  });

  it('a number that rounds to infinity; nothing stays in memory', async () => {
    const large = (x: number): Change => ({
      'model.safetensors': rewrite(weights, (tensors) => {
        new Float32Array(tensors.get('transformer.h.1.mlp.c_fc.weight')!.bytes.buffer)[5] = x;
      }),
    });
    const where = "safetensors: gpt2/model.safetensors: tensor 'transformer.h.1.mlp.c_fc.weight' holds";
    expect(await load({ storage: 'f16' }, large(-65520))).toBe(`${where} -65520, which f16 rounds to infinity; take bf16 or f32`); // prettier-ignore
    expect(await load({ storage: 'bf16' }, large(3.4e38))).toBe(
      `${where} ${Math.fround(3.4e38)}, which bf16 rounds to infinity; take f32`,
    );
    expect(backend.memory().buffers).toBe(0);
    const model = await loadGpt2(gpt2Folder(large(-65519)), { storage: 'f16' });
    expect((await model.namedParameters().get('transformer.h.1.mlp.c_fc.weight')!.data())[5]).toBe(-65504);
    expect(model.parameters().every((p) => p.bytes === p.size * bytesOf(p.storage))).toBe(true);
  });
});
