/** The door to the counters, which start when something is first asked of them. */
import { signal } from '@preact/signals';
import { useEffect } from 'preact/hooks';
import { type Call, connect } from '../../app/calls.ts';
import type { CountTasks } from '../worker/count-tasks.ts';
// oxlint-disable-next-line import/default -- Vite makes it
import Counter from '../worker/counter.ts?worker';
import { trouble } from './lab.ts';

const calls: { quick?: Call<CountTasks>; slow?: Call<CountTasks> } = {};
const counter = (which: 'quick' | 'slow'): Call<CountTasks> =>
  (calls[which] ??= connect<CountTasks>(new Counter()));

/** How long a choice must rest before the memory is counted, which takes a second of a large model. */
const REST = 300;

export interface Answer<T> {
  readonly value: T | undefined;
  /** The value is of an earlier choice. */
  readonly isOld: boolean;
}

type Answers = { readonly [K in keyof CountTasks]?: { choice: string; value: CountTasks[K]['result'] } };
/** The last of each kind: they stay while another view is open. */
const answers = signal<Answers>({});

/** What the counter answers to the choice as it is; until then, what it answered last. */
export function useCount<K extends keyof CountTasks>(
  task: K,
  give: CountTasks[K]['give'],
): Answer<CountTasks[K]['result']> {
  const answer = answers.value[task];
  const choice = JSON.stringify([give]);
  useEffect(() => {
    if (answers.value[task]?.choice === choice) return;
    const stop = new AbortController();
    const { signal: stopped } = stop;
    const ask = async (): Promise<void> => {
      try {
        const value = await counter(task === 'ledger' ? 'slow' : 'quick')(task, give, { signal: stopped });
        if (!stopped.aborted) answers.value = { ...answers.value, [task]: { choice, value } };
      } catch (error) {
        if (!stopped.aborted) trouble.value = (error as Error).message;
      }
    };
    const timer = setTimeout(() => void ask(), task === 'ledger' ? REST : 0);
    return () => {
      clearTimeout(timer);
      stop.abort();
    };
  }, [choice]);
  return { value: answer?.value, isOld: answer?.choice !== choice };
}
