import { expect, it } from 'vitest';
import { showBytes } from '../../../packages/nn/src/analysis/table.ts';

it('bytes in four digits, with the unit that keeps them below 1000', () => {
  const shown = [0, 999, 1000, 999_949, 999_950, 999_999, 1e6, 350.5e9, 9e15].map(showBytes);
  expect(shown).toEqual(['0 B', '999 B', '1.000 kB', '999.9 kB', '1.000 MB', '1.000 MB', '1.000 MB', '350.5 GB', '9000 TB']); // prettier-ignore
});
