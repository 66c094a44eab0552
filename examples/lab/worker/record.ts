/** A record of the tape, run again by itself: as it ran, and its gradient rules. */
import { applyAll, grad, type Cotangent, type Op, type TapeRecord, type Tensor, type Vjp } from 'bax';

/** The inputs whose gradient the backward walk asks for: those that depend on something trained. */
export const askedFor = ({ inputs }: TapeRecord): number[] =>
  inputs.flatMap((x, i) => (x.tracked ? [i] : []));

/** The call with these inputs in its own ones' place. */
export const forwardOf = ({ op, attrs }: TapeRecord, x: readonly Tensor[]): readonly Tensor[] =>
  applyAll(op as Op, x, attrs);

/** The gradients of the inputs that are asked for, given that of the result. None of the tensors is tracked. */
export function backwardOf(
  record: TapeRecord,
  x: readonly Tensor[],
  ys: readonly Tensor[],
  g: Tensor,
): Tensor[] {
  const { op, attrs } = record;
  if (op.window) {
    // The walk has no use for its rule: it adds g to its place in the gradient of what was sliced.
    const [whole] = x;
    whole.requiresGrad = true;
    return grad(forwardOf(record, x)[0], [whole], { cotangent: g });
  }
  let memo: { value: unknown } | undefined;
  const shared: Cotangent<unknown>['shared'] = (make) =>
    (memo ??= { value: make() }).value as ReturnType<typeof make>;
  return askedFor(record).flatMap((index) => {
    const rule = (typeof op.vjp === 'function' ? op.vjp : op.vjp?.[index]) as Vjp<unknown>;
    return rule({ g, x, y: ys[0], ys, attrs, index, shared }) ?? [];
  });
}
