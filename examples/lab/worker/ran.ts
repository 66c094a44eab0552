/** What reaches the device. */
import { observe, showShape } from 'bax';
import type { Ran } from './tasks.ts';

/** What `f` gives, and every call that reached the device meanwhile. */
export function watched<T>(f: () => T): { result: T; ran: Ran[] } {
  const ran: Ran[] = [];
  const result = observe(
    (op, inputs, outputs, path) =>
      ran.push({
        op,
        path,
        shapes: `${inputs.map((x) => showShape(x.shape)).join(' ')} → ${outputs.map((y) => showShape(y.shape)).join(' ')}`,
      }),
    f,
  );
  return { result, ran };
}
