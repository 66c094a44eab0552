/** How a number that was computed stands to one that a paper prints. */
import { BaxError } from '@bax/core';

/** To the digits that are printed: the same, the same if what follows is cut off, or another number. */
export type Agreement = 'rounded' | 'truncated' | 'differs';

/** What a paper prints, in its own words, and where. */
export interface Printed {
  /** `4.7M`, `350 GB`, `175,255.8M`. */
  readonly text: string;
  readonly where: string;
}
export interface Judged extends Printed {
  readonly agrees: Agreement;
  /** The printed number over the computed one, less 1. */
  readonly off: number;
}

const units: Readonly<Record<string, number>> = { '': 1, K: 1e3, M: 1e6, G: 1e9, T: 1e12 };

/** What a paper says of many things. */
export interface PaperTable<Row> {
  readonly rows: readonly Row[];
  /** A table for people. */
  toString(): string;
}

/** Compares a count (or bytes) with what is printed of it. @throws if the text is no number with K, M, G or T behind it. */
export function judge(computed: number, printed: Printed): Judged {
  const [, digits, fraction = '', unit = ''] =
    /^([\d,]+(?:\.(\d+))?) ?([KMGT]?)(?:B|x)?$/.exec(printed.text) ?? [];
  if (digits === undefined) throw new BaxError(`judge: '${printed.text}' is no printed number`);
  const value = Number(digits.replaceAll(',', '')) * units[unit]!;
  const last = units[unit]! / 10 ** fraction.length; // what the last printed digit counts
  const shown = Math.round(value / last);
  const exact = computed / last;
  const agrees =
    Math.round(exact) === shown ? 'rounded' : Math.floor(exact) === shown ? 'truncated' : 'differs';
  return { ...printed, agrees, off: value / computed - 1 };
}

/** `4.7M in Table 4 (rounded)`. */
export const showJudged = ({ text, where, agrees, off }: Judged): string =>
  `${text} in ${where} (${agrees === 'differs' ? `differs by ${off > 0 ? '+' : '−'}${Math.abs(100 * off).toFixed(Math.abs(off) < 0.001 ? 2 : 1)} %` : agrees})`;
