import { bytesOf, collapse, type DType, permuteView, sizeOf, type View } from '@bax/core';
import { acrossGroup, acrossKernels, alongKernels, type ReduceOp } from '../kernels/reduce.ts';
import type { Machine } from '../machine.ts';
import { addressOf } from '../memory.ts';
import { withFresh } from './borrow.ts';
import { copyInto, fill } from './map.ts';

/** `out` has x's rank, and length 1 along the reduced axes. */
export function reduce(machine: Machine, op: ReduceOp, x: View, out: View): void {
  if (sizeOf(out.shape) === 0) return;
  if (sizeOf(x.shape) === 0) return fill(machine, out, 0);
  const axes = [...x.shape.keys()];
  const kept = side(x, out, axes.filter((i) => out.shape[i] !== 1 || x.shape[i] === 1)); // prettier-ignore
  const folded = side(x, undefined, axes.filter((i) => out.shape[i] === 1 && x.shape[i] !== 1)); // prettier-ignore
  const type = x.buffer.type as DType;
  const size = bytesOf(type);

  const isOneAxis = kept.shape.length <= 1 && folded.shape.length <= 1;
  const [keptStep, outStep] = kept.strides.map((s) => s[0] ?? 0);
  const foldedStep = folded.strides[0][0] ?? 1;
  const at = addressOf(x.buffer) + x.offset * size;
  const to = addressOf(out.buffer) + out.offset * size;
  const [n, of] = [kept.shape[0] ?? 1, folded.shape[0] ?? 1];
  if (isOneAxis && out.buffer.type === type) {
    if (foldedStep === 1)
      return machine.run(alongKernels[op][type], [at, keptStep * size, of, to, outStep * size], n, n * of);
    if (keptStep === 1 && outStep === 1)
      return machine.run(
        acrossKernels[op][type],
        [at, foldedStep * size, of, n, to],
        Math.ceil(n / acrossGroup(type)),
        n * of,
      );
  }
  rearranged(machine, op, x, out);
}

/** Σ over `rows` dense rows of n f32 elements. */
export function reduceRows(machine: Machine, x: number, rows: number, n: number, out: number): void {
  machine.run(acrossKernels.sum.f32, [x, n * 4, rows, n, out], Math.ceil(n / acrossGroup('f32')), rows * n);
}

/** The axes at `some`, as few as possible, and the strides of x along them; and of out, where it has them. */
function side(x: View, out: View | undefined, some: readonly number[]): ReturnType<typeof collapse> {
  const strides = [x, ...(out ? [out] : [])].map((v) => some.map((i) => v.strides[i]));
  return collapse(some.map((i) => x.shape[i]), strides); // prettier-ignore
}

/** Any other layout: by way of a copy with the reduced axes last, and of dense results. */
function rearranged(machine: Machine, op: ReduceOp, x: View, out: View): void {
  const isFolded = (i: number): boolean => out.shape[i] === 1 && x.shape[i] !== 1;
  const axes = [...x.shape.keys()];
  const order = [...axes.filter((i) => !isFolded(i)), ...axes.filter(isFolded)];
  const { type } = x.buffer;
  const [count, size] = [sizeOf(out.shape), bytesOf(type)];
  const of = sizeOf(x.shape) / count;
  const last = permuteView(x, order);
  withFresh(machine, last.shape, type, (copy) => {
    copyInto(machine, last, type, copy);
    const target = permuteView(out, order);
    withFresh(machine, target.shape, type, (results) => {
      const args = [addressOf(copy.buffer), of * size, of, addressOf(results.buffer), size];
      machine.run(alongKernels[op][type as DType], args, count, count * of);
      copyInto(machine, results, out.buffer.type, target);
    });
  });
}
