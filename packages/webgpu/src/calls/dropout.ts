import { type DropoutAttrs, type FusedKernel, isContiguous, sizeOf } from '@bax/core';
import type { Gpu } from '../gpu.ts';
import type { GpuTensorBuffer } from '../memory.ts';
import { dropout as kernel } from '../wgsl.generated.ts';
import { copyOf } from './map.ts';

const SIZE = 64;

export const dropout = (gpu: Gpu): Record<string, FusedKernel> => ({
  dropout([x], [y], attrs) {
    const count = sizeOf(x.shape);
    if (x.buffer.type !== 'f32' || count === 0 || !isContiguous(y)) return false;
    if (!gpu.fits(x) || !gpu.fits(y)) return false;
    const { p, key } = attrs as DropoutAttrs;
    const copy = isContiguous(x) && x.buffer !== y.buffer ? undefined : copyOf(gpu, x);
    const [from, to] = [gpu.bind(copy ?? x), gpu.bind(y)];
    const params = {
      key,
      count,
      least: Math.round(p * 2 ** 24),
      scale: 1 / (1 - p),
      x: from.base,
      y: to.base,
    };
    gpu.about(x);
    gpu.run(kernel, { constants: { SIZE } }, [from, to], params, Math.ceil(count / 2 / SIZE));
    if (copy) gpu.memory.free(copy.buffer as GpuTensorBuffer);
    return true;
  },
});
