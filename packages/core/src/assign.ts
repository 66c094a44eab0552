import { BaxError } from './errors.ts';
import * as e from './expr.ts';
import { sameShape, showShape } from './shape.ts';
import type { Tensor } from './tensor.ts';

/**
 * Changes a tensor in place: a parameter, optimiser state, a cache or a slice of one. Bumps the version that `grad`
 * checks, so that a tape that still needs the old values says so.
 * @throws if shapes or dtypes differ, or the target is the result of a recorded op.
 */
export function assign(target: Tensor, source: Tensor): Tensor {
  target.check('assign');
  source.check('assign');
  if (!sameShape(target.shape, source.shape)) throw new BaxError(`assign: target ${showShape(target.shape)} and source ${showShape(source.shape)} differ in shape`);
  if (target.dtype !== source.dtype) throw new BaxError(`assign: target is ${target.dtype}, source ${source.dtype}; cast the source`);
  if (target.record) throw new BaxError('assign: the target is the result of a recorded op; assign to a parameter or a detached tensor');
  if (target.size > 0) target.backend.map(e.scalarFn(target.dtype, 1, 0, [e.input(0)]), [source.view], [target.view], []);
  target.hold.memory.version++;
  return target;
}

/** One map over tensors of one shape, in place: `targets[i] = outputs[i](tensors, scalars)`. What optimisers are made of. */
export function update(outputs: readonly e.Expr[], tensors: readonly Tensor[], targets: readonly Tensor[], scalars: readonly number[]): void {
  const [first] = targets;
  for (const t of [...tensors, ...targets]) {
    t.check('update');
    if (!sameShape(t.shape, first!.shape)) throw new BaxError(`update: ${showShape(t.shape)} and ${showShape(first!.shape)} differ in shape`);
  }
  const fn = e.scalarFn(first!.dtype, tensors.length, scalars.length, outputs);
  if (first!.size > 0) first!.backend.map(fn, tensors.map((t) => t.view), targets.map((t) => t.view), scalars); // prettier-ignore
  for (const t of targets) t.hold.memory.version++;
}
