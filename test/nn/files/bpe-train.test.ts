import { readFileSync } from 'node:fs';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { type TokenizerFiles, trainBpe, writeTokenizer } from '../../../packages/nn/src/files/bpe-train.ts';
import { memoryFolder } from '../../../packages/nn/src/files/memory.ts';
import { failure } from './support.ts';
import { runs } from '../../support/runs.ts';

const golden: { texts: string[]; merges: string[] } = JSON.parse(
  readFileSync(new URL('golden/bpe.json', import.meta.url), 'utf8'),
);

interface Model {
  vocab: Record<string, number>;
  merges: [string, string][];
}
const modelOf = (files: TokenizerFiles): Model => files.tokenizer.model as unknown as Model;

test("P49: the merges are those of Hugging Face's trainer", async () => {
  const model = modelOf(await trainBpe(golden.texts, { vocabSize: 420 }));
  expect(model.merges.map((pair) => pair.join(' '))).toEqual(golden.merges);
});

test("the vocabulary is laid out as GPT-2's: bytes, merges, special tokens", async () => {
  const { tokenizer, config } = await trainBpe(['low lower lowest'], {
    vocabSize: 260,
    specialTokens: ['<s>', '<pad>'],
  });
  const { vocab, merges } = tokenizer.model as unknown as Model;
  expect(Object.values(vocab).sort((a, b) => a - b)).toEqual(Array.from({ length: 260 }, (_, i) => i));
  expect([vocab['!'], vocab.A, vocab['Ġ'], vocab['<s>'], vocab['<pad>']]).toEqual([0, 32, 220, 258, 259]);
  expect(merges).toEqual([
    ['l', 'o'],
    ['lo', 'w'],
  ]);
  expect([vocab.lo, vocab.low]).toEqual([256, 257]);
  expect(tokenizer.added_tokens).toMatchObject([
    { id: 258, content: '<s>', special: true, normalized: false },
    { id: 259, content: '<pad>', special: true, normalized: false },
  ]);
  expect(config).toMatchObject({ eos_token: '<s>', clean_up_tokenization_spaces: false });
});

test('the same texts give the same bytes, however they are cut into texts and iterated', async () => {
  async function* slow(): AsyncGenerator<string> {
    yield* golden.texts;
  }
  const all: string[] = [];
  for (const texts of [
    golden.texts,
    slow(),
    [...golden.texts].reverse(),
    [golden.texts.join('<|endoftext|>')],
  ]) {
    const folder = memoryFolder();
    await writeTokenizer(folder, await trainBpe(texts, { vocabSize: 400 }));
    expect(await folder.list()).toEqual(['tokenizer.json', 'tokenizer_config.json']);
    all.push(await folder.readText('tokenizer.json', 1e6));
  }
  expect(new Set(all).size).toBe(1);
});

test('special tokens in a text are not learnt from, whatever signs they hold', async () => {
  const special = ['<|end.of+text|>', '[x]*'];
  const text = `ab${special[0]}ab${special[1]}ab`;
  const { merges } = modelOf(await trainBpe([text], { vocabSize: 300, specialTokens: special }));
  expect(merges).toEqual([['a', 'b']]);
  expect(modelOf(await trainBpe(['abab'], { vocabSize: 300, specialTokens: [] })).merges[0]).toEqual([
    'a',
    'b',
  ]);
});

test('a text too small for the vocabulary gives a smaller one; none gives the bytes', async () => {
  expect(Object.keys(modelOf(await trainBpe([], { vocabSize: 1000 })).vocab)).toHaveLength(257);
  const model = modelOf(await trainBpe(['abc'], { vocabSize: 1000 }));
  expect(model.merges).toEqual([
    ['a', 'b'],
    ['ab', 'c'],
  ]);
  expect(model.vocab['<|endoftext|>']).toBe(258);
});

test('any text trains', async () => {
  const texts = fc.array(fc.string({ unit: 'binary', maxLength: 40 }), { maxLength: 5 });
  await fc.assert(
    fc.asyncProperty(texts, async (list) => {
      const { vocab, merges } = modelOf(await trainBpe(list, { vocabSize: 300 }));
      expect(Object.keys(vocab).length).toBe(new Set(Object.values(vocab)).size);
      for (const [a, b] of merges) expect(vocab[a + b]).toBeGreaterThanOrEqual(256);
    }),
    runs(100),
  );
});

test('an impossible vocabulary is refused', async () => {
  expect(await failure(() => trainBpe([], { vocabSize: 256 }))).toBe(
    'trainBpe: vocabSize 256 is not a whole number from 257 (256 bytes + 1 special tokens) to 2^24',
  );
  expect(await failure(() => trainBpe([], { vocabSize: 300.5 }))).toMatch(/not a whole number/);
  expect(await failure(() => trainBpe([], { vocabSize: 300, specialTokens: ['ab', 'ab'] }))).toBe(
    "trainBpe: special token 'ab' is given twice",
  );
  expect(await failure(() => trainBpe([], { vocabSize: 300, specialTokens: ['a'] }))).toBe(
    "trainBpe: special token 'a' is shorter than two characters",
  );
  expect(await failure(() => trainBpe(['the the'], { vocabSize: 300, specialTokens: ['Ġthe'] }))).toBe(
    "trainBpe: special token 'Ġthe' is spelled like a learnt one",
  );
});

test('training can be aborted before and while it runs', async () => {
  const reason = new Error('the user left');
  const options = { vocabSize: 100_000 };
  await expect(trainBpe(['abc'], { ...options, signal: AbortSignal.abort(reason) })).rejects.toBe(reason);
  const controller = new AbortController();
  setTimeout(() => controller.abort(reason), 100);
  let seed = 1;
  const letter = (): string => String.fromCharCode(97 + ((seed = (seed * 48271) % 2147483647) % 26));
  const text = Array.from({ length: 50_000 }, () => ` ${Array.from({ length: 9 }, letter).join('')}`).join(
    '',
  );
  await expect(trainBpe([text], { ...options, signal: controller.signal })).rejects.toBe(reason);
});
