import { sizeOf, threefry2x32 } from '@bax/core';
import type { View } from '@bax/core';
import { arrayOf } from './memory.ts';

/** Fills `out` (i32, contiguous) with the first words under `key`, as core's `randomBits` gives them. */
export function random(key: Uint32Array, out: View): void {
  const n = sizeOf(out.shape);
  const words = (arrayOf(out.buffer) as Int32Array).subarray(out.offset, out.offset + n);
  for (let at = 0; at < n; at += 2) threefry2x32(key[0], key[1], at >> 1, 0, words, at);
}
