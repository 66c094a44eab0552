import { sizeOf, type View } from '@bax/core';
import type { Gpu } from '../gpu.ts';
import { random as kernel } from '../wgsl.generated.ts';

const SIZE = 64;

/** Fills `out` (i32, contiguous) with the first words under `key`. */
export function random(gpu: Gpu, key: Uint32Array, out: View): void {
  const count = sizeOf(out.shape);
  if (count === 0) return;
  gpu.about(out);
  // As many words as a binding holds, from an even one on.
  const most = gpu.fits(out) ? count : Math.floor((gpu.maxBinding - 256) / 8) * 2;
  for (let first = 0; first < count; first += most) {
    const words = Math.min(most, count - first);
    const to = gpu.bind({ ...out, shape: [words], strides: [1], offset: out.offset + first });
    const params = { key, block: first / 2, count: words, at: to.base };
    gpu.run(kernel, { constants: { SIZE } }, [to], params, Math.ceil(words / 2 / SIZE), true); // the key
  }
}
