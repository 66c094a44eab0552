/** The one model of the lab, where it computes, and what it reads. */
import {
  BaxError,
  crc32,
  device,
  Embedding,
  loadGpt2,
  loadTokenizer,
  targetsOf,
  type Gpt2,
  type Tokenizer,
} from 'bax';
import type { Handlers } from '../../app/calls.ts';
import { baseFolder, shippedText, type Home } from './home.ts';
import type { Tasks, TextChoice, TextRefusal } from './tasks.ts';

/** Of a text of one's own: more would take minutes to read. */
const MOST_CHARACTERS = 4_000_000;
const LEAST_TOKENS = 400;

interface Model {
  readonly home: Home;
  readonly base: Gpt2;
  readonly tokenizer: Tokenizer;
  /** Text of the kind that the base was trained on, and that it never saw. */
  readonly old: Int32Array;
}
export interface Text {
  readonly characters: number;
  readonly train: Int32Array;
  readonly heldOut: Int32Array;
  /** By which it is known again. */
  readonly crc: number;
}

let opened: Model | undefined;
let text: Text | undefined;
let texts = 0;

export function model(): Model {
  if (!opened) throw new BaxError('there is no model yet');
  return opened;
}
export function chosenText(): Text {
  if (!text) throw new BaxError('there is no text yet');
  return text;
}

/** The last tokens of a prompt that the context has room for, and for one more after them. */
export function promptIds(prompt: string): number[] {
  const { base, tokenizer } = model();
  const ids = [...tokenizer.encode(prompt)].slice(1 - base.config.n_positions);
  if (ids.length === 0) throw new BaxError('the prompt is empty; write a word or two');
  return ids;
}

/** The text, or why nothing can be learned from it. */
export async function textOf(choice: TextChoice): Promise<Text | { readonly refused: TextRefusal }> {
  const { home, tokenizer } = model();
  const all = 'own' in choice ? choice.own : await shippedText(home, choice.shipped);
  if (all.length > MOST_CHARACTERS)
    return { refused: { why: 'tooLong', size: all.length, bound: MOST_CHARACTERS } };
  const tokens = tokenizer.encode(all);
  if (tokens.length < LEAST_TOKENS)
    return { refused: { why: 'tooShort', size: tokens.length, bound: LEAST_TOKENS } };
  const cut = Math.floor(tokens.length * 0.9);
  const crc = crc32(new Uint8Array(tokens.buffer, tokens.byteOffset, tokens.byteLength));
  return { characters: all.length, train: tokens.subarray(0, cut), heldOut: tokens.subarray(cut), crc };
}

export const opening: Pick<Handlers<Tasks>, 'open' | 'read'> = {
  async open({ home, device: wanted, software }, tell, signal) {
    let why = '';
    const backend = await device(wanted, { software, say: (message) => (why = message) });
    const folder = await baseFolder(home, signal);
    const tokenizer = await loadTokenizer(folder);
    const base = await loadGpt2(folder, { signal, onProgress: tell });
    opened = { home, base, tokenizer, old: tokenizer.encode(await shippedText(home, 'old')) };
    return {
      device: `${backend.name}: ${backend.info.adapter}`,
      why,
      parameters: base.parameterCount,
      bytes: base.parameterBytes,
      // Not the tables: there A begins at zero, and B does not. [PEFT]
      places: targetsOf(base)
        .filter(({ layer }) => !(layer instanceof Embedding))
        .map(({ path, slice, layer }) => ({
          path,
          in: layer.inFeatures,
          out: slice?.length ?? layer.outFeatures,
        })),
    };
  },

  async read(choice) {
    const next = await textOf(choice);
    if ('refused' in next) return next;
    text = next;
    const { characters, train, heldOut } = text;
    const tokens = train.length + heldOut.length;
    return { version: ++texts, characters, tokens, heldOut: heldOut.length };
  },
};
