/**
 * Counts the floating-point operations of the products that really ran, forward and backward, as core reports them:
 * what nobody asked for (the gradient of a frozen weight) did not run and does not count. Elementwise work is left out,
 * as usual: it is linear in the elements where products are not.
 */
import { observe, type Tensor } from '@bax/core';

type Formula = (inputs: readonly Tensor[], outputs: readonly Tensor[]) => number;

/** A multiply-add counts two. */
const formulas: Readonly<Record<string, Formula>> = {
  matmul: ([a], [y]) => 2 * y!.size * a!.shape.at(-1)!, // [..., m, k] · [..., k, n]
  linear: ([x], [y]) => 2 * y!.size * x!.shape.at(-1)!, // [..., in] → [..., out]
  // Where a backend runs it fused: q kᵀ and p v, of which a causal one might skip half.
  attention: ([q, k, v], [y]) => 2 * (y!.size / v!.shape[3]!) * k!.shape[2]! * (q!.shape[3]! + v!.shape[3]!),
};

/** The result of `f`, and the operations of the products that ran in it. */
export function countFlops<T>(f: () => T): { result: T; flops: number } {
  let flops = 0;
  const result = observe((op, inputs, outputs) => {
    flops += formulas[op]?.(inputs, outputs) ?? 0;
  }, f);
  return { result, flops };
}
