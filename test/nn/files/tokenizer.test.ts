import { readFileSync } from 'node:fs';
import fc from 'fast-check';
import { beforeAll, describe, expect, test } from 'vitest';
import { type TokenizerFiles, trainBpe, writeTokenizer } from '../../../packages/nn/src/files/bpe-train.ts';
import { BYTE_TO_CHAR } from '../../../packages/nn/src/files/byte-level.ts';
import type { JsonObject } from '../../../packages/nn/src/files/json.ts';
import { memoryFolder } from '../../../packages/nn/src/files/memory.ts';
import { type Tokenizer, loadTokenizer, makeTokenizer } from '../../../packages/nn/src/files/tokenizer.ts';
import { failure } from './support.ts';
import { runs } from '../../support/runs.ts';

const golden: { texts: string[]; sample: string; tokens: string[] } = JSON.parse(
  readFileSync(new URL('golden/bpe.json', import.meta.url), 'utf8'),
);
let files: TokenizerFiles;
let tokenizer: Tokenizer;
beforeAll(async () => {
  files = await trainBpe(golden.texts, { vocabSize: 420 });
  const folder = memoryFolder();
  await writeTokenizer(folder, files);
  tokenizer = await loadTokenizer(folder);
});

test('P49: encodes as Hugging Face does', () => {
  expect([...tokenizer.encode(golden.sample)]).toEqual(golden.tokens.map((token) => tokenizer.idOf(token)));
});

test('its size, its ids and its end of text', () => {
  expect(tokenizer.vocabSize).toBe(420);
  expect(tokenizer.endOfText).toBe(419);
  expect(tokenizer.idOf('<|endoftext|>')).toBe(419);
  expect(tokenizer.idOf('!')).toBe(0);
  expect(tokenizer.idOf('Ġ')).toBe(220);
  expect(tokenizer.idOf('toString')).toBe(undefined);
  expect(tokenizer.encode('<|endoftext|>')).toEqual(Int32Array.of(419));
});

/** The oracle: in each word, join the pair that was merged first, until none is left. */
function naive(text: string): number[] {
  const { merges, vocab } = files.tokenizer.model as unknown as {
    merges: string[][];
    vocab: Record<string, number>;
  };
  const rank = new Map(merges.map((pair, i) => [pair.join(' '), i]));
  const ids: number[] = [];
  for (const word of text.match(
    /'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+/gu,
  ) ?? []) {
    const parts = Array.from(new TextEncoder().encode(word), (byte) => BYTE_TO_CHAR[byte]);
    for (;;) {
      const ranks = parts.slice(1).map((part, i) => rank.get(`${parts[i]} ${part}`) ?? Infinity);
      const best = Math.min(...ranks);
      if (best === Infinity) break;
      const at = ranks.indexOf(best);
      parts.splice(at, 2, parts[at] + parts[at + 1]);
    }
    ids.push(...parts.map((part) => vocab[part]));
  }
  return ids;
}

const alphabets = [
  fc.string({ unit: 'binary', maxLength: 200 }),
  fc.string({ unit: 'grapheme', maxLength: 200 }),
  fc.string({
    unit: fc.constantFrom(...Array.from("aab the. \n\t\u00a0\ufeff\u0085é日😀\u0301's1")),
    maxLength: 200,
  }),
];

describe.each(alphabets.map((text, i) => [i, text] as const))('any text (%i)', (_, text) => {
  test('comes back from its ids', () => {
    fc.assert(
      fc.property(text, (s) => {
        expect(tokenizer.decode(tokenizer.encode(s))).toBe(s);
      }),
      runs(500),
    );
  });
  test('has the ids of the plain algorithm', () => {
    fc.assert(
      fc.property(text, (s) => {
        expect([...tokenizer.encode(s)]).toEqual(naive(s));
      }),
      runs(200),
    );
  });
  test('streams without a broken character', () => {
    fc.assert(
      fc.property(text, (s) => {
        const stream = tokenizer.streamDecoder();
        const pieces = Array.from(tokenizer.encode(s), (id) => stream.push(id));
        if (!s.includes('\ufffd')) expect(pieces.join('')).toBe(s);
        expect(pieces.join('') + stream.flush()).toBe(s);
      }),
      runs(200),
    );
  });
});

test('spaces before punctuation stay, which the library would take away without a config', async () => {
  const bare = makeTokenizer(files.tokenizer);
  const text = "a . b , c ! it 's n't";
  expect(bare.decode(bare.encode(text))).toBe(text);
  expect(bare.endOfText).toBe(419);
});

test('special tokens are skipped when asked', () => {
  const ids = tokenizer.encode('a<|endoftext|>b');
  expect(tokenizer.decode(ids)).toBe('a<|endoftext|>b');
  expect(tokenizer.decode(ids, { skipSpecialTokens: true })).toBe('ab');
  const stream = tokenizer.streamDecoder({ skipSpecialTokens: true });
  expect([...ids].map((id) => stream.push(id))).toEqual(['a', '', 'b']);
  expect(tokenizer.decode([])).toBe('');
});

test('an id outside of the vocabulary is refused', async () => {
  for (const id of [420, -1, 0.5, Number.NaN]) {
    expect(await failure(() => tokenizer.decode([0, id]))).toBe(
      `decode: id ${id} at position 1 is not in the vocabulary (0 to 419)`,
    );
  }
});

test('a folder without a tokenizer says what it holds', async () => {
  expect(await failure(() => loadTokenizer(memoryFolder({}, 'models/x')))).toBe(
    "loadTokenizer: models/x has no tokenizer.json (it is empty); transformers' save_pretrained writes one",
  );
  expect(await failure(() => loadTokenizer(memoryFolder({ 'config.json': '', 'vocab.json': '' }, 'x')))).toBe(
    "loadTokenizer: x has no tokenizer.json (it holds config.json, vocab.json); transformers' save_pretrained writes one",
  );
});

test('P60: a tokenizer.json that is broken or of another kind is refused', async () => {
  const change = (changes: JsonObject): string => JSON.stringify({ ...files.tokenizer, ...changes });
  const cases: [string, RegExp | string][] = [
    ['[]', 'm/tokenizer.json: expected a JSON object'],
    ['{"a":1,"a":2}', 'm/tokenizer.json: duplicate key "a" at offset 7 (line 1, column 8)'],
    ['{}', "loadTokenizer: m/tokenizer.json: has no 'model'; is it a tokenizer.json?"],
    [
      change({ model: { type: 'Magic' } }),
      'loadTokenizer: m/tokenizer.json: a model of type "Magic"; supported are BPE, WordPiece, Unigram, WordLevel',
    ],
    [change({ model: { type: ['BPE'] } }), /a model of type \["BPE"\]; supported are/],
    [
      change({ model: { type: 'BPE' } }),
      /^loadTokenizer: m\/tokenizer.json: is broken or of a kind that is not supported: /,
    ],
    [
      change({ decoder: { type: 'Magic' } }),
      'loadTokenizer: m/tokenizer.json: is broken or of a kind that is not supported: Unknown Decoder type: Magic',
    ],
    [change({ added_tokens: null }), /is broken or of a kind that is not supported/],
  ];
  for (const [text, message] of cases) {
    const said = await failure(() => loadTokenizer(memoryFolder({ 'tokenizer.json': text }, 'm')));
    if (typeof message === 'string') expect(said).toBe(message);
    else expect(said).toMatch(message);
  }
});

/** Other kinds of models, by hand: what each must do is plain to see. */
const plain = { added_tokens: [], normalizer: null, post_processor: null, decoder: null };
const whitespace = { type: 'Whitespace' };

test('WordPiece: with [CLS] and [SEP] unless told otherwise', () => {
  const vocab = Object.fromEntries(
    ['[UNK]', '[CLS]', '[SEP]', 'un', '##aff', '##able', 'cat'].map((t, i) => [t, i]),
  );
  const t = makeTokenizer({
    ...plain,
    pre_tokenizer: whitespace,
    post_processor: { type: 'BertProcessing', sep: ['[SEP]', 2], cls: ['[CLS]', 1] },
    decoder: { type: 'WordPiece', prefix: '##', cleanup: true },
    model: {
      type: 'WordPiece',
      unk_token: '[UNK]',
      continuing_subword_prefix: '##',
      max_input_chars_per_word: 100,
      vocab,
    },
  });
  expect([...t.encode('unaffable dog')]).toEqual([1, 3, 4, 5, 0, 2]);
  expect([...t.encode('unaffable cat', { addSpecialTokens: false })]).toEqual([3, 4, 5, 6]);
  expect(t.decode([3, 4, 5, 6])).toBe('unaffable cat');
  expect(t.endOfText).toBe(undefined);
});

test('WordLevel, with and without a token for unknown words', async () => {
  const model = { type: 'WordLevel', vocab: { cat: 0, dog: 1, '?': 2 }, unk_token: '?' };
  const config = { unk_token: '?', eos_token: { content: 'dog' } };
  const t = makeTokenizer({ ...plain, pre_tokenizer: whitespace, model }, config);
  expect([...t.encode('dog cat dog')]).toEqual([1, 0, 1]);
  expect(t.endOfText).toBe(1);
  expect([...t.encode('cat cow')]).toEqual([0, 2]);
  const strict = makeTokenizer({
    ...plain,
    pre_tokenizer: whitespace,
    model: { ...model, unk_token: 'none' },
  });
  expect(await failure(() => strict.encode('cat cow'))).toBe(
    "encode: no token for 'cow', and none for unknown text",
  );
});

test('Unigram, and a vocabulary that the largest id of an added token makes larger', () => {
  const vocab = [
    ['<unk>', 0],
    ['▁', -2],
    ['▁the', -1],
    ['▁c', -3],
    ['at', -3],
    ['c', -5],
    ['a', -5],
    ['t', -5],
  ];
  const t = makeTokenizer(
    {
      ...plain,
      added_tokens: [{ id: 20, content: '<eos>', special: true }],
      pre_tokenizer: { type: 'Metaspace', replacement: '▁', prepend_scheme: 'always' },
      decoder: { type: 'Metaspace', replacement: '▁', prepend_scheme: 'always' },
      model: { type: 'Unigram', unk_id: 0, vocab },
    },
    { eos_token: '<eos>' },
  );
  expect([...t.encode('the cat')]).toEqual([2, 3, 4]);
  expect(t.decode([2, 3, 4])).toBe('the cat');
  expect([t.vocabSize, t.endOfText]).toEqual([21, 20]);
  const stream = t.streamDecoder();
  expect([2, 3, 4].map((id) => stream.push(id))).toEqual(['the', ' c', 'at']);
});
