// Text to token ids and back, as the model's own tokenizer.json says. The work is done by @huggingface/tokenizers, what
// transformers.js uses; here it gets typed arrays, errors instead of silent `undefined`s, and streaming.
import { BaxError } from '@bax/core';
import { Tokenizer as Library } from '@huggingface/tokenizers';
import { type JsonObject, isJsonObject, parseJson } from './json.ts';
import { checkFolder, type Folder } from './source.ts';
import { type StreamDecoder, streamDecoder } from './stream-decoder.ts';

const MAX_BYTES = 200_000_000; // the largest known, of 256,000 tokens, are some 35 MB
const MODELS = ['BPE', 'WordPiece', 'Unigram', 'WordLevel'];

export interface EncodeOptions {
  /** Add what the tokenizer puts around a text, such as [CLS] or a beginning of text; GPT-2 adds none. Default true. */
  readonly addSpecialTokens?: boolean;
}

export interface DecodeOptions {
  /** Leave out special tokens, such as the end of text. Default false. */
  readonly skipSpecialTokens?: boolean;
}

export interface Tokenizer {
  /** One more than the largest id: the rows that an embedding needs. */
  readonly vocabSize: number;
  /** The id that ends a text, if the tokenizer names one. */
  readonly endOfText: number | undefined;
  /** The ids of a text. Throws a `BaxError` if a part of it has no token and the vocabulary none for unknown ones. */
  encode(text: string, options?: EncodeOptions): Int32Array;
  /** The text of ids. Throws a `BaxError` for an id that is not in the vocabulary. */
  decode(ids: ArrayLike<number>, options?: DecodeOptions): string;
  /** The id of a token as it is spelled in the vocabulary (`Ġthe`), undefined if it is not there. */
  idOf(token: string): number | undefined;
  /** Decodes ids one by one as they are generated. */
  streamDecoder(options?: DecodeOptions): StreamDecoder;
}

/**
 * Loads tokenizer.json, and tokenizer_config.json if it is there, from a model's folder.
 * Rejects with a `BaxError` for a missing or broken file, or a kind of tokenizer that is not known.
 * https://huggingface.co/docs/tokenizers
 */
export async function loadTokenizer(folder: Folder): Promise<Tokenizer> {
  checkFolder('loadTokenizer', folder);
  if (!(await folder.has('tokenizer.json'))) {
    const files = await folder.list().catch(() => undefined); // folders on the web cannot be listed
    const found = files?.length === 0 ? 'it is empty' : `it holds ${files?.slice(0, 10).join(', ')}`;
    throw new BaxError(
      `loadTokenizer: ${folder.name} has no tokenizer.json${files ? ` (${found})` : ''}; transformers' save_pretrained writes one`,
    );
  }
  const json = await readObject(folder, 'tokenizer.json');
  const config = (await folder.has('tokenizer_config.json'))
    ? await readObject(folder, 'tokenizer_config.json')
    : {};
  return makeTokenizer(json, config, `loadTokenizer: ${folder.name}/tokenizer.json`);
}

async function readObject(folder: Folder, file: string): Promise<JsonObject> {
  const where = `${folder.name}/${file}`;
  const json = parseJson(await folder.readText(file, MAX_BYTES), { where, maxBytes: MAX_BYTES });
  if (!isJsonObject(json)) throw new BaxError(`${where}: expected a JSON object`);
  return json;
}

/**
 * A tokenizer from the contents of tokenizer.json and tokenizer_config.json.
 * Throws a `BaxError`, beginning with `where`, for a kind of tokenizer that is not known.
 */
export function makeTokenizer(
  json: JsonObject,
  config: JsonObject = {},
  where = 'tokenizer.json',
): Tokenizer {
  const library = construct(json, config, where);
  const vocabSize = 1 + [...library.get_vocab().values()].reduce((most, id) => Math.max(most, id), -1);
  const idOf = (token: string): number | undefined => library.token_to_id(token);

  function decode(ids: ArrayLike<number>, options: DecodeOptions = {}): string {
    const list = Array.from(ids);
    for (const [i, id] of list.entries()) {
      if (library.id_to_token(id) !== undefined) continue;
      throw new BaxError(
        `decode: id ${id} at position ${i} is not in the vocabulary (0 to ${vocabSize - 1})`,
      );
    }
    if (list.length === 0) return '';
    // The library's own default would take away spaces before punctuation.
    const skip = options.skipSpecialTokens ?? false;
    return library.decode(list, { skip_special_tokens: skip, clean_up_tokenization_spaces: false });
  }

  return {
    vocabSize,
    endOfText: endOfText(config, idOf),
    idOf,
    decode,
    encode(text, options = {}) {
      const { ids, tokens } = library.encode(text, { add_special_tokens: options.addSpecialTokens ?? true });
      const unknown = ids.indexOf(undefined);
      if (unknown >= 0)
        throw new BaxError(`encode: no token for '${tokens[unknown]}', and none for unknown text`);
      return Int32Array.from(ids as number[]);
    },
    streamDecoder: (options) => streamDecoder((ids) => decode(ids, options)),
  };
}

/** What is used of the library; its published types do not resolve under Node's rules, and hide the undefined ids. */
interface Tokenizing {
  encode(text: string, o: { add_special_tokens: boolean }): { ids: (number | undefined)[]; tokens: string[] };
  decode(ids: number[], o: { skip_special_tokens: boolean; clean_up_tokenization_spaces: boolean }): string;
  token_to_id(token: string): number | undefined;
  id_to_token(id: number): string | undefined;
  get_vocab(): Map<string, number>;
}

function construct(json: JsonObject, config: JsonObject, where: string): Tokenizing {
  const { model } = json;
  if (!isJsonObject(model)) throw new BaxError(`${where}: has no 'model'; is it a tokenizer.json?`);
  const { type } = model;
  if (type !== undefined && !MODELS.some((known) => known === type)) {
    throw new BaxError(
      `${where}: a model of type ${JSON.stringify(type)}; supported are ${MODELS.join(', ')}`,
    );
  }
  try {
    return new Library(json, config);
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new BaxError(`${where}: is broken or of a kind that is not supported: ${reason}`, { cause });
  }
}

/** The config's `eos_token`, a string or an object with `content`; else `<|endoftext|>`, if there is one. */
function endOfText(config: JsonObject, idOf: (token: string) => number | undefined): number | undefined {
  const named = isJsonObject(config.eos_token) ? config.eos_token.content : config.eos_token;
  return idOf(typeof named === 'string' ? named : '<|endoftext|>');
}
