import fc from 'fast-check';
import { expect, test } from 'vitest';
import { BlockCache } from '../../../packages/nn/src/files/block-cache.ts';
import { runs } from '../../support/runs.ts';

test('holds the blocks used last, as many as the cap allows', () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 0, max: 30 }),
      fc.array(fc.tuple(fc.boolean(), fc.nat(5), fc.nat(12)), { minLength: 30, maxLength: 60 }),
      (cap, acts) => {
        const cache = new BlockCache(cap);
        // The rule, said slowly: a list, the one used last at its end.
        let held: { name: string; size: number }[] = [];
        for (const [put, n, size] of acts) {
          const name = String(n);
          const known = held.find((block) => block.name === name);
          if (put) {
            cache.set(name, new Uint8Array(size));
            held = held.filter((block) => block !== known);
            if (size <= cap) {
              held.push({ name, size });
              while (held.reduce((sum, block) => sum + block.size, 0) > cap) held.shift();
            }
          } else {
            expect(cache.get(name)?.byteLength).toBe(known?.size);
            if (known) held = [...held.filter((block) => block !== known), known];
          }
          expect(cache.bytes).toBe(held.reduce((sum, block) => sum + block.size, 0));
          expect(cache.bytes).toBeLessThanOrEqual(cap);
        }
      },
    ),
    runs(300),
  );
});
