/** What `npm run laws` and the environment say, as numbers. */
const number = (name: string, otherwise: number): number => Number(process.env[name] ?? otherwise);

/** At least so many random cases of each law: 1,000 in a nightly run. */
export const LAW_CASES: number = number('LAW_CASES', 1);
/** A factor on their number, and where fast-check begins to draw: as @bax/check's laws take them. */
export const lawRuns: { readonly runs: number; readonly seed: number } = {
  runs: number('LAW_RUNS', 1),
  seed: number('LAW_SEED', 1),
};

/**
 * How often, and from where, fast-check draws. One run is like the next: a red test shall mean a red change. For other
 * instances set LAW_SEED to another number, for more of them LAW_CASES, or LAW_RUNS to a factor.
 */
export const runs = (times: number): { numRuns: number; seed: number } => ({
  numRuns: Math.max(LAW_CASES, Math.ceil(times * lawRuns.runs)),
  seed: lawRuns.seed,
});
