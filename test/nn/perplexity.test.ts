import { setBackend, tensor, type Tensor } from '@bax/core';
import { cpu } from '@bax/cpu';
import { perplexity } from '@bax/nn';
import fc from 'fast-check';
import { beforeEach, expect, test } from 'vitest';
import { failure } from './files/support.ts';
import { tinyGpt2, tokenIds } from './support/gpt2.ts';
import { modelHashes } from './support/hash.ts';
import { runs } from '../support/runs.ts';

let backend = cpu();
beforeEach(() => setBackend((backend = cpu())));
const text = (n: number, seed = 1): Int32Array => tokenIds(n, 11, seed);

const idsOf = (ids: number[]): Tensor => tensor([ids], { dtype: 'i32' });

test('P37: is e to the mean of −log p(token), by the softmax of the logits of each window', async () => {
  const model = tinyGpt2({ backend, dtype: 'f64' });
  const law = async (n: number, context: number, batch: number, seed: number): Promise<void> => {
    fc.pre(n > context);
    const tokensOf = text(n, seed);
    let [sum, count] = [0, 0];
    for (let at = 0; at + context < n; at += context) {
      const ids = Array.from(tokensOf.subarray(at, at + context));
      const logits = await model.forward(idsOf(ids)).data();
      ids.forEach((_, i) => {
        const z = Array.from(logits.slice(i * 11, (i + 1) * 11));
        const log = Math.log(z.reduce((s, x) => s + Math.exp(x), 0));
        sum += log - z[tokensOf[at + i + 1]!]!;
        count++;
      });
    }
    const progress: number[] = [];
    const found = await perplexity(model, tokensOf, {
      context,
      batch,
      onProgress: ({ done, total }) => progress.push(done, total),
    });
    expect(Math.abs(found - Math.exp(sum / count)) / found).toBeLessThan(1e-12);
    expect(progress.slice(-2)).toEqual([count, count]);
  };
  await fc.assert(
    fc.asyncProperty(
      fc.integer({ min: 2, max: 40 }),
      fc.integer({ min: 1, max: 8 }),
      fc.integer({ min: 1, max: 4 }),
      fc.nat(99),
      law,
    ),
    runs(25),
  );
});

test('a model that knows nothing is as good as a blind guess', async () => {
  const model = tinyGpt2({ backend, dtype: 'f64' });
  backend.write(model.transformer.ln_f.weight.view.buffer, new Float64Array(8));
  backend.write(model.transformer.ln_f.bias.view.buffer, new Float64Array(8));
  expect(await perplexity(model, text(33))).toBeCloseTo(11, 12);
});

test('P52: frees all that it makes: at its end, when aborted, and when something throws', async () => {
  const model = tinyGpt2({ backend });
  const bits = await modelHashes(model);
  await perplexity(model, text(20)); // what stays for good is there now
  const long = text(81);
  const aborter = new AbortController();
  let calls = 0;
  const before = backend.memory();
  await perplexity(model, long, { batch: 2 });
  expect(backend.memory().live).toBe(before.live);
  await expect(
    perplexity(model, long, {
      batch: 1,
      signal: aborter.signal,
      onProgress: () => void (++calls === 2 && aborter.abort()),
    }),
  ).rejects.toThrow('aborted');
  expect(backend.memory().live).toBe(before.live);
  await expect(perplexity(model, long, { signal: AbortSignal.abort() })).rejects.toThrow('aborted');
  expect(backend.memory().live).toBe(before.live);
  expect(await failure(() => perplexity(model, long.with(32, 11), { batch: 1 }))).toBe(
    'crossEntropy: target 11 at position 7 is not one of the 11 classes',
  );
  expect(backend.memory().live).toBe(before.live);
  expect(await failure(() => perplexity(model, long, { context: 9 }))).toBe(
    "gpt2: 9 tokens exceed the model's context of 8",
  );
  expect(backend.memory().live).toBe(before.live);
  await expect(perplexity(model, long, { onProgress: () => { throw new Error('mine'); } })).rejects.toThrow('mine'); // prettier-ignore
  expect(backend.memory().live).toBe(before.live);
  expect(await modelHashes(model)).toEqual(bits);
});

test('too short a text, or no window at all, is refused', async () => {
  const model = tinyGpt2({ backend });
  expect(await failure(() => perplexity(model, text(8)))).toBe(
    'the text has 8 tokens, too few for one window of 8 and the token after it',
  );
  expect(await failure(() => perplexity(model, text(9), { batch: 0 }))).toBe(
    'windows: batch is 0; it must be an integer from 1',
  );
  expect(await failure(() => perplexity(model, text(9), { context: 0 }))).toBe(
    'windows: context is 0; it must be an integer from 1',
  );
});
