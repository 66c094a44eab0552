/** What rounding may do where large terms cancel inside a call: more than the size of what comes out tells. */
import { type Call, valuesOf } from '../arbitraries.ts';
import { UNIT_ROUNDOFF } from '../bounds.ts';
import { plainLayout } from '../layout.ts';
import { f32On, largest, plainInputs, reference } from './calls.ts';
import { results } from './views.ts';

/** The call with each float moved by u of f32 of itself, up or down: what comes of it is what one rounding of each may do. */
const nudged = (call: Call): Call => ({
  ...call,
  args: call.args.map((arg, i) => {
    if (arg.kind !== 'float') return arg;
    const up = (j: number): boolean => (Math.imul(i * 7919 + j + 1, 0x9e3779b1) & 0x10000) !== 0;
    const distinct = valuesOf(arg).map((x, j) => x * (1 + (up(j) ? UNIT_ROUNDOFF.f32 : -UNIT_ROUNDOFF.f32)));
    return { ...arg, distinct, layout: plainLayout(arg.shape) };
  }),
});

/** Of the result and of each gradient: the cpu's values in f64, and what may be lost of them. */
export interface Rounding {
  readonly exact: readonly ArrayLike<number>[];
  /**
   * Absolute errors in f32: the cpu's own, or, if it was lucky, what one rounding of the inputs does, whichever is larger;
   * times 8, since others add up in other orders. In f64 it is `IN_F64` of that.
   */
  readonly lost: readonly number[];
}
export const IN_F64: number = UNIT_ROUNDOFF.f64 / UNIT_ROUNDOFF.f32;

export async function roundingOf(call: Call): Promise<Rounding> {
  const wide = { dtype: 'f64', backend: reference() } as const;
  const exact = await results(call, plainInputs, wide);
  const narrow = await results(call, plainInputs, f32On(reference()));
  const moved = await results(nudged(call), plainInputs, wide);
  const lost = exact.map((values, i) =>
    Math.max(...[narrow[i]!, moved[i]!].map((other) => 8 * largest(Array.from(other, (x, j) => x - values[j]!), 0))),
  ); // prettier-ignore
  return { exact, lost };
}
