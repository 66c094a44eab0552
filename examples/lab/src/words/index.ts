/** All that the page says, in the language that is chosen: each language is one file. */
import { signal } from '@preact/signals';
import { keep, kept } from '../kept.ts';
import { en, type Words } from './en.ts';
import { ja } from './ja.ts';

export const LANGUAGES = { en: 'English', ja: '日本語' } as const;
export type Language = keyof typeof LANGUAGES;
const all: Readonly<Record<Language, Words>> = { en, ja };

const preferred = (): Language => (navigator.language.startsWith('ja') ? 'ja' : 'en');
const stored = kept('language');
export const language = signal<Language>(stored === 'en' || stored === 'ja' ? stored : preferred());
export function speak(next: Language): void {
  language.value = next;
  keep('language', next);
}
export const words = (): Words => all[language.value];

/** 1,234 or 0.0123: so many digits as tell something. */
export const number = (x: number, digits = 4): string =>
  Number.isInteger(x)
    ? x.toLocaleString(language.value)
    : Math.abs(x) >= 1e-3 && Math.abs(x) < 1e6
      ? x.toLocaleString(language.value, { maximumSignificantDigits: digits })
      : x === 0
        ? '0'
        : x.toExponential(digits - 2);
const UNITS = ['B', 'kB', 'MB', 'GB', 'TB'] as const;
export function bytes(n: number): string {
  const power = n < 1000 ? 0 : Math.min(UNITS.length - 1, Math.floor(Math.log10(n) / 3));
  return `${number(n / 1000 ** power, 3)} ${UNITS[power]}`;
}
