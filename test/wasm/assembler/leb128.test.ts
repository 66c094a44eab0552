import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { signed, unsigned } from '../../../packages/wasm/src/assembler/index.ts';
import { runs } from '../../support/runs.ts';

/** Back to numbers, by the specification's own recursion: https://webassembly.github.io/spec/core/binary/values.html */
const readUnsigned = ([byte, ...rest]: readonly number[]): number =>
  byte < 128 ? byte : byte - 128 + 128 * readUnsigned(rest);
const readSigned = ([byte, ...rest]: readonly number[]): number => {
  if (byte >= 128) return byte - 128 + 128 * readSigned(rest);
  return byte < 64 ? byte : byte - 128;
};

describe('unsigned', () => {
  it.each([
    [0, [0x00]],
    [1, [0x01]],
    [63, [0x3f]],
    [64, [0x40]],
    [127, [0x7f]],
    [128, [0x80, 0x01]],
    [300, [0xac, 0x02]],
    [16383, [0xff, 0x7f]],
    [16384, [0x80, 0x80, 0x01]],
    [65536, [0x80, 0x80, 0x04]],
    [624485, [0xe5, 0x8e, 0x26]], // the example of https://en.wikipedia.org/wiki/LEB128
    [2 ** 31, [0x80, 0x80, 0x80, 0x80, 0x08]],
    [2 ** 32 - 1, [0xff, 0xff, 0xff, 0xff, 0x0f]],
  ])('%i', (value, bytes) => expect(unsigned(value)).toEqual(bytes));

  it('comes back, in as few bytes as can be', () => {
    fc.assert(
      fc.property(fc.nat({ max: 2 ** 32 - 1 }), (value) => {
        const bytes = unsigned(value);
        expect(readUnsigned(bytes)).toBe(value);
        expect(bytes).toHaveLength(Math.max(1, Math.ceil(Math.log2(value + 1) / 7)));
      }),
      runs(1000),
    );
  });
});

describe('signed', () => {
  it.each([
    [0, [0x00]],
    [1, [0x01]],
    [-1, [0x7f]],
    [63, [0x3f]],
    [64, [0xc0, 0x00]],
    [-64, [0x40]],
    [-65, [0xbf, 0x7f]],
    [127, [0xff, 0x00]],
    [128, [0x80, 0x01]],
    [-128, [0x80, 0x7f]],
    [-129, [0xff, 0x7e]],
    [8191, [0xff, 0x3f]],
    [8192, [0x80, 0xc0, 0x00]],
    [-123456, [0xc0, 0xbb, 0x78]], // the example of https://en.wikipedia.org/wiki/LEB128
    [2 ** 31 - 1, [0xff, 0xff, 0xff, 0xff, 0x07]],
    [-(2 ** 31), [0x80, 0x80, 0x80, 0x80, 0x78]],
  ])('%i', (value, bytes) => expect(signed(value)).toEqual(bytes));

  it('comes back', () => {
    fc.assert(
      fc.property(fc.integer(), (value) => readSigned(signed(value)) === value),
      runs(1000),
    );
  });

  it('takes an unsigned number for the same bits', () => expect(signed(2 ** 32 - 1)).toEqual(signed(-1)));
});
