import { key, randomBits, threefry2x32 } from '@bax/core';
import { cpu } from '@bax/cpu';
import { describe, expect, it } from 'vitest';
import { hostOf, make, plain } from './views.ts';

const hex = (words: ArrayLike<number>): string[] => Array.from(words, (word) => (word >>> 0).toString(16));

describe('random', () => {
  // Threefry-2x32-20 of https://github.com/DEShawResearch/random123/blob/main/tests/kat_vectors
  it.each([
    [
      [0, 0],
      [0, 0],
      ['6b200159', '99ba4efe'],
    ],
    [
      [0xffffffff, 0xffffffff],
      [0xffffffff, 0xffffffff],
      ['1cb996fc', 'bb002be7'],
    ],
    [
      [0x13198a2e, 0x03707344],
      [0x243f6a88, 0x85a308d3],
      ['c4923a9c', '483df7a0'],
    ],
  ])("has Random123's known answers: key %s, counter %s", ([k0, k1], [c0, c1], answer) => {
    const words = new Uint32Array(2);
    threefry2x32(k0, k1, c0, c1, words);
    expect(hex(words)).toEqual(answer);
    if (c0 !== 0) return;
    const backend = cpu();
    const out = make(backend, plain([2]), 'i32', () => 0);
    backend.random(Uint32Array.of(k0, k1), out);
    expect(hex(hostOf(backend, out))).toEqual(answer);
  });

  it.each([1, 2, 3, 1001])("fills %i elements as core's randomBits does, and no others", (n) => {
    const backend = cpu();
    const whole = make(backend, plain([n + 5]), 'i32', () => 77);
    backend.random(key(42), { ...whole, shape: [n], offset: 2 });
    const words = Array.from(hostOf(backend, whole));
    expect(hex(words.slice(2, n + 2))).toEqual(hex(randomBits(key(42), n)));
    expect([...words.slice(0, 2), ...words.slice(n + 2)]).toEqual([77, 77, 77, 77, 77]);
  });
});
