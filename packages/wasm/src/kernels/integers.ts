/** Address arithmetic, and counting down. */
import { type Code, i32, type Local, repeatWhile, select, when } from '../assembler/index.ts';

export const plus = (...terms: readonly Code[]): Code => terms.reduce((a, b) => i32.add(a, b));
/** a · b, where b may be a plain number. */
export const times = (a: Code, b: Code): Code => i32.mul(a, typeof b === 'number' ? i32.const(b) : b);
/** The smaller of `value` and a constant; `holder` is a local to compute it in. */
export const atMost = (holder: Local, value: Code, most: number): Code =>
  select(holder.tee(value), i32.const(most), i32.lt_u(holder, i32.const(most)));
/** Runs `body` for as long as `count` is at least `step`, which it then loses. */
export const whileAtLeast = (count: Local, step: number, body: Code): Code =>
  when(
    i32.ge_u(count, i32.const(step)),
    repeatWhile(body, i32.ge_u(count.tee(i32.sub(count, i32.const(step))), i32.const(step))),
  );
