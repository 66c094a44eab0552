import { crc32 as zlib } from 'node:zlib';
import { crc32 } from '@bax/nn';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { ascii } from './support.ts';
import { runs } from '../../support/runs.ts';

test('the check value of the standard, and nothing', () => {
  expect(crc32(ascii('123456789'))).toBe(0xcbf43926);
  expect(crc32(new Uint8Array())).toBe(0);
});

test("is zlib's, of the whole and of one piece after the other", () => {
  const bytes = fc.uint8Array({ maxLength: 300 });
  fc.assert(
    fc.property(bytes, bytes, (a, b) => {
      expect(crc32(b, crc32(a))).toBe(zlib(Uint8Array.from([...a, ...b])));
    }),
    runs(100),
  );
});
