import {
  type CrossEntropyAttrs,
  expr as e,
  type FusedKernel,
  isContiguous,
  sizeOf,
  type View,
} from '@bax/core';
import type { Gpu } from '../gpu.ts';
import { crossEntropyGrad as gradKernel, crossEntropy as kernel } from '../wgsl.generated.ts';
import { borrow } from './borrow.ts';
import { copyOf, map } from './map.ts';
import { reduce } from './reduce.ts';
import { onRows } from './rows.ts';

const quotient = e.scalarFn('f32', 2, 0, [e.div(e.input(0), e.input(1))]);
const differs = e.scalarFn('i32', 1, 1, [e.sub(e.constant(1), e.eq(e.input(0), e.scalar(0)))]);

export const crossEntropy = (gpu: Gpu): Record<string, FusedKernel> => ({
  crossEntropy: ([logits, targets], [loss], attrs) =>
    withTargets(gpu, targets, attrs as CrossEntropyAttrs, (labels, count, ignore) =>
      onRows(gpu, [logits], [], ({ rows, columns, T, constants, workgroups }, fresh, x) => {
        const total = { ...loss, shape: [1], strides: [1] };
        const losses = fresh([rows], 'f32');
        const [at, to] = [gpu.bind(labels), gpu.bind(losses)];
        const params = { rows, columns, ignore, x: x.at, xRow: x.step, targets: at.base };
        gpu.run(kernel, { T, constants }, [x.bound, at, to], params, workgroups);
        reduce(gpu, 'sum', losses, total);
        map(gpu, quotient, [total, count], [total], []);
      }),
    ),
  crossEntropyGrad: ([g, logits, targets], [dx], attrs) =>
    withTargets(gpu, targets, attrs as CrossEntropyAttrs, (labels, count, ignore) =>
      onRows(
        gpu,
        [logits, { ...g, shape: [1], strides: [1] }],
        [dx],
        ({ rows, n, constants: { TEAM, SIZE }, workgroups }, _, x, g, dx) => {
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
  return borrow(gpu, (fresh) => {
    const side = isContiguous(targets) ? targets : copyOf(gpu, fresh, targets);
    const labels = { ...side, shape: [rows], strides: [1] };
    const [valid, count] = [fresh([rows], 'i32'), fresh([1], 'i32')];
    map(gpu, differs, [labels], [valid], [ignoreIndex]);
    reduce(gpu, 'sum', valid, count);
    return f(labels, count, ignoreIndex);
  });
}
