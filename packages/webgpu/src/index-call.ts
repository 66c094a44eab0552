import { BaxError } from '@bax/core';

/** A call that may find a bad index on the device. */
export interface IndexCall {
  readonly op: string;
  readonly rows: number;
  /** What the kernel notes beside the index; each replay has its own. */
  serial: number;
}
export const badIndex = (
  { op, rows }: Pick<IndexCall, 'op' | 'rows'>,
  index: number,
  position: number,
): BaxError =>
  new BaxError(`${op}: index ${index} at position ${position} is outside the table's ${rows} rows`);
