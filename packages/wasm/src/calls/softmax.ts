import type { Axis, FusedKernel } from '@bax/core';
import type { Kernel } from '../kernels/kernel.ts';
import {
  logSoftmaxGradKernel,
  logSoftmaxKernel,
  softmaxGradKernel,
  softmaxKernel,
} from '../kernels/softmax.ts';
import type { Machine } from '../machine.ts';
import { allF32, withRows } from './rows.ts';

/** An exponential counts as so many multiplications. */
const EXP = 8;

/** Along the last axis of f32. */
const forward =
  (machine: Machine, kernel: Kernel): FusedKernel =>
  ([x], [y], attrs) => {
    if (!allF32(x) || (attrs as Axis).axis !== x.shape.length - 1) return false;
    withRows(machine, [x, y], (x, y) =>
      machine.run(kernel, [x.at, x.step, y.at, y.step, x.n], x.count, EXP * x.count * x.n),
    );
    return true;
  };
const gradient =
  (machine: Machine, kernel: Kernel): FusedKernel =>
  ([g, y], [dx], attrs) => {
    if (!allF32(g) || (attrs as Axis).axis !== y.shape.length - 1) return false;
    withRows(machine, [g, y, dx], (g, y, dx) =>
      machine.run(kernel, [g.at, g.step, y.at, y.step, dx.at, dx.step, y.n], y.count, 2 * y.count * y.n),
    );
    return true;
  };

export const softmax = (machine: Machine): Record<string, FusedKernel> => ({
  softmax: forward(machine, softmaxKernel),
  logSoftmax: forward(machine, logSoftmaxKernel),
  softmaxGrad: gradient(machine, softmaxGradKernel),
  logSoftmaxGrad: gradient(machine, logSoftmaxGradKernel),
});
