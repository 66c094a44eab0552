import { BaxError } from './errors.ts';
import * as e from './expr.ts';
import { isRecording, noGrad } from './op.ts';
import { copy } from './ops/elementwise.ts';
import { onReplay } from './recording.ts';
import { sameShape, showShape } from './shape.ts';
import { type Tensor, wantWide } from './tensor.ts';

/** @throws unless `target` may be changed in place, and `source` fits it. */
function check(op: string, target: Tensor, source: Tensor): void {
  target.check(op);
  source.check(op);
  wantWide(op, target, 'the target');
  if (!sameShape(target.shape, source.shape))
    throw new BaxError(
      `${op}: target ${showShape(target.shape)} and source ${showShape(source.shape)} differ in shape`,
    );
  if (target.dtype !== source.dtype)
    throw new BaxError(`${op}: target is ${target.dtype}, source ${source.dtype}; cast the source`);
  if (target.backend !== source.backend)
    throw new BaxError(
      `${op}: target lives on ${target.backend.name}, source on ${source.backend.name}; move one with to()`,
    );
  if (target.record)
    throw new BaxError(
      `${op}: the target is the result of a recorded op; assign to a parameter or a detached tensor`,
    );
  if (source.record && isRecording())
    throw new BaxError(
      `${op}: the source is the result of a recorded op, whose gradient would be lost in place; assign detach(x), or under noGrad`,
    );
  if (target.view.strides.some((stride, i) => stride === 0 && target.shape[i]! > 1))
    throw new BaxError(
      `${op}: the target repeats its elements (it was expanded); change what it was made of, or a copy()`,
    );
}

/**
 * Changes a tensor in place: a parameter, optimiser state, a cache or a slice of one. Bumps the version that `grad`
 * checks, so that a tape that still needs the old values says so.
 * @throws if shapes, dtypes or backends differ, the target is held narrow or expanded, or one of them is the result of a recorded op.
 */
export function assign(target: Tensor, source: Tensor): Tensor {
  check('assign', target, source);
  // Two windows on one memory may overlap (a cache that moves up by one): nothing may be read after it was written.
  const from = source.view.buffer === target.view.buffer ? noGrad(() => copy(source)) : source;
  if (target.size > 0)
    target.backend.map(e.scalarFn(target.dtype, 1, 0, [e.input(0)]), [from.view], [target.view], []);
  if (from !== source) from.dispose();
  changed(target);
  return target;
}

/**
 * One map over tensors of one shape, in place: `targets[i] = outputs[i](tensors, scalars)`. What optimisers are made of.
 * A target may be among the tensors, but must not overlap another. Scalars of a typed array are read again when a
 * recorded step is made again.
 * @throws as `assign` does.
 */
export function update(
  outputs: readonly e.Expr[],
  tensors: readonly Tensor[],
  targets: readonly Tensor[],
  scalars: ArrayLike<number>,
): void {
  const [first] = targets;
  for (const target of targets)
    for (const source of [...tensors, ...targets]) check('update', target, source);
  const fn = e.scalarFn(first!.dtype, tensors.length, scalars.length, outputs);
  if (first!.size > 0) first!.backend.map(fn, tensors.map((t) => t.view), targets.map((t) => t.view), scalars); // prettier-ignore
  targets.forEach(changed);
}

function changed({ hold: { memory } }: Tensor): void {
  memory.version++;
  onReplay(() => memory.version++);
}
