/** What a model writes: read out when it is done, not from its start with every token. */
import type { JSX } from 'preact';
import { isBusy } from '../lab.ts';
import { legible } from '../legible.ts';
import { words } from '../words/index.ts';

export const Written = ({ text }: { readonly text: string }): JSX.Element => (
  <output class="written" aria-label={words().written} aria-live={isBusy.value ? 'off' : 'polite'}>
    {legible(text)}
  </output>
);
