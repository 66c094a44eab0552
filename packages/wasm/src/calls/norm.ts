import type { FusedKernel, NormAttrs } from '@bax/core';
import { layerNorm, NORM_BLOCK, type NormKernels, rmsNorm } from '../kernels/norm.ts';
import type { Machine } from '../machine.ts';
import { withBlock, withFitting } from './borrow.ts';
import { reduceRows } from './reduce.ts';
import { addressIn, allF32, withRows } from './rows.ts';

const of = (machine: Machine, name: string, kernels: NormKernels): Record<string, FusedKernel> => ({
  [name]([x, weight, bias = weight], [y], attrs) {
    if (!allF32(x)) return false;
    const { eps } = attrs as NormAttrs;
    withFitting(machine, [weight, bias], (weight, bias) =>
      withRows(machine, [x, y], (x, y) =>
        machine.run(kernels.forward, [x.at, x.step, addressIn(weight), addressIn(bias), y.at, y.step, x.n, eps], x.count, 4 * x.count * x.n),
      ),
    );
    return true;
  },
  [`${name}Grad`]([g, x, weight], [dx], attrs) {
    if (!allF32(x)) return false;
    const { eps } = attrs as NormAttrs;
    withFitting(machine, [weight], (weight) =>
      withRows(machine, [g, x, dx], (g, x, dx) => {
        const args = [g.at, g.step, x.at, x.step, addressIn(weight), dx.at, dx.step, x.n, eps];
        machine.run(kernels.gradient, args, x.count, 6 * x.count * x.n);
      }),
    );
    return true;
  },
  [`${name}GradWeight`]([g, x], [dw], attrs) {
    if (!allF32(x)) return false;
    const { eps } = attrs as NormAttrs;
    withRows(machine, [g, x], (g, x) => {
      const blocks = Math.ceil(x.count / NORM_BLOCK);
      withBlock(machine, blocks * x.n * 4, 'sums of a norm', (sums) => {
        const args = [g.at, g.step, x.at, x.step, sums, x.count, x.n, eps];
        machine.run(kernels.weightGradient, args, blocks, 4 * x.count * x.n);
        reduceRows(machine, sums, blocks, x.n, addressIn(dw));
      });
    });
    return true;
  },
}); // prettier-ignore

export const norm = (machine: Machine): Record<string, FusedKernel> => ({
  ...of(machine, 'layerNorm', layerNorm),
  ...of(machine, 'rmsNorm', rmsNorm),
});
