/** The checks that ops share. Each message names the op, the rule and the shapes. */
import { isFloat, type DType } from '../dtype.ts';
import { BaxError } from '../errors.ts';
import { showShape, type Shape } from '../shape.ts';
import type { Spec } from '../op.ts';
import type { Tensor } from '../tensor.ts';

export const fail = (op: string, message: string): never => {
  throw new BaxError(`${op}: ${message}`);
};

/** An axis counted from the end if negative. @throws if the rank has no such axis. */
export function axisOf(op: string, axis: number, rank: number): number {
  if (!Number.isInteger(axis) || axis < -rank || axis >= rank)
    fail(op, `there is no axis ${axis} in a tensor of rank ${rank}`);
  return axis < 0 ? axis + rank : axis;
}

/** The axes named, none twice, sorted; all of them if none is named. */
export function axesOf(op: string, axes: number | readonly number[] | undefined, rank: number): number[] {
  if (axes === undefined) return Array.from({ length: rank }, (_, i) => i);
  const list = (typeof axes === 'number' ? [axes] : axes).map((a) => axisOf(op, a, rank));
  if (new Set(list).size !== list.length) fail(op, `an axis is named twice in [${list.join(', ')}]`);
  return list.sort((a, b) => a - b);
}

export function wantFloat(op: string, x: Tensor, name = 'x'): void {
  if (!isFloat(x.dtype)) fail(op, `${name} is ${x.dtype}; cast it first: ${name}.cast('f32')`);
}
export function wantIndex(op: string, x: Tensor, name: string): void {
  if (x.dtype !== 'i32')
    fail(op, `${name} is ${x.dtype}, not i32; indices are integers: ${name}.cast('i32')`);
}
export function wantSameDtype(op: string, a: Tensor, b: Tensor): void {
  if (a.dtype !== b.dtype)
    fail(
      op,
      `dtypes differ: ${a.dtype} ${showShape(a.shape)} and ${b.dtype} ${showShape(b.shape)}; cast one of them`,
    );
}

export const like = (x: Tensor, shape: Shape = x.shape, dtype: DType = x.dtype): readonly Spec[] => [
  { shape, dtype },
];
