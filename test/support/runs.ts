/** How many random cases the laws are tried on, as `npm run laws` or the environment says. */
import type { RunOptions } from '@bax/check';

const number = (name: string, otherwise: number): number => Number(process.env[name] ?? otherwise);
/** At least so many cases of each law (1,000 in a nightly run), a factor on their number, and where fast-check begins to draw. */
const [atLeast, factor, seed] = [number('LAW_CASES', 1), number('LAW_RUNS', 1), number('LAW_SEED', 1)];

/**
 * For fast-check. One run is like the next: a red test shall mean a red change. For other instances set LAW_SEED to
 * another number, for more of them LAW_CASES, or LAW_RUNS to a factor.
 */
export const runs = (times: number): { numRuns: number; seed: number } => ({
  numRuns: Math.max(atLeast, Math.ceil(times * factor)),
  seed,
});

/** For the laws of @bax/check. Half as many cases as users get: here each runs on six kinds of backend. */
export const lawRuns: Required<Pick<RunOptions, 'runs' | 'atLeast' | 'seed'>> = { runs: factor / 2, atLeast, seed }; // prettier-ignore
