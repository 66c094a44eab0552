/** The door to the counters, which start when something is first asked of them. */
import { useEffect, useState } from 'preact/hooks';
import { type Call, connect } from '../../app/calls.ts';
import type { CountTasks } from '../worker/count-tasks.ts';
import { trouble } from './lab.ts';

const calls: { quick?: Call<CountTasks>; slow?: Call<CountTasks> } = {};
const counter = (which: 'quick' | 'slow'): Call<CountTasks> =>
  (calls[which] ??= connect<CountTasks>(
    new Worker(new URL('../worker/counter.ts', import.meta.url), { type: 'module' }),
  ));

/** How long a choice must rest before the memory is counted, which takes a second of a large model. */
const REST = 300;

export interface Answer<T> {
  readonly value: T | undefined;
  /** The value is of an earlier choice. */
  readonly isOld: boolean;
}

/** What the counter answers to the choice as it is; until then, what it answered last. Asks nothing while `give` is undefined. */
export function useCount<K extends keyof CountTasks>(
  task: K,
  give: CountTasks[K]['give'] | false,
): Answer<CountTasks[K]['result']> {
  const [answer, setAnswer] = useState<{ choice: string; value: CountTasks[K]['result'] } | undefined>();
  const choice = JSON.stringify([give]);
  useEffect(() => {
    if (give === false || answer?.choice === choice) return;
    const stop = new AbortController();
    const { signal } = stop;
    const ask = async (): Promise<void> => {
      try {
        const value = await counter(task === 'ledger' ? 'slow' : 'quick')(task, give, { signal });
        if (!signal.aborted) setAnswer({ choice, value });
      } catch (error) {
        if (!signal.aborted) trouble.value = (error as Error).message;
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
