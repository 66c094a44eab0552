import { type CrossEntropyAttrs, expr as e, type FusedKernel, sizeOf, type View } from '@bax/core';
import { crossEntropyGradKernel, crossEntropyKernel } from '../kernels/cross-entropy.ts';
import type { Machine } from '../machine.ts';
import type { WasmBuffer } from '../memory.ts';
import { withFitting, withFresh } from './borrow.ts';
import { map } from './map.ts';
import { reduce } from './reduce.ts';
import { addressIn, allF32, withRows } from './rows.ts';

/** An exponential counts as so many multiplications. */
const EXP = 8;
const divided = e.scalarFn('f32', 1, 1, [e.div(e.input(0), e.scalar(0))]);

export const crossEntropy = (machine: Machine): Record<string, FusedKernel> => ({
  crossEntropy([logits, targets], [loss], attrs) {
    const { ignoreIndex } = attrs as CrossEntropyAttrs;
    const count = countOf(machine, logits, targets, ignoreIndex);
    if (count === undefined) return false;
    const total = { ...loss, shape: [1], strides: [1] };
    withFresh(machine, [sizeOf(targets.shape)], 'f32', (losses) => {
      withFitting(machine, [targets], (labels) =>
        withRows(machine, [logits], (x) => {
          const args = [x.at, x.step, addressIn(labels), addressIn(losses), x.n, ignoreIndex];
          machine.run(crossEntropyKernel, args, x.count, EXP * x.count * x.n);
        }),
      );
      reduce(machine, 'sum', losses, total);
    });
    map(machine, divided, [total], [total], [count]);
    return true;
  },
  crossEntropyGrad([g, logits, targets], [dx], attrs) {
    const { ignoreIndex } = attrs as CrossEntropyAttrs;
    const count = countOf(machine, logits, targets, ignoreIndex);
    if (count === undefined) return false;
    withFresh(machine, [1], 'f32', (scale) => {
      map(machine, divided, [{ ...g, shape: [1], strides: [1] }], [scale], [count]);
      withFitting(machine, [targets], (labels) =>
        withRows(machine, [logits, dx], (x, dx) => {
          const args = [x.at, x.step, addressIn(labels), dx.at, dx.step, x.n, ignoreIndex, addressIn(scale)];
          machine.run(crossEntropyGradKernel, args, x.count, 2 * EXP * x.count * x.n);
        }),
      );
    });
    return true;
  },
});

/** How many targets count; undefined if the kernels do not take the case: no f32, or a target that is no class. */
function countOf(machine: Machine, logits: View, targets: View, ignoreIndex: number): number | undefined {
  if (!allF32(logits) || sizeOf(logits.shape) === 0) return undefined;
  const classes = logits.shape.at(-1)!;
  return withFitting(machine, [targets], (labels) => {
    const all = machine.memory.arrayOf(labels.buffer as WasmBuffer & { type: 'i32' });
    let count = 0;
    for (let i = labels.offset; i < labels.offset + sizeOf(labels.shape); i++) {
      if (all[i] === ignoreIndex) continue;
      if (all[i] < 0 || all[i] >= classes) return undefined;
      count++;
    }
    return count;
  });
}
