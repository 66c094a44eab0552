/**
 * Measuring on a noisy machine: the contenders take turns in one process, so that what slows one slows all, and what
 * counts is the median of the ratios of each round.
 */

/** Someone who runs the same work. Opening may take long (loading, compiling, warming up) and is not measured. */
export interface Contender {
  readonly name: string;
  /** Takes part in the first so many rounds only: for those who need half a minute for one. */
  readonly rounds?: number;
  /** Rejects if it cannot take part; the message is printed in its row. */
  open(): Promise<Runner>;
}

export interface Runner {
  /** One measurement: the milliseconds of one piece of work. */
  run(): Promise<number>;
  /** Asked after the last round: what should be known about the result, such as that it was wrong. */
  note?(): string;
  close?(): void;
}

export interface Result {
  readonly name: string;
  /** Milliseconds, one number a round; empty if it did not take part. */
  readonly ms: readonly number[];
  readonly note: string;
}

/** Runs `rounds` rounds, each contender once a round in the order given. */
export async function race(contenders: readonly Contender[], rounds: number): Promise<Result[]> {
  const entries = contenders.map((contender) => ({ contender, ms: [] as number[], problem: '' }));
  const open = new Map<Contender, Runner>();
  for (const entry of entries) {
    try {
      open.set(entry.contender, await entry.contender.open());
    } catch (error) {
      entry.problem = firstLine(error);
    }
  }
  for (let round = 0; round < rounds; round++) {
    for (const entry of entries) {
      const runner = open.get(entry.contender);
      if (!runner || entry.problem || round >= (entry.contender.rounds ?? rounds)) continue;
      try {
        entry.ms.push(await runner.run());
      } catch (error) {
        entry.problem = firstLine(error);
      }
    }
  }
  const results = entries.map(({ contender, ms, problem }): Result => {
    const note = problem || (open.get(contender)?.note?.() ?? '');
    return { name: contender.name, ms: problem ? [] : ms, note };
  });
  for (const runner of open.values()) runner.close?.();
  return results;
}

const firstLine = (error: unknown): string =>
  (error instanceof Error ? error.message : String(error)).split('\n')[0]!;

/** Calls `f` until it took `atLeast` milliseconds; the milliseconds of one call. `prepare` goes before each, untimed. */
export async function timed(f: () => unknown, atLeast = 0, prepare?: () => unknown): Promise<number> {
  let [calls, ms] = [0, 0];
  do {
    if (prepare) await prepare();
    const start = performance.now();
    await f();
    ms += performance.now() - start;
    calls++;
  } while (ms < atLeast);
  return ms / calls;
}

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
}

/** above ÷ below for each round that both ran; empty if there is none. */
export const ratios = (above: Result, below: Result): number[] =>
  above.ms.slice(0, below.ms.length).map((ms, round) => ms / below.ms[round]!);
