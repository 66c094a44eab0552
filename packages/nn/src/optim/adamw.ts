import { BaxError, expr as e, update } from '@bax/core';
import { checkOptions } from '../options.ts';
import { defineOptimizer, type Optimizer } from './optimizer.ts';
import type { Decay, ParamGroup, Params } from './params.ts';

export interface AdamWOptions {
  /** The learning rate η of a step that names none. Default 1e-3. */
  readonly lr?: number;
  /** β₁ and β₂: how much of the mean of g and of g² is kept at each step. Default [0.9, 0.999]. */
  readonly betas?: readonly [number, number];
  /** ε, added outside of the root. Default 1e-8. */
  readonly eps?: number;
  /** λ, decoupled: it never enters m or v. Default 0.01. */
  readonly weightDecay?: number;
  readonly decay?: Decay;
}

/**
 * Adam with decoupled weight decay, as torch.optim.AdamW computes it. For each parameter θ, at its t-th step:
 *
 *     θ ← (1 − ηλ)θ
 *     m ← m + (1 − β₁)(g − m)
 *     v ← β₂v + (1 − β₂)g²
 *     θ ← θ − η/(1 − β₁ᵗ) · m / (√v / √(1 − β₂ᵗ) + ε)
 *
 * So that with a constant g every step is −ηg/(|g| + ε): Adam's steps have the size of η, whatever that of g.
 * State: `exp_avg` (m) and `exp_avg_sq` (v), twice the parameters' bytes. One call of the device for all
 * parameters that share their settings. https://arxiv.org/abs/1711.05101 algorithm 2,
 * https://docs.pytorch.org/docs/stable/generated/torch.optim.AdamW.html
 * @throws if lr, λ < 0, β outside of [0, 1), ε ≤ 0, or a parameter cannot be trained.
 */
export function adamW(params: Params | readonly ParamGroup[], options: AdamWOptions = {}): Optimizer {
  checkOptions('adamW', options, { lr: 1, betas: 1, eps: 1, weightDecay: 1, decay: 1 });
  const { lr = 1e-3, betas = [0.9, 0.999], eps = 1e-8, weightDecay = 0.01 } = options;
  const [beta1, beta2] = betas;
  for (const beta of betas)
    if (!(beta >= 0 && beta < 1))
      throw new BaxError(`adamW: betas are [${betas.join(', ')}]; each must lie in [0, 1)`);
  if (!(eps > 0 && eps < Infinity))
    throw new BaxError(`adamW: eps is ${eps}; it must be a finite number above 0`);

  const [theta, g, m, v] = [e.input(0), e.input(1), e.input(2), e.input(3)];
  const [shrink, stepSize, root2] = [e.scalar(0), e.scalar(1), e.scalar(2)];
  const mean = e.add(m, e.mul(1 - beta1, e.sub(g, m)));
  const square = e.add(e.mul(beta2, v), e.mul(1 - beta2, g, g));
  const spread = e.add(e.div(e.sqrt(square), root2), eps);
  const next = e.sub(e.mul(theta, shrink), e.div(e.mul(stepSize, mean), spread));

  return defineOptimizer(
    {
      name: 'adamW',
      lr,
      weightDecay,
      decay: options.decay,
      settings: { betas: [beta1, beta2], eps },
      state: ['exp_avg', 'exp_avg_sq'],
      scalars: ({ lr, weightDecay, t }) => [
        1 - lr * weightDecay,
        lr / (1 - beta1 ** t),
        Math.sqrt(1 - beta2 ** t),
      ],
      update(param, grad, state, scalars) {
        update([next, mean, square], [param, grad, ...state], [param, ...state], scalars);
      },
    },
    params,
  );
}
