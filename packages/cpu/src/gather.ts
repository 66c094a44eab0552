import { BaxError, collapse, offsetsOf } from '@bax/core';
import type { View } from '@bax/core';
import { arrayOf } from './memory.ts';
import { LONG, widenOf } from './view.ts';

/** out[...i, ...rest] = table[index[...i], ...rest]. */
export function gather(table: View, index: View, out: View): void {
  const source = arrayOf(table.buffer);
  const target = arrayOf(out.buffer);
  const widen = widenOf(table.buffer.type);
  const { length, from, to, step, stepTo } = runs('gather', table, index, out);
  const native = !widen && step === 1 && stepTo === 1 && length >= LONG;
  for (let i = 0; i < from.length; i++) {
    const [p, q] = [from[i], to[i]];
    if (native) target.set(source.subarray(p, p + length), q);
    else if (widen) for (let j = 0; j < length; j++) target[q + j * stepTo] = widen[source[p + j * step]];
    else for (let j = 0; j < length; j++) target[q + j * stepTo] = source[p + j * step];
  }
}

/** out[index[...i], ...rest] += rows[...i, ...rest], in the order of the indices. */
export function scatterAdd(index: View, rows: View, out: View): void {
  const source = arrayOf(rows.buffer);
  const target = arrayOf(out.buffer);
  const { length, from, to, step, stepTo } = runs('scatterAdd', out, index, rows);
  for (let i = 0; i < from.length; i++) {
    const [p, q] = [from[i], to[i]];
    for (let j = 0; j < length; j++) target[(p + j * step) | 0] += source[(q + j * stepTo) | 0];
  }
}

interface Runs {
  readonly length: number;
  /** In the table: where each run begins and from one of its elements to the next. */
  readonly from: Int32Array;
  readonly step: number;
  /** The same of the tensor of rows. */
  readonly to: Int32Array;
  readonly stepTo: number;
}

/** The indexed rows of the table and their partners, as equally long runs of evenly spaced elements. */
function runs(op: string, table: View, index: View, rows: View): Runs {
  const indices = arrayOf(index.buffer);
  const places = offsetsOf(index.shape, index.strides, index.offset);
  const rank = index.shape.length;
  const { shape, strides } = collapse(table.shape.slice(1), [
    table.strides.slice(1),
    rows.strides.slice(rank),
  ]);
  const length = shape.pop() ?? 1;
  const [step, stepTo] = strides.map((s) => s.pop() ?? 1);
  const inRow = offsetsOf(shape, strides[0], 0);

  const from = new Int32Array(places.length * inRow.length);
  places.forEach((place, i) => {
    const row = indices[place];
    if (row < 0 || row >= table.shape[0])
      throw new BaxError(
        `${op}: index ${row} at position ${i} is outside the table's ${table.shape[0]} rows`,
      );
    const start = table.offset + row * table.strides[0];
    for (let j = 0; j < inRow.length; j++) from[i * inRow.length + j] = start + inRow[j];
  });
  const shapeTo = [...index.shape, ...shape];
  const to = offsetsOf(shapeTo, [...rows.strides.slice(0, rank), ...strides[1]], rows.offset);
  return { length, from, step, to, stepTo };
}
