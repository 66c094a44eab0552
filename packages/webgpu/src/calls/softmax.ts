import type { Axis, FusedKernel } from '@bax/core';
import type { Gpu } from '../gpu.ts';
import { softmaxGrad as gradKernel, softmax as kernel } from '../wgsl.generated.ts';
import { onRows } from './rows.ts';

/** Along the last axis of f32. */
const forward =
  (gpu: Gpu, LOG: number): FusedKernel =>
  ([x], [y], attrs) =>
    (attrs as Axis).axis === x.shape.length - 1 &&
    onRows(gpu, [x], [y], ({ rows, columns, T, constants, workgroups }, _, x, y) => {
      const params = { rows, columns, x: x.at, xRow: x.step, y: y.at, yRow: y.step };
      gpu.run(kernel, { T, constants: { ...constants, LOG } }, [x.bound, y.bound], params, workgroups);
    });
const gradient =
  (gpu: Gpu, LOG: number): FusedKernel =>
  ([g, y], [dx], attrs) =>
    (attrs as Axis).axis === y.shape.length - 1 &&
    onRows(gpu, [g, y], [dx], ({ rows, columns, T, constants, workgroups }, _, g, y, dx) => {
      const params = {
        rows,
        columns,
        g: g.at,
        gRow: g.step,
        y: y.at,
        yRow: y.step,
        dx: dx.at,
        dxRow: dx.step,
      };
      gpu.run(
        gradKernel,
        { T, constants: { ...constants, LOG } },
        [g.bound, y.bound, dx.bound],
        params,
        workgroups,
      );
    });

export const softmax = (gpu: Gpu): Record<string, FusedKernel> => ({
  softmax: forward(gpu, 0),
  logSoftmax: forward(gpu, 1),
  softmaxGrad: gradient(gpu, 0),
  logSoftmaxGrad: gradient(gpu, 1),
});
