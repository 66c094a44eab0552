import { type DropoutAttrs, type FusedKernel, isContiguous, sizeOf } from '@bax/core';
import { dropoutKernel, RANDOM_WORDS } from '../kernels/random.ts';
import type { Machine } from '../machine.ts';
import { withFitting } from './borrow.ts';
import { addressIn, allF32 } from './rows.ts';

export const dropout = (machine: Machine): Record<string, FusedKernel> => ({
  dropout([x], [y], attrs) {
    if (!allF32(x) || !isContiguous(y)) return false;
    const { p, key } = attrs as DropoutAttrs;
    const words = sizeOf(x.shape);
    withFitting(machine, [x], (x) => {
      const [from, to] = [addressIn(x), addressIn(y)];
      const args = [key[0], key[1], from, to, words, Math.round(p * 2 ** 24), 1 / (1 - p)];
      machine.run(dropoutKernel, args, Math.ceil(words / RANDOM_WORDS), 16 * words);
    });
    return true;
  },
});
