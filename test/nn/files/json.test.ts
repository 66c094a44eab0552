import fc from 'fast-check';
import { expect, test } from 'vitest';
import { BaxError } from '@bax/core';
import { type Json, isJsonObject, parseJson } from '../../../packages/nn/src/files/json.ts';
import { ascii, failure } from './support.ts';
import { runs } from '../../support/runs.ts';

const limits = { where: 'c.json', maxBytes: 1000 };
const parse = (text: string): Json => parseJson(text, { where: 'c.json', maxBytes: 1e6, maxDepth: 500 });

/** JSON.parse is the oracle: equal, or both refuse; only a duplicate key is our own rule. */
function agrees(text: string): void {
  let theirs: unknown;
  let refused = false;
  try {
    theirs = JSON.parse(text);
  } catch {
    refused = true;
  }
  let ours: Json;
  try {
    ours = parse(text);
  } catch (error) {
    expect(error).toBeInstanceOf(BaxError);
    if (!refused) expect((error as BaxError).message).toMatch(/duplicate key/);
    return;
  }
  expect(refused, text).toBe(false);
  // Both print what they hold, own keys alone, `__proto__` among them.
  expect(JSON.stringify(ours)).toBe(JSON.stringify(theirs));
}

test('reads what JSON.parse reads', () => {
  fc.assert(fc.property(fc.json({ maxDepth: 6 }), agrees), runs(300));
  fc.assert(
    fc.property(fc.jsonValue(), (value) => agrees(JSON.stringify(value, null, 2))),
    runs(300),
  );
});

test('P60: refuses what JSON.parse refuses, whatever is changed in a text', () => {
  const piece = fc.constantFrom(
    '"',
    '\\',
    '{',
    '}',
    '[',
    ']',
    ',',
    ':',
    '-',
    '.',
    'e',
    '0',
    '1',
    'u',
    'true',
    'nul',
    ' ',
    '\n',
    '\u0000',
    '\u00a0',
    '\ufeff',
    '\ud800',
  );
  const change = fc.tuple(fc.nat(), fc.nat(3), fc.option(piece, { nil: '' }));
  fc.assert(
    fc.property(
      fc.json({ maxDepth: 3 }),
      fc.array(change, { minLength: 1, maxLength: 3 }),
      (text, changes) => {
        let mutant = text;
        for (const [at, cut, put] of changes) {
          const i = at % (mutant.length + 1);
          mutant = mutant.slice(0, i) + put + mutant.slice(i + cut);
        }
        agrees(mutant);
      },
    ),
    runs(2000),
  );
  fc.assert(
    fc.property(
      fc.array(piece).map((pieces) => pieces.join('')),
      agrees,
    ),
    runs(2000),
  );
});

test('numbers and escapes are those of JSON.parse', () => {
  const numbers =
    '0 -0 1 -1 1.5 1e3 1E+3 1e-3 0.1 123456789012345678901234567890 1e400 -1e-400 5e-324 01 1. .5 +1 1e 1e+ - -a 0x1 NaN Infinity';
  for (const text of numbers.split(' ')) agrees(text);
  for (let code = 0; code < 256; code++) agrees(`"${String.fromCharCode(code)}"`);
  for (const text of [
    '"\\n\\u00e9\\ud83d\\ude00\\/\\""',
    '"\\ud800"',
    '"\\x41"',
    '"\\u12"',
    '"\\',
    '"a\tb"',
    '"\u007f\u2028"',
    '"\\"',
  ])
    agrees(text);
  for (const text of [
    '',
    ' ',
    'tru',
    'truex',
    '[1,]',
    '[,1]',
    '[1 2]',
    '{"a"}',
    '{"a":1,}',
    '{a:1}',
    '{,}',
    '1 2',
    '[}',
    '//',
    '[1]]',
  ])
    agrees(text);
});

test('P60: duplicate keys are refused, however they are spelled', async () => {
  expect(await failure(() => parse('{"r": 8,\n "r": 9}'))).toBe(
    'c.json: duplicate key "r" at offset 10 (line 2, column 2)',
  );
  for (const text of [
    '{"a":1,"\\u0061":2}',
    '[{"x":{"":0,"":0}}]',
    '{"__proto__":1,"__proto__":1}',
    '{"0":1,"0":1}',
  ]) {
    expect(await failure(() => parse(text))).toMatch(/duplicate key/);
  }
  expect(parse('[{"a":1},{"a":2},"a","a"]')).toEqual([{ a: 1 }, { a: 2 }, 'a', 'a']);
});

test('P60: no key reaches a prototype', () => {
  const object = parse('{"__proto__": {"polluted": 1}, "x": {"constructor": 2}}');
  if (!isJsonObject(object) || !isJsonObject(object.x)) throw new Error('not an object');
  expect(Object.getPrototypeOf(object)).toBe(null);
  expect(Object.keys(object)).toEqual(['__proto__', 'x']);
  expect(object.x.constructor).toBe(2);
  expect('toString' in object).toBe(false);
  expect(({} as { polluted?: number }).polluted).toBe(undefined);
});

test('P60: depth is limited', async () => {
  const nested = (depth: number): string => '['.repeat(depth) + ']'.repeat(depth);
  expect(parseJson(nested(3), { ...limits, maxDepth: 3 })).toEqual([[[]]]);
  expect(parseJson('1', { ...limits, maxDepth: 0 })).toBe(1);
  expect(await failure(() => parseJson(nested(4), { ...limits, maxDepth: 3 }))).toBe(
    'c.json: nested deeper than 3 at offset 3 (line 1, column 4)',
  );
  const bomb = { ...limits, maxBytes: 1e7 };
  expect(await failure(() => parseJson('['.repeat(1e6), bomb))).toMatch(/deeper than 64 at offset 64/);
  expect(await failure(() => parseJson('{"a":'.repeat(1e6), bomb))).toMatch(/deeper than 64 at offset 320/);
});

test('P60: size is limited, in bytes', async () => {
  const cases: [string | Uint8Array, number][] = [
    ['"1234"', 5],
    ['"éé"', 5],
    [ascii('"éé"'), 5],
    ['1'.repeat(1001), 1000],
  ];
  for (const [text, maxBytes] of cases) {
    expect(await failure(() => parseJson(text, { ...limits, maxBytes }))).toBe(
      `c.json: is longer than the ${maxBytes} bytes that are allowed`,
    );
  }
  expect(parseJson('"éé"', { ...limits, maxBytes: 6 })).toBe('éé');
  expect(parseJson(ascii('"éé"'), { ...limits, maxBytes: 6 })).toBe('éé');
});

test('errors name the file, the offset, the line and the column', async () => {
  const messages: [string, string][] = [
    ['{"a": 1\n "b": 2}', "expected '}' at offset 9 (line 2, column 2)"],
    ['[1, 2', "expected ']' at offset 5 (line 1, column 6)"],
    ['{"a" 1}', "expected ':' at offset 5 (line 1, column 6)"],
    ['{1: 2}', 'expected a key in double quotes at offset 1 (line 1, column 2)'],
    ['[NaN]', 'expected a value at offset 1 (line 1, column 2)'],
    ['', 'the text ends where a value was expected at offset 0 (line 1, column 1)'],
    ['1 2', 'text after the end of the value at offset 2 (line 1, column 3)'],
    ['"ab', 'a string that does not end at offset 0 (line 1, column 1)'],
    ['"a\nb"', 'a control character inside a string at offset 2 (line 1, column 3)'],
    ['["\\x"]', 'a wrong escape inside a string at offset 1 (line 1, column 2)'],
    ['-', 'expected a number at offset 0 (line 1, column 1)'],
  ];
  for (const [text, message] of messages) expect(await failure(() => parse(text))).toBe(`c.json: ${message}`);
  expect(await failure(() => parseJson(Uint8Array.of(0x22, 0xff, 0x22), limits))).toBe(
    'c.json: is not valid UTF-8 text',
  );
});
