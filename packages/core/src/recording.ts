/** What a step that is being recorded notes of the host's part: see replay.ts. */

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
