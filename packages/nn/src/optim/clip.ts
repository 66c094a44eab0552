import {
  add, BaxError, div, le, mapRuns, mul, noGrad, runsOf, scope, sqrt, stack, sum, where, type Tensor,
} from '@bax/core'; // prettier-ignore

/**
 * The norm of all gradients as one vector, ‖g‖ = √Σᵢ Σ gᵢ²; a scalar on their device. NaN or infinite if an
 * element is (or if, in f32, ‖g‖ ≥ 1.8e19, whose square f32 cannot hold). How the vector is cut into tensors
 * makes no difference but rounding.
 * @throws if there are none, or their dtypes differ.
 */
export function gradNorm(grads: readonly Tensor[]): Tensor {
  if (grads.length === 0) throw new BaxError('gradNorm: there are no gradients');
  const square = (g: Tensor): Tensor => scope(() => sum(mul(g, g)));
  return scope(() => noGrad(() => sqrt(sum(stack(runsOf(grads).map(({ tensors: [g] }) => square(g!)))))));
}

/**
 * The gradients times min(1, maxNorm / ‖g‖), as new tensors, and the norm ‖g‖ that they had before: their
 * norm becomes min(‖g‖, maxNorm), their direction stays, and up to maxNorm so do their bits. Does not wait
 * for the device. A NaN or infinite norm makes every gradient NaN: it cannot pass for a small step.
 * https://arxiv.org/abs/1211.5063 algorithm 1; torch.nn.utils.clip_grad_norm_ without its 1e-6.
 * @throws if maxNorm is not a finite number above 0, there are no gradients, or their dtypes differ.
 */
export function clipGradNorm(grads: readonly Tensor[], maxNorm: number): { grads: Tensor[]; norm: Tensor } {
  if (!(maxNorm > 0 && maxNorm < Infinity))
    throw new BaxError(`clipGradNorm: maxNorm is ${maxNorm}; it must be a finite number above 0`);
  return scope(() =>
    noGrad(() => {
      const norm = gradNorm(grads);
      // ∞ · 0 is NaN, where maxNorm / ∞ alone would be 0.
      const shrink = add(div(maxNorm, norm), mul(norm, 0));
      const factor = where(le(norm, maxNorm), 1, shrink); // exactly 1, not a quotient that a device may round
      return { grads: mapRuns([grads], (g) => mul(g!, factor)), norm };
    }),
  );
}
