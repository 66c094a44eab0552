/** README.md here is true: every law is in its table, and the tests and the mutants that it names exist. */
import { existsSync, readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { LAWS, named } from '../mutants/laws.ts';
import { mutants } from '../mutants/mutants.ts';

const here = new URL('./', import.meta.url);
const text = readFileSync(new URL('README.md', here), 'utf8');
const rows = text
  .split('\n')
  .filter((line) => line.startsWith('| P'))
  .map((line) => {
    const [law = '', statement = '', where = '', cases = '', kills = ''] = line
      .split(/(?<!\\)\|/)
      .slice(1)
      .map((cell) => cell.trim());
    return { law, statement, where, cases, kills };
  });

/** `lora/init` is a test here, `check/lora/init` a file of @bax/check; what ends in .test.ts, or is a folder, is itself. */
const isThere = (name: string): boolean => {
  const places = name.startsWith('check/')
    ? [`../../packages/check/src/${name.slice('check/'.length)}`]
    : [name, `${name}.test.ts`];
  return places.some((place) => existsSync(new URL(place, here)) || existsSync(new URL(`${place}.ts`, here)));
};

it('has every law, and no other', () => {
  const laws = new Set(rows.flatMap(({ law }) => named(law)));
  expect(LAWS.filter((law) => !laws.has(law))).toEqual([]);
  expect([...laws].filter((law) => !LAWS.includes(law))).toEqual([]);
});

describe.each(rows)('$law: $statement', ({ where, cases, kills }) => {
  it('the tests that it names are there', () => {
    const names = [...where.matchAll(/`([^`]+)`/g)].map(([, name]) => name!);
    expect(names.length).toBeGreaterThan(0);
    expect(names.filter((name) => !isThere(name))).toEqual([]);
  });

  it('says how many cases it has, and which mutants it kills', () => {
    expect(cases).toMatch(/^(all|[\d,]+)/);
    const known = new Set(mutants.map(({ name }) => name));
    const names = kills.split('; ');
    expect(names.filter((name) => !known.has(name))).toEqual([]);
  });
});
