import {
  type CrossEntropyAttrs,
  expr as e,
  type FusedKernel,
  isContiguous,
  sizeOf,
  type View,
} from '@bax/core';
import type { Gpu } from '../gpu.ts';
import type { GpuTensorBuffer } from '../memory.ts';
import { crossEntropyGrad as gradKernel, crossEntropy as kernel } from '../wgsl.generated.ts';
import { copyOf, freshView, map } from './map.ts';
import { reduce } from './reduce.ts';
import { onRows } from './rows.ts';

const quotient = e.scalarFn('f32', 2, 0, [e.div(e.input(0), e.input(1))]);
const differs = e.scalarFn('i32', 1, 1, [e.sub(e.constant(1), e.eq(e.input(0), e.scalar(0)))]);

export const crossEntropy = (gpu: Gpu): Record<string, FusedKernel> => ({
  crossEntropy: ([logits, targets], [loss], attrs) =>
    withTargets(gpu, targets, attrs as CrossEntropyAttrs, (labels, count, ignore) =>
      onRows(gpu, [logits], [], ({ rows, columns, T, constants, workgroups }, x) => {
        const total = { ...loss, shape: [1], strides: [1] };
        const losses = freshView(gpu, [rows], 'f32');
        const [at, to] = [gpu.bind(labels), gpu.bind(losses)];
        const params = { rows, columns, ignore, x: x.at, xRow: x.step, targets: at.base };
        gpu.run(kernel, { T, constants }, [x.bound, at, to], params, workgroups);
        reduce(gpu, 'sum', losses, total);
        map(gpu, quotient, [total, count], [total], []);
        gpu.memory.free(losses.buffer as GpuTensorBuffer);
      }),
    ),
  crossEntropyGrad: ([g, logits, targets], [dx], attrs) =>
    withTargets(gpu, targets, attrs as CrossEntropyAttrs, (labels, count, ignore) =>
      onRows(
        gpu,
        [logits, { ...g, shape: [1], strides: [1] }],
        [dx],
        ({ rows, n, constants: { TEAM, SIZE }, workgroups }, x, g, dx) => {
          const [at, of] = [gpu.bind(labels), gpu.bind(count)];
          const params = {
            rows,
            columns: n,
            ignore,
            g: g.at,
            x: x.at,
            xRow: x.step,
            targets: at.base,
            dx: dx.at,
            dxRow: dx.step,
          };
          gpu.run(
            gradKernel,
            { constants: { TEAM, SIZE } },
            [g.bound, x.bound, at, of, dx.bound],
            params,
            workgroups,
          );
        },
        1,
      ),
    ),
});

/** Calls `f` with the targets side by side and, on the device, with the number of those that count. */
function withTargets(
  gpu: Gpu,
  targets: View,
  { ignoreIndex }: CrossEntropyAttrs,
  f: (labels: View, count: View, ignoreIndex: number) => boolean,
): boolean {
  if (targets.buffer.type !== 'i32' || !gpu.fits(targets) || sizeOf(targets.shape) === 0) return false;
  const rows = sizeOf(targets.shape);
  const copy = isContiguous(targets) ? undefined : copyOf(gpu, targets);
  const labels = { ...(copy ?? targets), shape: [rows], strides: [1] };
  const valid = freshView(gpu, [rows], 'i32');
  const count = freshView(gpu, [1], 'i32');
  map(gpu, differs, [labels], [valid], [ignoreIndex]);
  reduce(gpu, 'sum', valid, count);
  const taken = f(labels, count, ignoreIndex);
  for (const v of [copy, valid, count]) if (v) gpu.memory.free(v.buffer as GpuTensorBuffer);
  return taken;
}
