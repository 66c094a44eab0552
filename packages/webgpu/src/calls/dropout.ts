import { type DropoutAttrs, type FusedKernel, isContiguous, sizeOf } from '@bax/core';
import type { Gpu } from '../gpu.ts';
import { dropout as kernel } from '../wgsl.generated.ts';
import { borrow } from './borrow.ts';
import { copyOf } from './map.ts';

const SIZE = 64;

export const dropout = (gpu: Gpu): Record<string, FusedKernel> => ({
  dropout([x], [y], attrs) {
    const n = sizeOf(x.shape);
    if (x.buffer.type !== 'f32' || n === 0 || !gpu.fits(x) || !gpu.fits(y)) return false;
    // Fours throughout: y's last ones may reach beyond its end, where its buffer is padded.
    if (!isContiguous(y) || y.offset % 4 !== 0 || y.offset + n < y.buffer.length) return false;
    const { p, key } = attrs as DropoutAttrs;
    const lies = isContiguous(x) && x.offset % 4 === 0 && x.buffer !== y.buffer;
    borrow(gpu, (fresh) => {
      const source = lies ? x : copyOf(gpu, fresh, x);
      const [from, to] = [gpu.bind(source), gpu.bind(y)];
      const count = Math.ceil(n / 4);
      gpu.about(x);
      const params = {
        key,
        count,
        least: Math.round(p * 2 ** 24),
        scale: 1 / (1 - p),
        x: from.base / 4,
        y: to.base / 4,
      };
      gpu.run(kernel, { constants: { SIZE } }, [from, to], params, Math.ceil(count / SIZE), true); // the key
    });
    return true;
  },
});
