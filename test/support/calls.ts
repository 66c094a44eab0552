/** What the laws over all ops are tried on. */
import { type Call, calls, type CallOptions, opCheck, type OpLaw, opLaws } from '@bax/check';
import { type Op, ops } from '@bax/core';
import fc from 'fast-check';
import type { On } from './backends.ts';
import { lawRuns, runs } from './runs.ts';

export * from '../../packages/check/src/op/calls.ts';

/** Every registered op, for `describe.each`. */
export const everyOp: [string, Op][] = [...ops];
export const smoothOps: [string, Op][] = everyOp.filter(([, op]) => !op.discrete);

/** Those of which bits may be demanded on integers: the rest divides, or calls a function that each backend has of its own. */
export const exactOps: ReadonlySet<string> = new Set(
  `add sub mul neg abs minimum maximum relu where detach randomBits lt le gt
   ge eq ne castF32 castF64 castI32 copy sum max argmax reshape permute expand slice concat pad matmul linear loraLinear gather scatterAdd`.split(
    /\s+/,
  ),
);

/** A law of `checkOp` by its name. */
export function opLaw(name: string): OpLaw {
  const law = opLaws.find((one) => one.name === name);
  if (!law) throw new Error(`there is no law '${name}'`);
  return law;
}

/** For `test.each`. */
export const byName = (...names: readonly string[]): [string, OpLaw][] =>
  names.map((name) => [`${name}: ${opLaw(name).says}`, opLaw(name)]);

/** Tries a law of `checkOp` on a registered op. */
export async function holds(law: OpLaw, op: Op, { backend, share }: On): Promise<void> {
  const check = opCheck(law, { backend, exact: exactOps.has(op.name) });
  await check.run(op, { ...lawRuns, runs: lawRuns.runs * share });
}

export interface LawOptions extends CallOptions {
  readonly runs: number;
}

/** Checks a law on random calls of an op. */
export async function forCalls(
  op: Op,
  { runs: times, ...options }: LawOptions,
  law: (call: Call) => Promise<void>,
): Promise<void> {
  await fc.assert(fc.asyncProperty(calls(op, options), law), runs(times));
}
