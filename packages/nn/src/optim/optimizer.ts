import { assign, BaxError, keep, sameShape, showShape, zeros, type Tensor } from '@bax/core';
import { atLeast0, slotsOf, type Decay, type ParamGroup, type Params, type Slot } from './params.ts';

/**
 * Changes its parameters in place, one step at a time. Holds state for them alone: nothing for a frozen
 * weight.
 */
export interface Optimizer {
  /** What it trains, in the order in which `step` takes gradients. */
  readonly params: readonly Tensor[];
  /** The learning rate of a step that names none. */
  readonly lr: number;
  /** The steps made so far, those before a `load` included. */
  readonly stepCount: number;
  /**
   * One step along `grads[i]` of params[i]'s shape and dtype; frees nothing. With an lr of 0 the parameters
   * keep their bits.
   * @throws if a gradient does not fit its parameter or `lr` is not a finite number from 0; then nothing was
   * changed.
   */
  step(grads: readonly Tensor[], lr?: number): void;
  /**
   * The state under the names a checkpoint gives it, `<parameter>.<kind>`. The optimiser's own tensors: read
   * them, do not free them. With `stepCount` and the parameters they are all that a training run needs to go
   * on bit for bit.
   */
  stateTensors(): Map<string, Tensor>;
  /**
   * Takes on a state that `stateTensors` gave, by copying it.
   * @throws if a name is missing or unknown, or a tensor does not fit; then nothing was changed.
   */
  load(state: ReadonlyMap<string, Tensor>, stepCount: number): void;
  /** Frees the state; the parameters stay. */
  dispose(): void;
}

/** What makes one optimiser differ from another. */
export interface OptimizerRule {
  readonly name: string;
  readonly lr: number;
  /** Of the parameters whose group names none. */
  readonly weightDecay: number;
  readonly decay?: Decay | undefined;
  /** The kinds of state, each a tensor of its parameter's shape that starts at 0. */
  readonly state: readonly string[];
  /**
   * Changes `slot.param` and its state in place; `lr` has the slot's ratio in it, `t` counts steps from 1.
   */
  update(slot: Slot, grad: Tensor, state: readonly Tensor[], lr: number, t: number): void;
}

/**
 * An optimiser from its rule: checks, state and checkpoints are the same for all.
 * @throws if a setting is not a finite number from 0, or a parameter cannot be trained: it is no float, it is
 * the result of a recorded op, it is given twice, or there is none.
 */
export function defineOptimizer(rule: OptimizerRule, given: Params | readonly ParamGroup[]): Optimizer {
  const { name: by } = rule;
  atLeast0(by, 'lr', rule.lr);
  const slots = slotsOf(by, given, rule.weightDecay, rule.decay);
  const params = slots.map((slot) => slot.param);
  const states = params.map((p) =>
    rule.state.map(() => keep(zeros(p.shape, { dtype: p.dtype, backend: p.backend }))),
  );
  const named = new Map(
    slots.flatMap(({ name }, i) =>
      rule.state.map((kind, k): [string, Tensor] => [`${name}.${kind}`, states[i]![k]!]),
    ),
  );
  let stepCount = 0;

  return {
    params,
    lr: rule.lr,
    get stepCount() {
      return stepCount;
    },
    step(grads, lr = rule.lr) {
      atLeast0(by, 'lr', lr);
      if (grads.length !== slots.length)
        throw new BaxError(`${by}: got ${grads.length} gradients for ${slots.length} parameters`);
      slots.forEach(({ name, param }, i) => mustFit(by, `the gradient of '${name}'`, grads[i]!, param));
      stepCount++;
      slots.forEach((slot, i) => rule.update(slot, grads[i]!, states[i]!, lr * slot.lrRatio, stepCount));
    },
    stateTensors: () => new Map(named),
    load(state, count) {
      if (!Number.isSafeInteger(count) || count < 0)
        throw new BaxError(`${by}: stepCount is ${count}; it must be an integer from 0`);
      for (const name of state.keys())
        if (!named.has(name))
          throw new BaxError(
            `${by}: the state has '${name}', which belongs to no parameter of this optimiser`,
          );
      for (const [name, own] of named) {
        const other = state.get(name);
        if (!other) throw new BaxError(`${by}: the state has no '${name}'`);
        mustFit(by, `state '${name}'`, other, own);
      }
      for (const [name, own] of named) assign(own, state.get(name)!);
      stepCount = count;
    },
    dispose() {
      for (const own of named.values()) own.dispose(`by ${by}'s dispose()`);
    },
  };
}

function mustFit(by: string, what: string, t: Tensor, own: Tensor): void {
  own.check(by);
  t.check(by);
  if (!sameShape(t.shape, own.shape))
    throw new BaxError(`${by}: ${what} is ${showShape(t.shape)}, its parameter ${showShape(own.shape)}`);
  if (t.dtype !== own.dtype)
    throw new BaxError(`${by}: ${what} is ${t.dtype}, its parameter ${own.dtype}; cast it`);
  if (t.backend !== own.backend)
    throw new BaxError(
      `${by}: ${what} is on ${t.backend.name}, its parameter on ${own.backend.name}; move it with to()`,
    );
}
