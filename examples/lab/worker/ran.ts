/** What reaches the device. */
import { observe, showShape, type Tensor } from 'bax';
import type { Ran } from './tasks.ts';

/** What `f` gives, and every call that reached the device meanwhile, with what it made there. */
export function watched<T>(f: () => T): { result: T; ran: Ran[]; made: Tensor[] } {
  const ran: Ran[] = [];
  const made: Tensor[] = [];
  const result = observe((op, inputs, outputs, path) => {
    made.push(...outputs);
    ran.push({
      op,
      path,
      shapes: `${inputs.map((x) => showShape(x.shape)).join(' ')} → ${outputs.map((y) => showShape(y.shape)).join(' ')}`,
    });
  }, f);
  return { result, ran, made };
}
