import { type CrossEntropyAttrs, expr as e, type FusedKernel, sizeOf, type View } from '@bax/core';
import { crossEntropyGradKernel, crossEntropyKernel } from '../kernels/cross-entropy.ts';
import type { Machine } from '../machine.ts';
import type { WasmBuffer } from '../memory.ts';
import { dense, map } from './map.ts';
import { reduce } from './reduce.ts';
import { addressIn, allF32, withRows } from './rows.ts';

/** An exponential counts as so many multiplications. */
const EXP = 8;
const divided = e.scalarFn('f32', 1, 1, [e.div(e.input(0), e.scalar(0))]);

export const crossEntropy = (machine: Machine): Record<string, FusedKernel> => ({
  crossEntropy([logits, targets], [loss], attrs) {
    const count = countOf(machine, logits, targets, attrs as CrossEntropyAttrs);
    if (count === undefined) return false;
    const losses = scratchLine(machine, sizeOf(targets.shape));
    const [labels, free] = dense(machine, targets);
    withRows(machine, [logits], (x) => {
      const args = [x.at, x.step, addressIn(labels), addressIn(losses), x.n, (attrs as CrossEntropyAttrs).ignoreIndex];
      machine.run(crossEntropyKernel, args, x.count, EXP * x.count * x.n);
    });
    const total = { ...loss, shape: [1], strides: [1] };
    reduce(machine, 'sum', losses, total);
    map(machine, divided, [total], [total], [count]);
    free();
    machine.memory.free(losses.buffer as WasmBuffer);
    return true;
  },
  crossEntropyGrad([g, logits, targets], [dx], attrs) {
    const count = countOf(machine, logits, targets, attrs as CrossEntropyAttrs);
    if (count === undefined) return false;
    const scale = scratchLine(machine, 1);
    map(machine, divided, [{ ...g, shape: [1], strides: [1] }], [scale], [count]);
    const [labels, free] = dense(machine, targets);
    withRows(machine, [logits, dx], (x, dx) => {
      const { ignoreIndex } = attrs as CrossEntropyAttrs;
      const args = [x.at, x.step, addressIn(labels), dx.at, dx.step, x.n, ignoreIndex, addressIn(scale)];
      machine.run(crossEntropyGradKernel, args, x.count, 2 * EXP * x.count * x.n);
    });
    free();
    machine.memory.free(scale.buffer as WasmBuffer);
    return true;
  },
}); // prettier-ignore

const scratchLine = (machine: Machine, n: number): View => ({
  buffer: machine.memory.alloc(n, 'f32'),
  shape: [n],
  strides: [1],
  offset: 0,
});

/** How many targets count; undefined if the kernels do not take the case: no f32, or a target that is no class. */
function countOf(
  machine: Machine,
  logits: View,
  targets: View,
  { ignoreIndex }: CrossEntropyAttrs,
): number | undefined {
  if (!allF32(logits) || sizeOf(logits.shape) === 0) return undefined;
  const [labels, free] = dense(machine, targets);
  const all = machine.memory.arrayOf(labels.buffer as WasmBuffer & { type: 'i32' });
  const classes = logits.shape.at(-1)!;
  let count = 0;
  let valid = true;
  for (let i = labels.offset; i < labels.offset + sizeOf(labels.shape); i++) {
    if (all[i] === ignoreIndex) continue;
    count++;
    valid &&= all[i] >= 0 && all[i] < classes;
  }
  free();
  return valid ? count : undefined;
}
