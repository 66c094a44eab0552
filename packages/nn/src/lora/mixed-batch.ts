/** A batch whose rows go through different adapters. */
import { BaxError, gather, replaceSlices, slice, tensor, type Tensor } from '@bax/core';

/** What decides whether an adapter can share a batch. */
export interface MixedAdapter {
  readonly config: { readonly dora: boolean };
  readonly full: ReadonlyMap<string, Tensor>;
}
interface MixedState {
  readonly adapters: ReadonlyMap<string, MixedAdapter>;
  readonly active: ReadonlyMap<string, number>;
}

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

/** @throws unless x has a row for each that is named. */
export function checkBatch(x: Tensor, rows: readonly (string | null)[], adapter: string): void {
  if (x.rank < 2)
    throw new BaxError(`adapters: '${adapter}' changes a layer whose input has no batch axis, so its rows cannot share a batch with others; give them a batch of their own`); // prettier-ignore
  if (x.shape[0] !== rows.length)
    throw new BaxError(`adapters: ${rows.length} rows are named, but this layer's input has ${x.shape[0]} rows`); // prettier-ignore
}

/** @throws unless each row has an adapter, or none, that can share a batch with the others. */
export function checkRows(rows: readonly (string | null)[], { adapters, active }: MixedState): void {
  const bad = (message: string): never => {
    throw new BaxError(`adapters: ${message}`);
  };
  for (const name of new Set(rows)) {
    if (name === null) continue;
    const adapter = adapters.get(name);
    if (!adapter) return bad(`there is no adapter '${name}'; there are ${[...adapters.keys()].join(', ')}`);
    const reason = adapter.config.dora ? 'uses DoRA, whose output is not a sum' : trainsWhole(adapter);
    if (reason)
      bad(
        `'${name}' ${reason}, so its rows cannot share a batch with others; give them a batch of their own`,
      );
  }
  for (const name of active.keys()) {
    const reason = trainsWhole(adapters.get(name)!);
    if (reason)
      bad(
        `'${name}' is active and ${reason}, so that no row would have the base's; activate others, or none`,
      );
  }
}

const trainsWhole = ({ full }: MixedAdapter): string | undefined => {
  const [path] = full.keys();
  return path === undefined ? undefined : `trains ${path} whole`;
};
