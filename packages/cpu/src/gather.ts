import { BaxError } from '@bax/core';
import type { View } from '@bax/core';
import { arrayOf } from './memory.ts';
import { offsetsOf, widenOf } from './view.ts';

/** out[...i, ...rest] = table[index[...i], ...rest]. */
export function gather(table: View, index: View, out: View): void {
  const source = arrayOf(table.buffer);
  const target = arrayOf(out.buffer);
  const widen = widenOf(table.buffer.type);
  const { from, to, fromRow, toRow } = rowPairs('gather', table, index, out);
  for (let i = 0; i < from.length; i++) {
    for (let j = 0; j < fromRow.length; j++) {
      const value = source[from[i] + fromRow[j]];
      target[to[i] + toRow[j]] = widen ? widen[value] : value;
    }
  }
}

/** out[index[...i], ...rest] += rows[...i, ...rest], in the order of the indices. */
export function scatterAdd(index: View, rows: View, out: View): void {
  const source = arrayOf(rows.buffer);
  const target = arrayOf(out.buffer);
  const { from, to, fromRow, toRow } = rowPairs('scatterAdd', out, index, rows);
  for (let i = 0; i < from.length; i++) {
    for (let j = 0; j < fromRow.length; j++) target[from[i] + fromRow[j]] += source[to[i] + toRow[j]];
  }
}

/** Where each indexed row of the table begins and where its partner does; and the places of a row's elements. */
function rowPairs(op: string, table: View, index: View, rows: View) {
  const indices = arrayOf(index.buffer);
  const rank = index.shape.length;
  const from = offsetsOf(index.shape, index.strides, index.offset);
  for (let i = 0; i < from.length; i++) {
    const row = indices[from[i]];
    if (row < 0 || row >= table.shape[0])
      throw new BaxError(`${op}: index ${row} at position ${i} is outside the table's ${table.shape[0]} rows`);
    from[i] = table.offset + row * table.strides[0];
  }
  return {
    from,
    to: offsetsOf(index.shape, rows.strides.slice(0, rank), rows.offset),
    fromRow: offsetsOf(table.shape.slice(1), table.strides.slice(1), 0),
    toRow: offsetsOf(table.shape.slice(1), rows.strides.slice(rank), 0),
  };
}
