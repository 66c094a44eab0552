import {
  assign, BaxError, copyAlike, keep, moveTogether, onReplay, runsOf, sameShape, scope, showShape, zeros, type Tensor,
} from '@bax/core'; // prettier-ignore
import type { JsonObject } from '../files/json.ts';
import { atLeast0, slotsOf, type Decay, type ParamGroup, type Params, type Slot } from './params.ts';

/**
 * Changes its parameters in place, one step at a time. Holds state for them alone: nothing for a frozen
 * weight.
 */
export interface Optimizer {
  /** What it trains, in the order in which `step` takes gradients. */
  readonly params: readonly Tensor[];
  /** The same under their names, as a checkpoint calls them. */
  readonly namedParams: ReadonlyMap<string, Tensor>;
  /** The learning rate of a step that names none. */
  readonly lr: number;
  /** All else that it was made with, by which a checkpoint knows it again: its name, its numbers, its groups. */
  readonly settings: JsonObject;
  /** The steps made so far, those before a `load` included. */
  readonly stepCount: number;
  /**
   * One step along `grads[i]` of params[i]'s shape and dtype; frees nothing. With an lr of 0 the parameters
   * keep their bits. A recorded step (`record`) asks an lr that is a function again at each replay.
   * @throws if a gradient does not fit its parameter or `lr` is not a finite number from 0; then nothing was
   * changed.
   */
  step(grads: readonly Tensor[], lr?: number | (() => number)): void;
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
  /** The other numbers that make it what it is, such as β. */
  readonly settings: JsonObject;
  /** The kinds of state, each a tensor of its parameter's shape that starts at 0. */
  readonly state: readonly string[];
  /** The numbers that `update` needs, computed in f64: they change from step to step, the kernel stays. */
  scalars(at: UpdateSettings): readonly number[];
  /**
   * Changes a parameter and its state in place, element by element: what it is given may be many parameters, laid
   * side by side.
   */
  update(param: Tensor, grad: Tensor, state: readonly Tensor[], scalars: ArrayLike<number>): void;
}

export interface UpdateSettings {
  /** The step's, times the group's ratio. */
  readonly lr: number;
  readonly weightDecay: number;
  /** Counts steps from 1. */
  readonly t: number;
}

/**
 * An optimiser from its rule: checks, state and checkpoints are the same for all. Parameters that share their
 * settings are moved together (`moveTogether`), so that a step is a few calls of the device.
 * @throws if a setting is not a finite number from 0, or a parameter cannot be trained: it is no float, it is
 * the result of a recorded op, it is given twice, or there is none.
 */
export function defineOptimizer(rule: OptimizerRule, given: Params | readonly ParamGroup[]): Optimizer {
  const { name: by } = rule;
  atLeast0(by, 'lr', rule.lr);
  const slots = slotsOf(by, given, rule.weightDecay, rule.decay);
  const params = slots.map((slot) => slot.param);
  const states = rule.state.map(() =>
    params.map((p) => keep(zeros(p.shape, { dtype: p.dtype, backend: p.backend }))),
  );
  const named = new Map(
    slots.flatMap(({ name }, i) =>
      rule.state.map((kind, k): [string, Tensor] => [`${name}.${kind}`, states[k]![i]!]),
    ),
  );
  const groups = groupsOf(slots);
  for (const { members } of groups)
    for (const list of [params, ...states]) moveTogether(members.map((i) => list[i]!));
  let stepCount = 0;

  return {
    params,
    namedParams: new Map(slots.map(({ name, param }) => [name, param])),
    lr: rule.lr,
    settings: {
      name: by,
      ...rule.settings,
      groups: groups.map(({ members, lrRatio, weightDecay }) => ({
        lrRatio,
        weightDecay,
        params: members.map((i) => slots[i]!.name),
      })),
    },
    get stepCount() {
      return stepCount;
    },
    step(grads, lr = rule.lr) {
      const rate = typeof lr === 'function' ? lr : () => lr;
      atLeast0(by, 'lr', rate());
      if (grads.length !== slots.length)
        throw new BaxError(`${by}: got ${grads.length} gradients for ${slots.length} parameters`);
      slots.forEach(({ name, param }, i) => mustFit(by, `the gradient of '${name}'`, grads[i]!, param));
      for (const own of named.values()) own.check(by);
      const next = (): (readonly number[])[] => {
        const lr = atLeast0(by, 'lr', rate());
        const t = ++stepCount;
        return groups.map(({ lrRatio, weightDecay }) => rule.scalars({ lr: lr * lrRatio, weightDecay, t }));
      };
      const scalars = next().map((numbers) => Float64Array.from(numbers)); // of this call: a recorded step reads them again
      onReplay(() => next().forEach((numbers, i) => scalars[i]!.set(numbers)));
      scope(() => {
        const laid =
          runsOf(params, grads).length === runsOf(params).length ? grads : copyAlike(grads, params);
        groups.forEach(({ members }, i) => {
          const lists = [params, laid, ...states].map((list) => members.map((i) => list[i]!));
          for (const { tensors } of runsOf(...lists)) {
            const [param, grad, ...state] = tensors;
            rule.update(param!, grad!, state, scalars[i]!);
          }
        });
      });
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

/** The slots that share their settings, by index. */
function groupsOf(slots: readonly Slot[]): { members: number[]; lrRatio: number; weightDecay: number }[] {
  const groups = new Map<string, { members: number[]; lrRatio: number; weightDecay: number }>();
  slots.forEach(({ lrRatio, weightDecay }, i) => {
    const key = `${lrRatio} ${weightDecay}`;
    const group = groups.get(key);
    if (group) group.members.push(i);
    else groups.set(key, { members: [i], lrRatio, weightDecay });
  });
  return [...groups.values()];
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
