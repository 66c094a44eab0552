/** LAW_SEED and LAW_RUNS as numbers, if set. */
const number = (name: string, otherwise: number): number => Number(process.env[name] ?? otherwise);

/**
 * How often, and from where, fast-check draws. One run is like the next: a red test shall mean a red change. For other
 * instances set LAW_SEED to another number, for more of them LAW_RUNS to a factor.
 */
export const runs = (times: number): { numRuns: number; seed: number } => ({
  numRuns: Math.ceil(times * number('LAW_RUNS', 1)),
  seed: number('LAW_SEED', 1),
});
