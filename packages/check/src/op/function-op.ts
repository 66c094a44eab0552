/** A plain function of tensors as an op, so that the laws can draw its calls. */
import { BaxError, getBackend, isTensor, type Op, type Sample, setBackend, type Backend, type Draw, type Tensor } from '@bax/core'; // prettier-ignore
import { kindOf } from '../errors.ts';

/** y = f(x₀, x₁, …), synchronous and without hidden state. */
export type TensorFunction = (...inputs: Tensor[]) => Tensor | readonly Tensor[];

/** Draws the inputs of valid calls, as an op's `domain` does. */
export type Domain = (draw: Draw) => Sample<unknown>['inputs'];

const functions = new WeakSet<object>();
/** Whether the op stands for a function, which has no shape rule and no gradient rule of its own. */
export const isFunction = (op: Op): boolean => functions.has(op);

/** @throws BaxError when it is called, if f returns no tensor. */
export function functionOp(f: TensorFunction, name: string, domain: Domain): Op {
  const op: Op = {
    name,
    domain: (draw) => ({ inputs: domain(draw), attrs: undefined }),
    out: () => [], // nobody asks: a composition makes its own results
    compose(inputs) {
      const y: unknown = withDefault(inputs[0]!.backend, () => f(...inputs));
      const list: readonly unknown[] = Array.isArray(y) ? y : [y];
      if (list.length === 0 || !list.every(isTensor))
        throw new BaxError(`${name}: a function of tensors returns a tensor, or several; this one returned ${kindOf(y)}`); // prettier-ignore
      return list;
    },
  };
  functions.add(op);
  return op;
}

/** Constants that f makes without naming a backend shall be made where it is tried. */
function withDefault<T>(backend: Backend, f: () => T): T {
  let before: Backend | undefined;
  try {
    before = getBackend();
  } catch {
    // none was chosen yet
  }
  setBackend(backend);
  try {
    return f();
  } finally {
    if (before) setBackend(before);
  }
}
