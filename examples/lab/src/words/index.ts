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
export const bytes = (n: number): string =>
  n >= 1e6 ? `${number(n / 1e6, 3)} MB` : n >= 1e3 ? `${number(n / 1e3, 3)} kB` : `${n} B`;
