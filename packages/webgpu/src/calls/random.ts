import { sizeOf, type View } from '@bax/core';
import type { Gpu } from '../gpu.ts';
import { random as kernel } from '../wgsl.generated.ts';

const SIZE = 64;

/** Fills `out` (i32, contiguous) with the first words under `key`. */
export function random(gpu: Gpu, key: Uint32Array, out: View): void {
  const count = sizeOf(out.shape);
  if (count === 0) return;
  const to = gpu.bind(out);
  gpu.about(out);
  gpu.run(kernel, { constants: { SIZE } }, [to], { key, count, at: to.base }, Math.ceil(count / 2 / SIZE));
}
