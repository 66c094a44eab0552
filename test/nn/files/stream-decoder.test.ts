import fc from 'fast-check';
import { expect, test } from 'vitest';
import { streamDecoder } from '../../../packages/nn/src/files/stream-decoder.ts';
import { runs } from '../../support/runs.ts';

/** Ids that are bytes: the smallest tokenizer whose tokens end within characters. */
const bytes = (ids: readonly number[]): string =>
  new TextDecoder('utf-8', { ignoreBOM: true }).decode(Uint8Array.from(ids));

test('an unfinished character is never shown; the pieces are the text', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'binary' }), (text) => {
      const stream = streamDecoder(bytes);
      const pieces = Array.from(new TextEncoder().encode(text), (byte) => stream.push(byte));
      if (!text.includes('\ufffd')) expect(pieces.join('')).toBe(text);
      expect(pieces.join('') + stream.flush()).toBe(text);
    }),
    runs(500),
  );
});

test('each character comes with its last byte', () => {
  const stream = streamDecoder(bytes);
  const pieces = Array.from(new TextEncoder().encode('aé日😀!'), (byte) => stream.push(byte));
  expect(pieces).toEqual(['a', '', 'é', '', '', '日', '', '', '', '😀', '!']);
  expect(stream.flush()).toBe('');
});

test('any bytes at all: the pieces are what decoding them at once shows', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 30 }), (ids) => {
      const stream = streamDecoder(bytes);
      const pieces = Array.from(ids, (id) => stream.push(id));
      expect(pieces.join('') + stream.flush()).toBe(bytes([...ids]));
    }),
    runs(2000),
  );
});

test('flush shows an unfinished character as such, and the decoder can be used again', () => {
  const stream = streamDecoder(bytes);
  expect([stream.push(0x61), stream.push(0xe6), stream.flush()]).toEqual(['a', '', '\ufffd']);
  expect([stream.push(0x62), stream.flush()]).toEqual(['b', '']);
});

test('a decoder that drops the first space of a text (SentencePiece) keeps those within it', () => {
  const words = [' the', ' cat', 's', ' sat'];
  const stream = streamDecoder((ids) =>
    ids
      .map((id) => words[id])
      .join('')
      .replace(/^ /, ''),
  );
  expect([0, 1, 2, 3].map((id) => stream.push(id))).toEqual(['the', ' cat', 's', ' sat']);
  expect(stream.flush()).toBe('');
  expect(stream.push(1)).toBe('cat');
});

test('an id that cannot be decoded is reported and forgotten', () => {
  const stream = streamDecoder((ids) => {
    if (ids.includes(999)) throw new Error('not in the vocabulary');
    return bytes(ids);
  });
  expect(stream.push(0xc3)).toBe('');
  expect(() => stream.push(999)).toThrow('not in the vocabulary');
  expect(stream.push(0xa9)).toBe('é');
});
