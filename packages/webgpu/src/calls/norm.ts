import { type FusedKernel, type NormAttrs, sizeOf } from '@bax/core';
import type { Gpu } from '../gpu.ts';
import {
  normGrad as gradKernel,
  normGradWeight as gradWeightKernel,
  norm as kernel,
  normStatistics as statisticsKernel,
} from '../wgsl.generated.ts';
import { reduce } from './reduce.ts';
import { onRows } from './rows.ts';

const SIZE = 64;
/** Rows whose gradients of the weight one thread sums. */
const CHUNK = 64;
/** Bytes of what is known of a row. */
const STATISTICS = 16;

/** CENTRED: whether it subtracts the mean, as layerNorm does and rmsNorm does not. */
const of = (gpu: Gpu, name: string, CENTRED: number): Record<string, FusedKernel> => ({
  [name]: ([x, weight, bias = weight], [y], attrs) =>
    onRows(
      gpu,
      [x, weight, bias],
      [y],
      ({ rows, columns, n, T, constants, workgroups }, _, x, weight, bias, y) => {
        gpu.run(
          kernel,
          { T, constants: { ...constants, CENTRED } },
          [x.bound, weight.bound, bias.bound, y.bound],
          {
            rows,
            columns,
            n,
            eps: (attrs as NormAttrs).eps,
            x: x.at,
            xRow: x.step,
            weight: weight.at,
            bias: bias.at,
            y: y.at,
            yRow: y.step,
          },
          workgroups,
        );
      },
    ),
  [`${name}Grad`]: ([g, x, weight], [dx], attrs) =>
    onRows(
      gpu,
      [g, x, weight],
      [dx],
      ({ rows, columns, n, T, constants, workgroups }, _, g, x, weight, dx) => {
        gpu.run(
          gradKernel,
          { T, constants: { ...constants, CENTRED } },
          [g.bound, x.bound, weight.bound, dx.bound],
          {
            rows,
            columns,
            n,
            eps: (attrs as NormAttrs).eps,
            g: g.at,
            gRow: g.step,
            x: x.at,
            xRow: x.step,
            weight: weight.at,
            dx: dx.at,
            dxRow: dx.step,
          },
          workgroups,
        );
      },
    ),
  [`${name}GradWeight`]: ([g, x], [dw], attrs) =>
    (sizeOf(x.shape) / dw.shape[0]) * STATISTICS <= gpu.maxBinding &&
    onRows(gpu, [g, x], [], ({ rows, columns, n, T, constants, workgroups }, fresh, g, x) => {
      const statistics = fresh([rows, 4], 'f32');
      const chunks = Math.ceil(rows / CHUNK);
      const sums = fresh([chunks, n], 'f32');
      const moments = gpu.bind(statistics);
      gpu.run(
        statisticsKernel,
        { T, constants: { ...constants, CENTRED } },
        [x.bound, moments],
        { rows, columns, n, eps: (attrs as NormAttrs).eps, x: x.at, xRow: x.step },
        workgroups,
      );
      const count = chunks * columns;
      gpu.run(
        gradWeightKernel,
        { T, constants: { SIZE } },
        [g.bound, x.bound, moments, gpu.bind(sums)],
        { rows, columns, chunk: CHUNK, count, g: g.at, gRow: g.step, x: x.at, xRow: x.step },
        Math.ceil(count / SIZE),
      );
      reduce(gpu, 'sum', sums, { ...dw, shape: [1, n], strides: [0, ...dw.strides] });
    }),
});

export const norm = (gpu: Gpu): Record<string, FusedKernel> => ({
  ...of(gpu, 'layerNorm', 1),
  ...of(gpu, 'rmsNorm', 0),
});
