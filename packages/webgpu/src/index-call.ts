import { BaxError } from '@bax/core';

/** A call that may find a bad index on the device. */
export interface IndexCall {
  readonly op: string;
  readonly rows: number;
}
export const badIndex = ({ op, rows }: IndexCall, index: number, position: number): BaxError =>
  new BaxError(`${op}: index ${index} at position ${position} is outside the table's ${rows} rows`);
