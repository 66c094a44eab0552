import fc from 'fast-check';
import { expect, test } from 'vitest';
import { ALPHABET, BYTE_TO_CHAR, WORDS } from '../../../packages/nn/src/files/byte-level.ts';
import { runs } from '../../support/runs.ts';

test('every byte has a character of its own, that prints', () => {
  expect(new Set(BYTE_TO_CHAR).size).toBe(256);
  for (const char of BYTE_TO_CHAR) expect(char).toMatch(/^[^\s\p{C}]$/u);
});

test("it is GPT-2's: Ġ is a space, Ċ a new line, and the ids begin with !", () => {
  expect([0x20, 0x0a, 0x09, 0x41, 0xad, 0x7f, 0].map((byte) => BYTE_TO_CHAR[byte])).toEqual(
    Array.from('ĠĊĉAŃġĀ'),
  );
  // Ids of GPT-2's vocab.json.
  expect(ALPHABET.indexOf('!'.charCodeAt(0))).toBe(0);
  expect(ALPHABET.indexOf('A'.charCodeAt(0))).toBe(32);
  expect(ALPHABET.indexOf(0x0a)).toBe(198);
  expect(ALPHABET.indexOf(0x20)).toBe(220);
  expect(ALPHABET.indexOf(0xff)).toBe(187);
});

test('words are cut as GPT-2 cuts them', () => {
  expect("I've 2 dogs,  and they're\n\nbig!! ".match(WORDS)).toEqual([
    'I',
    "'ve",
    ' 2',
    ' dogs',
    ',',
    ' ',
    ' and',
    ' they',
    "'re",
    '\n',
    '\n',
    'big',
    '!!',
    ' ',
  ]);
});

test('the words of any text are the whole text', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'binary' }), (text) => {
      expect((text.match(WORDS) ?? []).join('')).toBe(text);
    }),
    runs(1000),
  );
});
