/** The list of mutants must not rot: each still finds its place, and changes it. `npm run mutants` tries them. */
import { existsSync, readFileSync } from 'node:fs';
import { expect, it } from 'vitest';
import { mutants } from './mutants.ts';

const root = new URL('../../', import.meta.url);

it.each(mutants)('$name: stands in $file once, and its tests are there', ({ file, find, put, tests }) => {
  expect(readFileSync(new URL(file, root), 'utf8').split(find)).toHaveLength(2);
  expect(put).not.toBe(find);
  expect(tests.length).toBeGreaterThan(0);
  for (const test of tests) expect(existsSync(new URL(`test/${test}`, root)), test).toBe(true);
});

it('are as many as the laws are worth, and each is named once', () => {
  expect(mutants.length).toBeGreaterThanOrEqual(40);
  expect(new Set(mutants.map(({ name }) => name)).size).toBe(mutants.length);
});
