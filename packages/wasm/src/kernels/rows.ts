/** Walking the vectors of one row of f32: what softmax and the norms are made of. */
import { type Code, f32x4, i32, i32x4, type Local, shuffle32, v128, when } from '../assembler/index.ts';
import { whileAtLeast } from './integers.ts';
import { lanes } from './lanes.ts';
import type { Scope } from './scope.ts';

/** The vector at hand: a whole one, or the row's last, of which only some lanes exist. */
export interface Vector {
  load(from: Local): Code;
  /** `value`, with `neutral` in the lanes that do not exist. */
  existing(value: Code, neutral: Local): Code;
  store(to: Local, value: Code): Code;
}

const F32 = 4;
const BYTES = 16;

/**
 * Calls `body` for each vector of a row of n elements; `pointers` are where it reads and writes, and move on by
 * themselves. They begin at `starts`, which are evaluated anew each time the row is walked.
 */
export function forVectors(
  s: Scope,
  n: Local,
  pointers: readonly Local[],
  starts: readonly Code[],
  body: (v: Vector) => Code,
): Code {
  const left = s.temp('i32');
  const mask = s.temp();
  const whole: Vector = {
    load: (from) => v128.load(from),
    existing: (value) => value,
    store: (to, value) => v128.store(to, value),
  };
  const last: Vector = {
    load: (from) => v128.load(from),
    existing: (value, neutral) => v128.bitselect(value, neutral, mask),
    store: (to, value) => lanes.f32.scatter(s, to, value, 'f32', i32.const(F32), left),
  };
  return [
    pointers.map((p, i) => p.set(starts[i])),
    left.set(n),
    whileAtLeast(left, 4, [body(whole), pointers.map((p) => p.set(i32.add(p, i32.const(BYTES))))]),
    when(left, [mask.set(i32x4.lt_s(i32x4.consts(0, 1, 2, 3), i32x4.splat(left))), body(last)]),
  ];
}

/** The lanes of v joined (their sum, the largest of them), in all lanes. */
export function acrossLanes(s: Scope, join: (a: Code, b: Code) => Code, v: Code): Code {
  const t = s.temp();
  return [t.set(v), t.set(join(t, shuffle32(t, t, [2, 3, 0, 1]))), join(t, shuffle32(t, t, [1, 0, 3, 2]))];
}
export const total = (s: Scope, v: Code): Code => acrossLanes(s, f32x4.add, v);
