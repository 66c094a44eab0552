/** Several that work side by side on one device, one step each in turn. */

export interface Turn {
  /** Waits for the first turn. */
  mine(): Promise<void>;
  /** Gives the turn to the next, and waits for it to come round. */
  next(): Promise<void>;
}

/** Runs `work` for each; who is done is passed over. Rejects, when all have come to an end, with the first error. */
export async function inTurns<T>(
  all: readonly T[],
  work: (one: T, turn: Turn) => Promise<void>,
): Promise<void> {
  const waiting = new Map<T, () => void>();
  const left = [...all];
  let turn = left[0];
  const wait = async (one: T): Promise<void> => {
    if (turn !== one) await new Promise<void>((resolve) => waiting.set(one, resolve));
  };
  const pass = (from: T): void => {
    turn = left[(left.indexOf(from) + 1) % left.length];
    const wake = waiting.get(turn);
    waiting.delete(turn);
    wake?.();
  };
  const ends = await Promise.allSettled(
    all.map(async (one) => {
      try {
        await work(one, {
          mine: async () => wait(one),
          async next() {
            pass(one);
            await wait(one);
          },
        });
      } finally {
        if (turn === one) pass(one);
        left.splice(left.indexOf(one), 1);
      }
    }),
  );
  for (const end of ends) if (end.status === 'rejected') throw end.reason;
}
