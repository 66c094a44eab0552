/**
 * Counts the floating-point operations of the products that really ran, forward and backward, as core reports them:
 * what nobody asked for (the gradient of a frozen weight) did not run and does not count. Elementwise work is left out,
 * as usual: it is linear in the elements where products are not.
 */
import { observe, type Tensor } from '@bax/core';

type Formula = (inputs: readonly Tensor[], outputs: readonly Tensor[]) => number;

const depth = (x: Tensor): number => x.shape.at(-1)!;
/** How many pairs of a query and a key there are. */
const scores = (q: Tensor, k: Tensor): number => (q.size / depth(q)) * k.shape.at(-2)!;

/** A multiply-add counts two. */
const formulas: Readonly<Record<string, Formula>> = {
  matmul: ([a], [y]) => 2 * y!.size * depth(a!), // [..., m, k] · [..., k, n]
  linear: ([x], [y]) => 2 * y!.size * depth(x!), // [..., in] → [..., out]
  // Where a backend runs them fused: what the same costs unfused, of which a causal one might skip half.
  attention: ([q, k, v]) => 2 * scores(q!, k!) * (depth(k!) + depth(v!)), // q kᵀ, p v
  attentionGrad: ([, q, k, v]) => 2 * scores(q!, k!) * (3 * depth(k!) + 2 * depth(v!)), // q kᵀ, ds k, dsᵀ q; g vᵀ, pᵀ g
  loraLinear: ([x, ...rest], [y]) => {
    const wx = 2 * y!.size * depth(x!);
    const branches = Array.from({ length: Math.floor((rest.length - 1) / 3) }, (_, i) => [
      rest[2 + 3 * i]!,
      rest[3 + 3 * i]!,
    ]);
    return branches.reduce((sum, [A, B]) => sum + 2 * (x!.size / depth(x!)) * (A!.size + B!.size), wx); // A z, B (A z)
  },
};

/** The result of `f`, and the operations of the products that ran in it. */
export function countFlops<T>(f: () => T): { result: T; flops: number } {
  let flops = 0;
  const result = observe((op, inputs, outputs) => {
    flops += formulas[op]?.(inputs, outputs) ?? 0;
  }, f);
  return { result, flops };
}
