/** Laws: each by itself, or all of a list with a report. */
import { BaxError, type Backend } from '@bax/core';
import fc from 'fast-check';
import { CheckError, isUntried, messageOf } from './errors.ts';

/** What every check of this package may be told. */
export interface RunOptions {
  /** A factor on the number of random cases of each law. Default 1. */
  readonly runs?: number;
  /** At least so many random cases of each law, whatever `runs` makes of them. Default 1. */
  readonly atLeast?: number;
  /** Where fast-check begins to draw; equal seeds give equal cases. Default 1. */
  readonly seed?: number;
  /**
   * Milliseconds, shared fairly among the laws: when they are over no new case is tried. Each law is tried on one case at
   * least. Default: none.
   */
  readonly timeBudget?: number;
  /** Begins with one case, that of a failure: the line `replay` of its message has it, with its `seed` and `only`. */
  readonly path?: string;
  /** Told, when a law holds, on how many cases it was tried. */
  readonly tried?: (cases: number) => void;
}

/** One thing that must hold; throws a CheckError that says what came instead. */
export interface Check<S = Backend> {
  /** The family or the law, and what holds. */
  readonly name: string;
  readonly run: (subject: S, options?: RunOptions) => Promise<void>;
}

export interface CheckOptions extends RunOptions {
  /** Only the check of this name, or those whose names contain it: a family (`matmul:`), a law (`P45`). */
  readonly only?: string;
  /** Told of each check before it runs. */
  readonly progress?: (name: string) => void;
}

/** What came of some laws. Plain data. */
export interface Report {
  readonly passed: readonly { readonly name: string; readonly cases: number; readonly ms: number }[];
  /** Each message says the check, what was called, what came of it and what was expected. */
  readonly failures: readonly { readonly name: string; readonly message: string; readonly ms: number }[];
  /** Laws of which nothing can be said, since what they watch does not work: another law speaks of that. */
  readonly untried: readonly { readonly name: string; readonly message: string; readonly ms: number }[];
  /** What could not be checked here, and why. */
  readonly leftOut: readonly string[];
}

export interface CheckReport extends Report {
  readonly backend: string;
  readonly adapter: string;
}

/** @throws BaxError on options that would check nothing, or not what was meant. */
export function checkRunOptions(by: string, { runs, atLeast, seed, timeBudget }: RunOptions): void {
  const bad = (message: string): never => {
    throw new BaxError(`${by}: ${message}`);
  };
  if (runs !== undefined && !(runs > 0 && runs < Infinity))
    bad(`runs is ${runs}; it is a factor on the number of cases, a finite number above 0`);
  if (atLeast !== undefined && !(Number.isSafeInteger(atLeast) && atLeast >= 1))
    bad(`atLeast is ${atLeast}; it is a number of cases, an integer from 1`);
  if (seed !== undefined && !(Number.isSafeInteger(seed) && Math.abs(seed) < 2 ** 31))
    bad(`seed is ${seed}; it is an integer of 32 bits`);
  if (timeBudget !== undefined && !(timeBudget >= 0))
    bad(`timeBudget is ${timeBudget}; it is a number of milliseconds, from 0`);
}

/** Runs checks one after the other and collects what fails. @throws BaxError if `only` or the options mean no check. */
export async function runChecks<S>(
  by: string,
  checks: readonly Check<S>[],
  subject: S,
  options: CheckOptions,
  leftOut: readonly string[] = [],
): Promise<Report> {
  const { only = '', progress, timeBudget, ...runOptions } = options;
  checkRunOptions(by, options);
  const exactly = checks.filter((check) => check.name === only);
  const chosen = exactly.length > 0 ? exactly : checks.filter((check) => check.name.includes(only));
  const why = leftOut.find((text) => text.includes(only));
  if (chosen.length === 0 && why !== undefined) throw new BaxError(`${by}: this is left out: ${why}`);
  if (chosen.length === 0)
    throw new BaxError(`${by}: no law has '${only}' in its name; there are ${checks.map(({ name }) => `'${name}'`).join(', ')}`); // prettier-ignore
  if (options.path !== undefined && chosen.length > 1)
    throw new BaxError(`${by}: path is a case of one law, and '${only}' means ${chosen.length} of them`);
  const passed: { name: string; cases: number; ms: number }[] = [];
  const failures: { name: string; message: string; ms: number }[] = [];
  const untried: typeof failures = [];
  const end = performance.now() + (timeBudget ?? Infinity);
  for (const [i, { name, run }] of chosen.entries()) {
    progress?.(name);
    const start = performance.now();
    const share = timeBudget === undefined ? {} : { timeBudget: Math.max(0, end - start) / (chosen.length - i) }; // prettier-ignore
    let cases = 0;
    try {
      await run(subject, { ...runOptions, ...share, tried: (n) => void (cases += n) });
      passed.push({ name, cases, ms: performance.now() - start });
    } catch (error) {
      (isUntried(error) ? untried : failures).push({
        name,
        message: messageOf(error),
        ms: performance.now() - start,
      });
    }
  }
  return { passed, failures, untried, leftOut };
}

/** The report of laws that all hold. @throws CheckError with the first that does not, and the names of the others. */
export function assertPassed<R extends Report>(report: R): R {
  const { passed, failures, untried } = report;
  const [first] = [...failures, ...untried];
  if (!first) return report;
  const list = (laws: Report['untried']): string => laws.map(({ name }) => `\n  ${name}`).join('');
  const [more, left] = [failures.slice(1), failures.length > 0 ? untried : untried.slice(1)];
  const total = passed.length + failures.length + untried.length;
  throw new CheckError(
    first.message +
      (more.length > 0 ? `\nand ${more.length} more of ${total} laws do not hold:${list(more)}` : '') +
      (left.length > 0 ? `\nnot tried, since others do not hold:${list(left)}` : ''),
  );
}

export interface Cases<T> {
  readonly arbitrary: fc.Arbitrary<T>;
  /** How many random ones. */
  readonly cases: number;
  /** Tried first. */
  readonly first?: readonly T[];
}

/**
 * Tries `body` on some random cases.
 * @throws CheckError with the smallest case that fails, and its place.
 */
export async function forAll<T>(
  { arbitrary, cases, first = [] }: Cases<T>,
  { runs = 1, atLeast = 1, seed = 1, path, timeBudget = Infinity, tried }: RunOptions,
  body: (x: T) => Promise<void>,
): Promise<void> {
  const end = performance.now() + timeBudget;
  let [held, failed] = [0, false];
  const property = fc.asyncProperty(arbitrary, async (x) => {
    if ((held > 0 || failed) && performance.now() > end) return; // the cases left, or what is left of shrinking
    try {
      await body(x);
      held++;
    } catch (error) {
      failed ||= !fc.PreconditionFailure.isFailure(error);
      throw error;
    }
  });
  const details = await fc.check(property, {
    numRuns: (cases === 0 ? 0 : Math.max(Math.ceil(cases * runs), atLeast)) + first.length,
    seed,
    examples: first.map((x): [T] => [x]),
    ...(path === undefined ? {} : { path }),
  });
  if (!details.failed) return tried?.(held);
  const { errorInstance, counterexample, seed: drawn, counterexamplePath } = details;
  if (counterexample === null || counterexamplePath === null)
    throw new CheckError(`of ${details.numSkips + details.numRuns} cases drawn, ${details.numSkips} were none that it speaks of; draw others`); // prettier-ignore
  const came = messageOf(errorInstance).replaceAll('\n', '\n  ');
  throw new CheckError(`${came}\n  for      ${fc.stringify(counterexample[0])}`, {
    cause: errorInstance,
    place: { seed: drawn, path: counterexamplePath },
  });
}
