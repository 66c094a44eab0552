/** A batch whose rows go through different adapters. */
import { gather, replaceSlices, slice, tensor, type Tensor } from '@bax/core';

/**
 * Changes the rows of y (axis 0) adapter by adapter: `change` gets all rows of one, of y and of x, and gives y's new ones.
 * Rows whose adapter is null stay as they are, to the bit.
 */
export function byAdapter(
  adapters: readonly (string | null)[],
  y: Tensor,
  x: Tensor,
  change: (adapter: string, y: Tensor, x: Tensor) => Tensor,
): Tensor {
  const rows = new Map<string | null, number[]>();
  adapters.forEach((name, i) => rows.set(name, [...(rows.get(name) ?? []), i]));
  const order = [...rows.values()].flat(); // grouped, each group in the batch's order
  const sorted = order.every((row, i) => row === i);
  const [ys, xs] = sorted ? [y, x] : [y, x].map((t) => gather(t, indices(order, t)));
  let at = 0;
  const changes = [...rows].flatMap(([name, { length }]) => {
    const start = at;
    at += length;
    if (name === null) return [];
    return [{ start, length, change: (part: Tensor) => change(name, part, slice(xs!, 0, start, start + length)) }]; // prettier-ignore
  });
  if (changes.length === 0) return y;
  const changed = replaceSlices(ys!, 0, changes);
  if (sorted) return changed;
  const back = order.map((_, row) => order.indexOf(row));
  return gather(changed, indices(back, y));
}

const indices = (rows: readonly number[], { backend }: Tensor): Tensor =>
  tensor(Int32Array.from(rows), { backend });
