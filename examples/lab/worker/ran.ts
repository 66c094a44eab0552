/** What reaches the device. */
import { observe, showShape } from 'bax';
import type { Ran } from './tasks.ts';

/** What `f` gives, and every call that reached the device meanwhile; `onCall` comes after each. */
export function watched<T>(f: () => T, onCall?: () => void): { result: T; ran: Ran[] } {
  const ran: Ran[] = [];
  const result = observe((op, inputs, outputs, path) => {
    const [from, to] = [inputs, outputs].map((tensors) => tensors.map((t) => showShape(t.shape)).join(' '));
    ran.push({ op, path, shapes: `${from} → ${to}` });
    onCall?.();
  }, f);
  return { result, ran };
}
