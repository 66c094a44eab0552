/** The run that trains: what has been seen of it. */
import { signal } from '@preact/signals';
import type { Begin, Evaluation, Step } from '../worker/tasks.ts';
import { act, begun, call, settings } from './lab.ts';
import { words } from './words/index.ts';

const EVALUATE_EVERY = 20;

export const steps = signal<readonly Step[]>([]);
export const evaluations = signal<readonly Evaluation[]>([]);
/** Counts what changed the adapter: who shows something of it looks here. */
export const version = signal(0);

/** Puts the learners at their start. */
export async function begin(full: boolean): Promise<boolean> {
  const { r, alpha, targets, seed, batch, context } = settings.value;
  const give: Begin = { r, alpha, targets, seed, batch, context, full };
  const result = await act(words().training, async () => call('begin', give));
  if (!result) return false;
  begun.value = result;
  [steps.value, evaluations.value] = [[], []];
  version.value++;
  return true;
}

/** Trains so many steps more, unless it is stopped before. */
export async function learn(count: number): Promise<void> {
  const { lr, fullLr } = settings.value;
  await act(words().training, async (signal) =>
    call(
      'learn',
      { steps: count, rates: { lora: lr, full: fullLr }, evaluateEvery: EVALUATE_EVERY },
      {
        signal,
        on(told) {
          if ('step' in told) steps.value = [...steps.value, told];
          else evaluations.value = [...evaluations.value.filter((e) => e.steps !== told.steps), told];
        },
      },
    ),
  );
  version.value++;
}

export async function rerank(): Promise<void> {
  const result = await act(words().changingRank, async () => call('rerank', { r: settings.value.r }));
  if (result) begun.value = result;
  version.value++;
}

/** The text is another: what was learned of the one before is no longer trained on. */
export function leave(): void {
  begun.value = undefined;
  [steps.value, evaluations.value] = [[], []];
  version.value++;
}
