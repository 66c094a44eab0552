import type { Backend, Op } from '@bax/core';
import { type Call, type CallOptions, calls } from '../arbitraries.ts';
import { lawError } from '../errors.ts';
import { type Check, forAll } from '../run.ts';

/** Where and how strictly a law of an op is tried. */
export interface Bench {
  readonly backend: Backend;
  /** Whether bits are demanded on small numbers: the op takes sums, products and choices alone. Default false. */
  readonly exact?: boolean;
  /** How far two ways to compute the same in f32 may be apart, relative to the largest number in sight. Default 2^-17. */
  readonly tolerance?: number;
}

/** What must hold of an op on random calls from its domain. */
export interface OpLaw {
  /** Short, for `only`. */
  readonly name: string;
  /** What must hold, in words. */
  readonly says: string;
  /** How many calls are tried. */
  readonly cases: number;
  readonly draw: CallOptions;
  /** Why it says nothing of this op on this backend; undefined where it speaks. */
  leftOut?(op: Op, backend: Backend): string | undefined;
  /** Throws where the law does not hold. */
  holds(call: Call, bench: Bench): Promise<void>;
}

/** The law, to be tried on an op. `again` is the call that does so, up to its last options. */
export const opCheck = (law: OpLaw, bench: Bench, again = 'await checkOp(op, { '): Check<Op> => {
  const name = `${law.name} on ${bench.backend.name}`;
  return {
    name,
    async run(op, options = {}) {
      try {
        const arbitrary = calls(op, law.draw);
        await forAll({ arbitrary, cases: law.cases }, options, async (call) => law.holds(call, bench));
      } catch (error) {
        throw lawError({ who: op.name, law: name, says: law.says, again }, error);
      }
    },
  };
};

/** Roundings of up to some hundred terms, of which a few cancel. */
export const F32: number = 2 ** -17;
export const F64: number = 2 ** -44;

export const isDiscrete = (op: Op): string | undefined => (op.discrete ? 'the op is discrete' : undefined);
export const lacksF64 = (_: Op, { name, info }: Backend): string | undefined =>
  info.dtypes.includes('f64') ? undefined : `${name} has no f64`;
