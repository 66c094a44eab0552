/** What a view does by itself: once for each choice, as soon as nothing else goes on. */
import { useEffect, useRef } from 'preact/hooks';
import { isBusy } from './lab.ts';

/** Runs `f` for each new `key`; not while it is undefined. */
export function useWhenIdle(key: string | undefined, f: () => Promise<void>): void {
  const done = useRef<string>();
  useEffect(() => {
    if (key === undefined || isBusy.value || done.current === key) return;
    done.current = key;
    void f();
  }, [key, isBusy.value]);
}
