import type { FusedKernel, NormAttrs, View } from '@bax/core';
import { layerNorm, NORM_BLOCK, type NormKernels, rmsNorm } from '../kernels/norm.ts';
import type { Machine } from '../machine.ts';
import { sizeClass } from '../memory.ts';
import { dense } from './map.ts';
import { reduceRows } from './reduce.ts';
import { addressIn, allF32, withRows } from './rows.ts';

/** `f` with the address of each line (a weight, a bias), dense. */
function withLines(machine: Machine, lines: readonly View[], f: (...at: number[]) => void): void {
  const held = lines.map((line) => dense(machine, line));
  try {
    f(...held.map(([line]) => addressIn(line)));
  } finally {
    for (const [, free] of held) free();
  }
}

const of = (machine: Machine, name: string, kernels: NormKernels): Record<string, FusedKernel> => ({
  [name]([x, weight, bias = weight], [y], attrs) {
    if (!allF32(x)) return false;
    const { eps } = attrs as NormAttrs;
    withLines(machine, [weight, bias], (weight, bias) =>
      withRows(machine, [x, y], (x, y) =>
        machine.run(kernels.forward, [x.at, x.step, weight, bias, y.at, y.step, x.n, eps], x.count, 4 * x.count * x.n),
      ),
    );
    return true;
  },
  [`${name}Grad`]([g, x, weight], [dx], attrs) {
    if (!allF32(x)) return false;
    const { eps } = attrs as NormAttrs;
    withLines(machine, [weight], (weight) =>
      withRows(machine, [g, x, dx], (g, x, dx) => {
        const args = [g.at, g.step, x.at, x.step, weight, dx.at, dx.step, x.n, eps];
        machine.run(kernels.gradient, args, x.count, 6 * x.count * x.n);
      }),
    );
    return true;
  },
  [`${name}GradWeight`]([g, x], [dw], attrs) {
    if (!allF32(x)) return false;
    const { eps } = attrs as NormAttrs;
    const { memory } = machine;
    withRows(machine, [g, x], (g, x) => {
      const blocks = Math.ceil(x.count / NORM_BLOCK);
      const bytes = sizeClass(blocks * x.n * 4);
      const sums = memory.take(bytes, 'sums of a norm');
      const args = [g.at, g.step, x.at, x.step, sums, x.count, x.n, eps];
      machine.run(kernels.weightGradient, args, blocks, 4 * x.count * x.n);
      reduceRows(machine, sums, blocks, x.n, addressIn(dw));
      memory.give(sums, bytes);
    });
    return true;
  },
}); // prettier-ignore

export const norm = (machine: Machine): Record<string, FusedKernel> => ({
  ...of(machine, 'layerNorm', layerNorm),
  ...of(machine, 'rmsNorm', rmsNorm),
});
