/** The run that trains: what has been seen of it. */
import { signal } from '@preact/signals';
import type { Begin, Evaluation, Step, Tasks } from '../worker/tasks.ts';
import { act, actInParts, begun, call, choose, notKept, progress, settings } from './lab.ts';
import { number, words } from './words/index.ts';

const EVALUATE_EVERY = 20;

export const steps = signal<readonly Step[]>([]);
export const evaluations = signal<readonly Evaluation[]>([]);
/** Steps that an earlier visit made. */
export const resumedAt = signal(0);
/** Counts what changed the adapter: who shows something of it looks here. */
export const version = signal(0);
/** Steps after which the rank was changed: what was measured until then is of another adapter. */
export const rerankedAt = signal(-1);
/** Steps that the run has made. */
const made = (): number => (steps.value.at(-1)?.step ?? -1) + 1;

/** Puts the learners at their start. False if they are not, or not to go on. */
export async function begin(full: boolean): Promise<boolean> {
  const { r, alpha, targets, seed, batch, context } = settings.value;
  const give: Begin = { r, alpha, targets, seed, batch, context, full };
  let isStopped = false;
  const result = await act(words().training, async (signal) => {
    const answer = await call('begin', give);
    isStopped = signal.aborted;
    return answer;
  });
  if (!result) return false;
  begun.value = result;
  [resumedAt.value, rerankedAt.value] = [0, -1];
  [steps.value, evaluations.value] = [[], []];
  version.value++;
  return !isStopped;
}

/** The text is another: what was learned of the one before is no longer trained on. */
export function leave(): void {
  begun.value = undefined;
  [resumedAt.value, rerankedAt.value] = [0, -1];
  [steps.value, evaluations.value] = [[], []];
  version.value++;
}

/** Leaves the run for where a kept one of the text stood, if there is one. */
export async function resume(): Promise<void> {
  leave();
  const kept = await call('resume', undefined);
  if (!kept) return;
  begun.value = kept.begun;
  resumedAt.value = kept.steps.length;
  [steps.value, evaluations.value] = [kept.steps, kept.evaluations];
  version.value++;
}

/** Trains so many steps more, unless it is stopped before. */
export async function learn(count: number): Promise<void> {
  const { lr, fullLr } = settings.value;
  const end = made() + count;
  await actInParts(words().training, async (signal) => {
    const give = { steps: end - made(), rates: { lora: lr, full: fullLr }, evaluateEvery: EVALUATE_EVERY };
    const on = (told: Tasks['learn']['told']): void => {
      if ('step' in told) {
        steps.value = [...steps.value, told];
        progress.value = 1 - (end - made()) / count;
      } else if ('notKept' in told) notKept.value = told;
      else evaluations.value = [...evaluations.value.filter((e) => e.steps !== told.steps), told];
    };
    await call('learn', give, { signal, on }).finally(() => version.value++);
    return made() < end;
  });
}

export async function rerank(): Promise<void> {
  const result = await act(words().changingRank, async () => call('rerank', { r: settings.value.r }));
  if (result) {
    begun.value = result;
    rerankedAt.value = made();
    choose({ alpha: result.begin.alpha }); // what was learned is kept at a scale of 1
  }
  version.value++;
}

/** Whether the run may end: what it learned would be gone. */
export const mayEnd = (): boolean =>
  steps.value.length === 0 || confirm(words().sureLeave(number(steps.value.length)));
