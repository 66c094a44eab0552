/** Checks of a backend: each by itself, or all of a list with a report. */
import type { Backend } from '@bax/core';
import fc from 'fast-check';
import { CheckError, messageOf } from './errors.ts';

export interface RunOptions {
  /** A factor on the number of random cases of each check. Default 1. */
  readonly runs?: number;
  /** Where fast-check begins to draw; equal seeds give equal cases. Default 1. */
  readonly seed?: number;
}

/** One thing that must hold on every backend; throws a CheckError that says what came instead. */
export interface Check {
  /** The family or the law, and what holds. */
  readonly name: string;
  readonly run: (backend: Backend, options?: RunOptions) => Promise<void>;
}

export interface CheckOptions extends RunOptions {
  /** Only checks whose name contains this: a family (`matmul:`), a law (`P45`). */
  readonly only?: string;
  /** Told of each check before it runs. */
  readonly progress?: (name: string) => void;
}

export interface CheckReport {
  readonly backend: string;
  readonly adapter: string;
  readonly passed: readonly { readonly name: string; readonly ms: number }[];
  /** Each message says the check, what was called, what came of it and what was expected. */
  readonly failures: readonly { readonly name: string; readonly message: string }[];
  /** What could not be checked on this backend, and why. */
  readonly leftOut: readonly string[];
}

/** Runs checks one after the other and collects what fails. */
export async function runChecks(
  checks: readonly Check[],
  backend: Backend,
  options: CheckOptions,
  leftOut: readonly string[] = [],
): Promise<CheckReport> {
  const { only = '', progress, ...runOptions } = options;
  const passed: { name: string; ms: number }[] = [];
  const failures: { name: string; message: string }[] = [];
  for (const { name, run } of checks.filter((check) => check.name.includes(only))) {
    progress?.(name);
    const start = performance.now();
    try {
      await run(backend, runOptions);
      passed.push({ name, ms: performance.now() - start });
    } catch (error) {
      failures.push({ name, message: messageOf(error) });
    }
  }
  return { backend: backend.name, adapter: backend.info.adapter, passed, failures, leftOut };
}

/** Tries `body` on so many random cases. @throws CheckError with the smallest case that fails. */
export async function forAll<T>(
  cases: number,
  { runs = 1, seed = 1 }: RunOptions,
  arbitrary: fc.Arbitrary<T>,
  body: (x: T) => Promise<void>,
): Promise<void> {
  const details = await fc.check(fc.asyncProperty(arbitrary, body), {
    numRuns: Math.ceil(cases * runs),
    seed,
  });
  if (!details.failed) return;
  const { errorInstance, counterexample, seed: drawn, counterexamplePath } = details;
  throw new CheckError(
    `${messageOf(errorInstance)}\n  for ${fc.stringify(counterexample?.[0])}\n  fast-check: seed ${drawn}, path '${counterexamplePath}'`,
  );
}
