import { noGrad, scope, setBackend, tensor } from '@bax/core';
import { cpu } from '@bax/cpu';
import { generate, perplexity, type GenerateOptions, type Gpt2 } from '@bax/nn';
import fc from 'fast-check';
import { beforeEach, describe, expect, it, test, vi } from 'vitest';
import { sampleToken } from '../../packages/nn/src/sample.ts';
import { failure } from './files/support.ts';
import { randomAdapter, tinyGpt2 } from './support/gpt2.ts';
import { modelHashes } from './support/hash.ts';
import { runs } from '../support/runs.ts';

let backend = cpu();
beforeEach(() => setBackend((backend = cpu())));

async function collect(model: Gpt2, prompt: ArrayLike<number>, options?: GenerateOptions): Promise<number[]> {
  const all: number[] = [];
  for await (const token of generate(model, prompt, options)) all.push(token);
  return all;
}
/** The same by the definition: all logits anew for each token, and a draw from the last row. */
async function direct(
  model: Gpt2,
  prompt: readonly number[],
  { maxNewTokens = 0, stopTokens = [], ...sampling }: GenerateOptions,
): Promise<number[]> {
  const seen = [...prompt];
  for (let step = 0; step < maxNewTokens; step++) {
    const logits = scope(() => noGrad(() => model.forward(tensor([seen], { dtype: 'i32' }))));
    const token = sampleToken((await logits.data()).slice(-11), step, sampling);
    logits.dispose();
    if (stopTokens.includes(token)) break;
    seen.push(token);
  }
  return seen.slice(prompt.length);
}

describe('P35: the tokens are those of the whole model, called anew for each', () => {
  const prompts = fc.array(fc.nat(10), { minLength: 1, maxLength: 6 });
  const options = fc.record({
    seed: fc.nat(99),
    temperature: fc.constantFrom(0, 0.5, 1, 1.5),
    topK: fc.constantFrom(2, 5, 11),
    topP: fc.constantFrom(0.6, 0.9, 1),
    stopTokens: fc.constantFrom([], [3], [1, 4, 7]),
    cache: fc.boolean(),
  });
  it.each(['base', 'adapted'])('for the %s model; in f64, so that no rounding decides', async (which) => {
    const base = tinyGpt2({ backend, dtype: 'f64' });
    const model = which === 'base' ? base : randomAdapter(base, { r: 2, targets: ['q', 'c_fc'] }).model;
    const law = async (prompt: number[], given: GenerateOptions, spare: number): Promise<void> => {
      const o = { ...given, maxNewTokens: Math.max(0, 8 - prompt.length - spare) };
      expect(await collect(model, prompt, o)).toEqual(await direct(model, prompt, o));
    };
    await fc.assert(fc.asyncProperty(prompts, options, fc.nat(3), law), runs(25));
  });

  it('with dropout in the configuration, too: without a key there is none', async () => {
    const config = { resid_pdrop: 0.5, embd_pdrop: 0.5, attn_pdrop: 0.5 };
    const [dropping, plain] = [tinyGpt2({ backend, config }), tinyGpt2({ backend })];
    expect(await collect(dropping, [1, 2], { seed: 3 })).toEqual(await collect(plain, [1, 2], { seed: 3 }));
  });
});

test('same seed, same tokens; another seed, others', async () => {
  const model = tinyGpt2({ backend, config: { n_positions: 40 } });
  const [a, b, c, d] = [
    await collect(model, [1], { seed: 1 }),
    await collect(model, [1], { seed: 1 }),
    await collect(model, [1], { seed: 2 }),
    await collect(model, [1]),
  ];
  expect(a).toHaveLength(39);
  expect(b).toEqual(a);
  expect(c).not.toEqual(a);
  expect(d).toEqual(await collect(model, [1], { seed: 0 }));
});

describe('it ends', () => {
  it('with a full context, by default', async () => {
    for (const length of [1, 5, 8])
      expect(await collect(tinyGpt2({ backend }), Array(length).fill(1))).toHaveLength(8 - length);
  });
  it("before a stop token, by default the configuration's end of text", async () => {
    const free = await collect(tinyGpt2({ backend }), [1], { temperature: 0 });
    const stop = free.at(-1)!;
    const first = free.indexOf(stop);
    const model = tinyGpt2({ backend, config: { eos_token_id: stop } });
    expect(await collect(model, [1], { temperature: 0 })).toEqual(free.slice(0, first));
    expect(await collect(model, [1], { temperature: 0, stopTokens: [] })).toEqual(free);
    expect(await collect(model, [1], { temperature: 0, stopTokens: [free[1]!, 99] })).toEqual(
      free.slice(0, free.indexOf(free[1]!)),
    );
  });
  it('after maxNewTokens, also none', async () => {
    expect(await collect(tinyGpt2({ backend }), [1], { maxNewTokens: 0 })).toEqual([]);
    expect(await collect(tinyGpt2({ backend }), [1], { maxNewTokens: 3 })).toHaveLength(3);
  });
  it('when aborted, without an error', async () => {
    const aborter = new AbortController();
    const seen: number[] = [];
    for await (const token of generate(tinyGpt2({ backend }), [1], { signal: aborter.signal })) {
      seen.push(token);
      if (seen.length === 2) aborter.abort();
    }
    expect(seen).toHaveLength(2);
    expect(await collect(tinyGpt2({ backend }), [1], { signal: AbortSignal.abort() })).toEqual([]);
  });
  it('when aborted by a timer, while tokens follow each other without a pause', async () => {
    const aborter = new AbortController();
    const model = tinyGpt2({ backend, config: { n_positions: 10_000 } });
    let [seen, started] = [0, 0];
    for await (const _ of generate(model, [1], { signal: aborter.signal })) {
      if (++seen === 2) {
        started = performance.now();
        setTimeout(() => aborter.abort(), 1);
      }
      if (seen < 2) continue;
      if (performance.now() - started > 2000) throw new Error('the timer had no turn');
    }
    expect(seen).toBeGreaterThan(1);
    expect(aborter.signal.aborted).toBe(true);
  });
});

describe('P52: it leaves the model as it was, and no memory behind', () => {
  it.each([true, false])(
    'at its end, after an early break, an abort, and an error; cache %s',
    async (cache) => {
      const model = tinyGpt2({ backend });
      await collect(model, [1], { cache }); // positions and the like stay for good
      const [bits, { live, buffers }] = [await modelHashes(model), backend.memory()];
      const expectSame = (): void => expect(backend.memory()).toMatchObject({ live, buffers });
      await collect(model, [1, 2], { cache });
      expectSame();
      for await (const token of generate(model, [1, 2], { cache })) if (token >= 0) break;
      expectSame();
      const aborter = new AbortController();
      for await (const _ of generate(model, [1, 2], { cache, signal: aborter.signal })) aborter.abort();
      expectSame();
      await expect(
        (async () => {
          for await (const _ of generate(model, [1, 2], { cache })) throw new Error('mine');
        })(),
      ).rejects.toThrow('mine');
      expectSame();
      await failure(() => collect(model, [1, 11], { cache }));
      expectSame();
      const running = generate(model, [1, 2], { cache });
      await running.next();
      expect(backend.memory().buffers).toBe(buffers + (cache ? 4 : 0)); // keys and values of two layers
      await running.return();
      expectSame();
      expect(await modelHashes(model)).toEqual(bits);
    },
  );

  it('when the device fails to read', async () => {
    const model = tinyGpt2({ backend });
    await collect(model, [1]);
    const { live } = backend.memory();
    const failing = vi.spyOn(backend, 'read').mockRejectedValue(new Error('lost'));
    await expect(collect(model, [1])).rejects.toThrow('lost');
    await expect(perplexity(model, new Int32Array(20))).rejects.toThrow('lost');
    failing.mockRestore();
    expect(backend.memory().live).toBe(live);
  });
});

test('two generations at once do not disturb each other', async () => {
  const model = tinyGpt2({ backend, config: { n_positions: 20 } });
  const alone = [await collect(model, [1, 2], { seed: 1 }), await collect(model, [3], { seed: 2 })];
  expect(await Promise.all([collect(model, [1, 2], { seed: 1 }), collect(model, [3], { seed: 2 })])).toEqual(
    alone,
  );
});

test.each([
  [[], {}, 'generate: the prompt is empty; give at least one token'],
  [
    Array(9).fill(1),
    {},
    "generate: a prompt of 9 tokens and -1 new ones do not fit the model's context of 8; ask for at most 0",
  ],
  [
    [1, 2],
    { maxNewTokens: 7 },
    "generate: a prompt of 2 tokens and 7 new ones do not fit the model's context of 8; ask for at most 6",
  ],
  [
    [1],
    { maxNewTokens: -1 },
    "generate: a prompt of 1 tokens and -1 new ones do not fit the model's context of 8; ask for at most 7",
  ],
  [
    [1],
    { maxNewTokens: 1.5 },
    "generate: a prompt of 1 tokens and 1.5 new ones do not fit the model's context of 8; ask for at most 7",
  ],
  [[1, 11], {}, 'gpt2: token 11 at position 1 is outside of the vocabulary of 11'],
  [[-1], {}, 'gpt2: token -1 at position 0 is outside of the vocabulary of 11'],
  [[1.5], {}, "tensor: value 0 is 1.5, which i32 cannot hold; pass { dtype: 'f32' }"],
])('a prompt %j with %j is refused', async (prompt: number[], options, why) => {
  expect(await failure(() => collect(tinyGpt2({ backend }), prompt, options))).toBe(why);
});
