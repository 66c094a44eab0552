import { BaxError, isFloat, isTensor, type Tensor } from '@bax/core';

/**
 * Parameters by name, as `model.namedParameters()` gives them, or a list, whose members are named '0', '1', …
 */
export type Params = ReadonlyMap<string, Tensor> | readonly Tensor[];

/** Parameters that share settings; what a group leaves out is the optimiser's own. */
export interface ParamGroup {
  readonly params: Params;
  /** Multiplies the learning rate of every step: λ of LoRA+ for the group of all B. Default 1. */
  readonly lrRatio?: number;
  readonly weightDecay?: number;
}

/**
 * Which parameters decay; default all. `(p) => p.rank > 1` spares biases and gains, as pretraining wants it.
 */
export type Decay = (param: Tensor, name: string) => boolean;

/** One parameter with its settings. */
export interface Slot {
  readonly name: string;
  readonly param: Tensor;
  readonly lrRatio: number;
  readonly weightDecay: number;
}

/**
 * Every parameter of every group, in the order given. `by` is the optimiser, for messages.
 * @throws if there is none, if one is given twice (a tied one counts once) or two share a name, if one is no
 * float, is held narrow or is the result of a recorded op, or if a setting is not a finite number from 0.
 */
export function slotsOf(
  by: string,
  params: Params | readonly ParamGroup[],
  weightDecay: number,
  decay: Decay = () => true,
): Slot[] {
  const groups = isGroups(params) ? params : [{ params }];
  const slots: Slot[] = [];
  const names = new Map<Tensor, string>();
  const taken = new Set<string>();
  for (const group of groups) {
    const lrRatio = atLeast0(by, 'lrRatio', group.lrRatio ?? 1);
    const rate = atLeast0(by, 'weightDecay', group.weightDecay ?? weightDecay);
    const offset = slots.length;
    for (const [key, param] of group.params.entries()) {
      const name = typeof key === 'number' ? String(offset + key) : key;
      const twin = names.get(param);
      if (twin !== undefined)
        throw new BaxError(`${by}: parameters '${twin}' and '${name}' are one tensor; give it once`);
      if (taken.has(name)) throw new BaxError(`${by}: two parameters are named '${name}'`);
      param.check(by);
      if (!isFloat(param.dtype))
        throw new BaxError(`${by}: parameter '${name}' is ${param.dtype}; only floats are trained`);
      if (param.storage !== param.dtype)
        throw new BaxError(
          `${by}: parameter '${name}' is held in ${param.storage}, and what is held so is frozen: a step would be rounded away; load the model with { storage: 'f32' } to train all of it, or train an adapter`,
        );
      if (param.record)
        throw new BaxError(
          `${by}: parameter '${name}' is the result of a recorded op; give the tensor it was made from`,
        );
      if (param.view.strides.some((stride, i) => stride === 0 && param.shape[i]! > 1))
        throw new BaxError(
          `${by}: parameter '${name}' repeats its elements (it was expanded); give a copy()`,
        );
      names.set(param, name);
      taken.add(name);
      slots.push({ name, param, lrRatio, weightDecay: decay(param, name) ? rate : 0 });
    }
  }
  if (slots.length === 0) throw new BaxError(`${by}: there are no parameters to train`);
  return slots;
}

const isGroups = (params: Params | readonly ParamGroup[]): params is readonly ParamGroup[] =>
  Array.isArray(params) && params.length > 0 && !params.some(isTensor);

/** The value. @throws unless it is a finite number from 0. */
export function atLeast0(by: string, name: string, value: number): number {
  if (typeof value !== 'number' || !(value >= 0 && value < Infinity))
    throw new BaxError(`${by}: ${name} is ${value}; it must be a finite number from 0`);
  return value;
}
