import { key, mul, setBackend, tensor, valueAndGrad, type Backend, type Tensor } from '@bax/core';
import { adamW, createGpt2, generate, gpt2Config, loadGpt2, train, type Gpt2 } from '@bax/nn';
import { beforeEach, describe, expect, it, test } from 'vitest';
import { backendCases, onEveryBackend } from '../../support/backends.ts';
import { golden, gpt2Folder, idsOf, targetsOf } from '../support/golden.ts';
import { modelHashes } from '../support/hash.ts';
import { distance, expectClose, largest } from '../support/numbers.ts';

const expected = golden('gpt2/expected.safetensors');
const trained = golden('gpt2-train/expected.safetensors');
const numbers = (name: string, from = expected): Float64Array => Float64Array.from(from.get(name)!.data);

const twoBackends = backendCases.filter(({ name }) => ['cpu', 'wasm'].includes(name));
onEveryBackend((on) => {
  let backend: Backend;
  beforeEach(() => setBackend((backend = on.backend)));
  const load = (dtype: 'f32' | 'f64'): Promise<Gpt2> => loadGpt2(gpt2Folder(), { dtype, backend });
  const batch = (from = expected): [Tensor, Tensor] => [
    idsOf(from.get('ids')!, backend),
    targetsOf(from.get('labels')!, backend),
  ];
  /** Logits, loss and every gradient by name. */
  async function results(model: Gpt2): Promise<Map<string, ArrayLike<number>>> {
    const [ids, targets] = batch();
    const parameters = model.namedParameters();
    const { value, grads } = valueAndGrad(() => model.loss(ids, targets), [...parameters.values()]);
    const found = new Map<string, ArrayLike<number>>([
      ['logits', await model.forward(ids).data()],
      ['loss', await value.data()],
    ]);
    for (const [i, name] of [...parameters.keys()].entries())
      found.set(`grad.${name}`, await grads[i]!.data());
    return found;
  }

  describe("P37, P59: transformers' GPT-2, its logits, its loss and the gradient of every parameter", () => {
    it('in f64, to 1e-13', async () => {
      const found = await results(await load('f64'));
      const names = [...expected.keys()].filter((name) => /^(logits|loss|grad\..*)$/.test(name));
      expect([...found.keys()].sort()).toEqual(names.sort());
      for (const [name, values] of found) expectClose(values, numbers(name), 1e-13, name);
    });

    it('in f32, as near to f64 as PyTorch comes', async () => {
      const found = await results(await load('f32'));
      const [ours, theirs] = [
        { error: 0, size: 0 },
        { error: 0, size: 0 },
      ];
      for (const [name, values] of found) {
        const exact = numbers(name);
        const size = largest(exact);
        const torch = numbers(name.replace(/^(logits|loss|grad)/, '$1_f32'));
        ours.error = Math.max(ours.error, distance(values, exact) / size);
        theirs.error = Math.max(theirs.error, distance(torch, exact) / size);
      }
      expect(ours.error).toBeLessThanOrEqual(4 * theirs.error + 8 * 2 ** -24);
    });

    it('and the hidden states of each block', async () => {
      const model = await load('f64');
      const [ids] = batch();
      const { wte, wpe, h } = model.transformer;
      const places = tensor([...Array(9).keys()], { dtype: 'i32' });
      let x = wte.forward(ids).add(wpe.forward(places));
      expectClose(await x.data(), numbers('hidden.0'), 1e-14);
      x = h[0]!.forward(x, {}, 0);
      expectClose(await x.data(), numbers('hidden.1'), 1e-13);
      expectClose(await model.transformer.forward(ids).data(), numbers('hidden.2'), 1e-13);
    });
  });

  test.each(['f32', 'f64'] as const)(
    "greedy generation gives transformers' tokens in %s, with and without cache",
    async (dtype) => {
      const model = await load(dtype);
      const prompt = expected.get('greedy.prompt')!.data;
      for (const cache of [true, false]) {
        const tokens = Array.from(prompt);
        for await (const token of generate(model, prompt, { temperature: 0, maxNewTokens: 6, cache }))
          tokens.push(token);
        expect(tokens).toEqual(Array.from(expected.get('greedy.tokens')!.data));
      }
    },
  );

  describe("five AdamW steps of every parameter are PyTorch's", () => {
    const losses = numbers('losses', trained);
    const norms = numbers('norms', trained);
    const options = { lr: 1e-3, weightDecay: 0.01 };

    // The softmax does not feel a bias of the keys: its gradient is 0, and Adam makes steps of the size of lr of its rounding.
    const felt = (name: string, values: ArrayLike<number>): number[] =>
      Array.from(values).filter((_, i) => !name.endsWith('c_attn.bias') || i < 12 || i >= 24);

    it('in f64, with its c / (norm + 1e-6) clipping, to 1e-12', async () => {
      const model = await load('f64');
      const [ids, targets] = batch(trained);
      const named = model.namedParameters();
      const params = [...named.values()];
      const optimizer = adamW(named, options);
      for (let step = 0; step < 5; step++) {
        const { value, grads } = valueAndGrad(() => model.loss(ids, targets), params);
        let square = 0;
        for (const g of grads) for (const x of await g.data()) square += x * x;
        const norm = Math.sqrt(square);
        expectClose([await value.item(), norm], [losses[step]!, norms[step]!], 1e-12);
        optimizer.step(grads.map((g) => mul(g, Math.min(1, 1 / (norm + 1e-6)))));
        if (step === 0 || step === 4)
          for (const [name, p] of named)
            expectClose(
              felt(name, await p.data()),
              felt(name, numbers(`after${step + 1}.${name}`, trained)),
              1e-12,
              name,
            );
      }
    });

    it.each([
      ['f64', 1e-6],
      ['f32', 1e-4],
    ] as const)(
      "in %s, through train() and its own clipping, to %d: Adam's steps do not feel a factor near 1",
      async (dtype, tolerance) => {
        const model = await load(dtype);
        const seen: number[] = [];
        const { losses: found } = await train({
          loss: ({ ids, targets }, context) => model.loss(ids, targets, context),
          batches: () => {
            const [ids, targets] = batch(trained);
            return { ids, targets, validTokens: 12 };
          },
          steps: 5,
          clip: 1,
          optimizer: adamW(model.namedParameters(), options),
          onStep: ({ gradNorm }) => void seen.push(gradNorm),
        });
        expectClose(found, losses, tolerance);
        expectClose(seen, norms, tolerance);
        for (const [name, p] of model.namedParameters())
          expectClose(
            felt(name, await p.data()),
            felt(name, numbers(`after5.${name}`, trained)),
            tolerance,
            name,
          );
      },
    );
  });

  describe('a new model', () => {
    const config = gpt2Config({ n_layer: 3, n_embd: 48, n_head: 4, vocab_size: 500, n_positions: 100 });
    const create = (seed: number): Gpt2 => createGpt2(config, { key: key(seed) });
    const spread = (x: ArrayLike<number>): number =>
      Math.sqrt(Array.from(x).reduce((sum, v) => sum + v * v, 0) / x.length);

    it("begins as GPT-2's paper has it: normal, those into the residual stream smaller by √(2 · layers), gains 1 and biases 0", async () => {
      for (const [path, t] of create(1).namedParameters()) {
        const values = await t.data();
        if (path.endsWith('bias')) expect(largest(values), path).toBe(0);
        else if (path.includes('ln_'))
          expect(
            values.every((v) => v === 1),
            path,
          ).toBe(true);
        else {
          const sigma = path.endsWith('c_proj.weight') ? 0.02 / Math.sqrt(6) : 0.02;
          expect(Math.abs(spread(values) / sigma - 1), path).toBeLessThan(5 / Math.sqrt(2 * values.length));
        }
      }
    });
    it('P43: of the same key has the same bits; each parameter is a stream of its own', async () => {
      const [a, b, c] = await Promise.all([create(1), create(1), create(2)].map((m) => modelHashes(m)));
      expect(b).toEqual(a);
      const drawn = Object.entries({ ...a }).filter(([path]) => /(wte|wpe|c_\w+)\.weight$/.test(path));
      expect(drawn).toHaveLength(2 + 4 * 3);
      for (const [path, hash] of drawn) expect(c![path], path).not.toBe(hash);
      const [first, second] = [0, 1].map((i) =>
        create(1).namedParameters().get(`transformer.h.${i}.attn.c_attn.weight`)!,
      );
      expect(await first!.data()).not.toEqual(await second!.data());
    });
  });
}, twoBackends);
