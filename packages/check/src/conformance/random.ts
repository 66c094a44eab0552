import { key, randomBits } from '@bax/core';
import type { Check } from '../run.ts';
import { check, set } from './lab.ts';
import { EDGES, plain } from './strided.ts';

/** Threefry-2x32-20 of https://github.com/DEShawResearch/random123/blob/main/tests/kat_vectors, counter 0. */
const KNOWN = [0x6b200159, 0x99ba4efe];

export const randomChecks: readonly Check[] = [
  check("random: has Random123's known answer", async (lab) => {
    const out = lab.output('out', plain([2]), 'i32');
    KNOWN.forEach((word, i) => set(out, i, word | 0));
    lab.backend.random(new Uint32Array(2), out.view);
    await lab.expect(out);
  }),

  check("random: core's bits for every size and key, and nothing around them (P45)", async (lab) => {
    const keys = [key(42), Uint32Array.of(0xffffffff, 0xffffffff), Uint32Array.of(0x13198a2e, 0x03707344)];
    await lab.forEach([0, ...EDGES, 1001, 4095, 4096, 4097, 8193, 100_003, 2 ** 21 + 3], async (n) => {
      for (const k of n < 10_000 ? keys : keys.slice(0, 1)) {
        for (const offset of [0, 2, 3]) {
          const at = { shape: [n], strides: [1], offset, length: n + offset + 3 };
          const out = lab.output('out', at, 'i32');
          randomBits(k, n).forEach((word, i) => set(out, offset + i, word | 0));
          lab.backend.random(k, out.view);
          await lab.expect(out);
          lab.freeAll();
          if (n > 10_000) break;
        }
      }
    });
  }),
];
