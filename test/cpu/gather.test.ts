import { cpu } from '@bax/cpu';
import { expect, it } from 'vitest';
import { make, valuesOf } from './support.ts';

it('gather and scatterAdd look at all indices before they write', () => {
  const backend = cpu();
  const table = make(backend, [1024, 2], 'f32', () => 0);
  const rows = make(backend, [5, 2], 'f32', () => 9);
  const index = make(backend, [5], 'i32', (i) => (i === 3 ? 1030 : i));
  const message = "index 1030 at position 3 is outside the table's 1024 rows";
  expect(() => backend.gather(table, index, rows)).toThrow(`gather: ${message}`);
  expect(() => backend.scatterAdd(index, rows, table)).toThrow(`scatterAdd: ${message}`);
  expect(valuesOf(backend, rows).every((v) => v === 9)).toBe(true);
  expect(valuesOf(backend, table).every((v) => v === 0)).toBe(true);
});

it('scatterAdd rounds each sum to the type of the table', () => {
  const backend = cpu();
  const table = make(backend, [1, 1], 'f32', () => 0);
  const index = make(backend, [3], 'i32', () => 0);
  const rows = make(backend, [3, 1], 'f32', (i) => [2 ** 24, 1, -(2 ** 24)][i]);
  backend.scatterAdd(index, rows, table);
  expect(valuesOf(backend, table)).toEqual([0]);
});
