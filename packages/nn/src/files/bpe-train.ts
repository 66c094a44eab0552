// Byte pair encoding: begin with the bytes; again and again, join the pair of neighbours that is seen most often into
// a new token. https://arxiv.org/abs/1508.07909, on GPT-2's words and bytes.
import { BaxError } from '@bax/core';
import { ALPHABET, BYTE_TO_CHAR, WORDS } from './byte-level.ts';
import { type CountedWord, type Merge, mergePairs, resting } from './bpe-merges.ts';
import type { JsonObject } from './json.ts';
import type { WritableFolder } from './source.ts';

export interface TrainBpeOptions {
  /** Tokens in all: 256 bytes, the merges and the special tokens. Fewer if the text has no pair left to join. */
  readonly vocabSize: number;
  /** Never split and never part of a merge; they take the last ids. Default: `<|endoftext|>` alone. */
  readonly specialTokens?: readonly string[];
  /** Looked at between merges. */
  readonly signal?: AbortSignal;
}

/** The two files of a tokenizer in Hugging Face's format. */
export interface TokenizerFiles {
  /** tokenizer.json */
  readonly tokenizer: JsonObject;
  /** tokenizer_config.json */
  readonly config: JsonObject;
}

/**
 * Trains a byte-level BPE tokenizer. The same texts give the same tokenizer: of pairs seen equally often, the one with
 * the smaller ids is joined first. The first special token is the end of text.
 * Rejects with a `BaxError` for a vocabulary that cannot hold the bytes, and with the signal's reason when aborted.
 */
export async function trainBpe(
  texts: Iterable<string> | AsyncIterable<string>,
  options: TrainBpeOptions,
): Promise<TokenizerFiles> {
  const { vocabSize, specialTokens = ['<|endoftext|>'], signal } = options;
  checkSizes(vocabSize, specialTokens);
  const counts = await countWords(texts, specialTokens, signal);
  const tokens = ALPHABET.map((byte) => BYTE_TO_CHAR[byte]);
  const merges = await mergePairs(wordsOf(counts), tokens, vocabSize - specialTokens.length, signal);
  const clash = specialTokens.find((token) => tokens.includes(token));
  if (clash !== undefined)
    throw new BaxError(`trainBpe: special token '${clash}' is spelled like a learnt one`);
  return { tokenizer: tokenizerJson(tokens, merges, specialTokens), config: configJson(specialTokens) };
}

/** Writes tokenizer.json and tokenizer_config.json; transformers' AutoTokenizer reads the folder. */
export async function writeTokenizer(folder: WritableFolder, files: TokenizerFiles): Promise<void> {
  const text = (json: JsonObject): Uint8Array[] => [
    new TextEncoder().encode(`${JSON.stringify(json, null, 2)}\n`),
  ];
  await folder.write('tokenizer.json', text(files.tokenizer));
  await folder.write('tokenizer_config.json', text(files.config));
}

function checkSizes(vocabSize: number, specialTokens: readonly string[]): void {
  const least = 256 + specialTokens.length;
  if (!Number.isSafeInteger(vocabSize) || vocabSize < least || vocabSize > 2 ** 24) {
    throw new BaxError(
      `trainBpe: vocabSize ${vocabSize} is not a whole number from ${least} (256 bytes + ${specialTokens.length} special tokens) to 2^24`,
    );
  }
  for (const [i, token] of specialTokens.entries()) {
    // One character would take the place of a byte.
    if (token.length < 2)
      throw new BaxError(`trainBpe: special token '${token}' is shorter than two characters`);
    if (specialTokens.indexOf(token) !== i)
      throw new BaxError(`trainBpe: special token '${token}' is given twice`);
  }
}

/** How often each word is seen. */
async function countWords(
  texts: Iterable<string> | AsyncIterable<string>,
  specialTokens: readonly string[],
  signal: AbortSignal | undefined,
): Promise<Map<string, number>> {
  const escaped = specialTokens.map((token) => token.replace(/[\\^$.*+?()[\]{}|/]/g, '\\$&'));
  const special = new RegExp(escaped.join('|') || '(?!)', 'u');
  const counts = new Map<string, number>();
  const rest = resting(signal);
  for await (const text of texts) {
    await rest();
    for (const part of text.split(special)) {
      for (const [word] of part.matchAll(WORDS)) counts.set(word, (counts.get(word) ?? 0) + 1);
    }
  }
  return counts;
}

/** Each word as the ids of its bytes. */
function wordsOf(counts: ReadonlyMap<string, number>): CountedWord[] {
  const idOfByte = new Int32Array(256);
  for (const [id, byte] of ALPHABET.entries()) idOfByte[byte] = id;
  const encoder = new TextEncoder();
  return Array.from(counts, ([word, count]) => ({
    ids: Int32Array.from(encoder.encode(word), (byte) => idOfByte[byte]),
    count,
  }));
}

function tokenizerJson(
  tokens: readonly string[],
  merges: readonly Merge[],
  special: readonly string[],
): JsonObject {
  const byteLevel = { type: 'ByteLevel', add_prefix_space: false, trim_offsets: false, use_regex: true };
  const added = special.map((content, i) => ({
    id: tokens.length + i,
    content,
    single_word: false,
    lstrip: false,
    rstrip: false,
    normalized: false,
    special: true,
  }));
  return {
    version: '1.0',
    truncation: null,
    padding: null,
    added_tokens: added,
    normalizer: null,
    pre_tokenizer: { ...byteLevel },
    post_processor: { ...byteLevel },
    decoder: { ...byteLevel },
    model: {
      type: 'BPE',
      dropout: null,
      unk_token: null,
      continuing_subword_prefix: null,
      end_of_word_suffix: null,
      fuse_unk: false,
      byte_fallback: false,
      ignore_merges: false,
      vocab: Object.fromEntries([...tokens, ...special].map((token, id) => [token, id])),
      merges: merges.map(([a, b]) => [tokens[a], tokens[b]]),
    },
  };
}

function configJson(special: readonly string[]): JsonObject {
  const end =
    special.length > 0 ? { bos_token: special[0], eos_token: special[0], unk_token: special[0] } : {};
  return {
    tokenizer_class: 'PreTrainedTokenizerFast',
    add_prefix_space: false,
    clean_up_tokenization_spaces: false,
    ...end,
  };
}
