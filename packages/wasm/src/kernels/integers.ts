/** Address arithmetic. */
import { type Code, i32, type Local, select } from '../assembler/index.ts';

export const plus = (...terms: readonly Code[]): Code => terms.reduce((a, b) => i32.add(a, b));
/** a · b, where b may be a plain number. */
export const times = (a: Code, b: Code): Code => i32.mul(a, typeof b === 'number' ? i32.const(b) : b);
/** The smaller of `value` and a constant; `holder` is a local to compute it in. */
export const atMost = (holder: Local, value: Code, most: number): Code =>
  select(holder.tee(value), i32.const(most), i32.lt_u(holder, i32.const(most)));
