import { expect, test } from 'vitest';
import type { Json } from '@bax/nn';
import { differences } from '../../../packages/nn/src/files/json-differences.ts';

test.each<[Json, Json, string[]]>([
  [{ a: 1, b: { c: [1, { d: null }] } }, { b: { c: [1, { d: null }] }, a: 1 }, []],
  [{ a: 1 }, { a: '1' }, ['a was 1, is "1"']],
  [{ a: { b: 0.1 } }, { a: { b: 0.2 }, c: true }, ['a.b was 0.1, is 0.2', 'c was absent, is true']],
  [{ a: [1, 2] }, { a: [1, 3, [4]] }, ['a[1] was 2, is 3', 'a[2] was absent, is [4]']],
  [{ a: [] }, { a: {} }, ['a was [], is {}']],
  [
    { ['x'.repeat(999)]: 'y'.repeat(999) },
    {},
    [`${'x'.repeat(100)}... was "${'y'.repeat(99)}..., is absent`],
  ],
  [{ a: null }, {}, ['a was null, is absent']],
  [
    {},
    JSON.parse('{"toString":1,"__proto__":2}'),
    ['toString was absent, is 1', '__proto__ was absent, is 2'],
  ],
])('%j and %j', (was, is, lines) => {
  expect(differences(was, is)).toEqual(lines);
});
