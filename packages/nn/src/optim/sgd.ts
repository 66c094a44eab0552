import { BaxError, expr as e, update } from '@bax/core';
import { checkOptions } from '../options.ts';
import { defineOptimizer, type Optimizer } from './optimizer.ts';
import { atLeast0, type Decay, type ParamGroup, type Params } from './params.ts';

export interface SgdOptions {
  /** The learning rate η of a step that names none. Default 1e-3. */
  readonly lr?: number;
  /** μ. Default 0: then no state is held. */
  readonly momentum?: number;
  /** Nesterov's momentum: steps along g + μv. Default false. */
  readonly nesterov?: boolean;
  /** λ of an L2 penalty λ/2 ‖θ‖²: it is part of the gradient, and so of the momentum. Default 0. */
  readonly weightDecay?: number;
  readonly decay?: Decay;
}

/**
 * Stochastic gradient descent, as torch.optim.SGD computes it (with dampening 0). For each parameter θ:
 *
 *     g ← g + λθ
 *     v ← μv + g            v starts at 0; without momentum v is g
 *     θ ← θ − ηv            with nesterov θ ← θ − η(g + μv)
 *
 * State: `momentum_buffer` (v), only with momentum.
 * https://docs.pytorch.org/docs/stable/generated/torch.optim.SGD.html
 * @throws if a setting is not a finite number from 0, nesterov is asked for without momentum, or a parameter
 * cannot be trained.
 */
export function sgd(params: Params | readonly ParamGroup[], options: SgdOptions = {}): Optimizer {
  checkOptions('sgd', options, { lr: 1, momentum: 1, nesterov: 1, weightDecay: 1, decay: 1 });
  const { lr = 1e-3, nesterov = false, weightDecay = 0 } = options;
  const momentum = atLeast0('sgd', 'momentum', options.momentum ?? 0);
  if (nesterov && momentum === 0) throw new BaxError('sgd: nesterov needs a momentum');

  const [theta, g, v] = [e.input(0), e.input(1), e.input(2)];
  const [eta, lambda] = [e.scalar(0), e.scalar(1)];
  const slope = e.add(g, e.mul(lambda, theta));
  const velocity = e.add(e.mul(momentum, v), slope);
  const along = nesterov ? e.add(slope, e.mul(momentum, velocity)) : velocity;
  const plain = [e.sub(theta, e.mul(eta, slope))];
  const heavy = [e.sub(theta, e.mul(eta, along)), velocity];

  return defineOptimizer(
    {
      name: 'sgd',
      lr,
      weightDecay,
      decay: options.decay,
      settings: { momentum, nesterov },
      state: momentum === 0 ? [] : ['momentum_buffer'],
      scalars: ({ lr, weightDecay }) => [lr, weightDecay],
      update(param, grad, [buffer], scalars) {
        if (buffer) update(heavy, [param, grad, buffer], [param, buffer], scalars);
        else update(plain, [param, grad], [param], scalars);
      },
    },
    params,
  );
}
