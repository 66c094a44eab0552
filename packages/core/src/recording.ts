/** What core does otherwise while a step is recorded (see replay.ts) or warmed up. */

let notes: (() => void)[] | undefined;

/** Whether a step is being recorded. */
export const isRecordingStep = (): boolean => notes !== undefined;

/**
 * For what a step does on the host (a key that is derived, a learning rate): while a step is recorded, `again` is noted
 * and called before each replay, in the order of these calls. It changes in place what the device's calls hold by
 * reference.
 */
export const onReplay = (again: () => void): void => void notes?.push(again);

/** Runs `f`; gives what was noted meanwhile. */
export function noting(f: () => void): readonly (() => void)[] {
  const mine: (() => void)[] = [];
  notes = mine;
  try {
    f();
  } finally {
    notes = undefined;
  }
  return mine;
}

let dry = false;

/** Whether a step is run for its calls alone, of which nothing is computed. */
export const isDryRun = (): boolean => dry;

/** Runs `f` for a backend that computes nothing meanwhile. */
export function dryRun<T>(f: () => T): T {
  dry = true;
  try {
    return f();
  } finally {
    dry = false;
  }
}
