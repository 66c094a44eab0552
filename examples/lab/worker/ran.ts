/** What reaches the device. */
import { observe, showShape, type Tensor } from 'bax';
import type { Ran } from './tasks.ts';

/** What `f` gives, and every call that reached the device meanwhile, with what it made there; `onCall` comes after each. */
export function watched<T>(f: () => T, onCall?: () => void): { result: T; ran: Ran[]; made: Tensor[] } {
  const ran: Ran[] = [];
  const made: Tensor[] = [];
  const result = observe((op, inputs, outputs, path) => {
    const [from, to] = [inputs, outputs].map((tensors) => tensors.map((t) => showShape(t.shape)).join(' '));
    ran.push({ op, path, shapes: `${from} → ${to}` });
    made.push(...outputs);
    onCall?.();
  }, f);
  return { result, ran, made };
}
