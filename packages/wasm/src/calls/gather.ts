import { BaxError, bytesOf, collapse, type DType, isContiguous, sizeOf, type View } from '@bax/core';
import { gatherKernel, SCATTER_COLUMNS, scatterAddKernels } from '../kernels/gather.ts';
import type { Machine } from '../machine.ts';
import type { WasmBuffer } from '../memory.ts';
import { copyInto, dense } from './copy.ts';
import { addressIn } from './rows.ts';

/** out[...i, ...rest] = table[index[...i], ...rest]. */
export function gather(machine: Machine, table: View, index: View, out: View): void {
  if (sizeOf(out.shape) === 0) return checkIndices(machine, 'gather', index, table.shape[0]);
  const type = table.buffer.type;
  const [from, freeTable] = wholeRows(machine, table);
  const [places, freeIndex] = dense(machine, index);
  checkIndices(machine, 'gather', places, table.shape[0]);
  const direct = out.buffer.type === type && isContiguous(out);
  const to = direct ? out : copyInto(machine, { ...out, strides: out.strides.map(() => 0) }, type); // to be overwritten
  const count = sizeOf(index.shape);
  const bytes = (sizeOf(out.shape) / count) * bytesOf(type);
  const tableRow = from.strides[0] * bytesOf(type);
  machine.run(gatherKernel, [addressIn(from), tableRow, addressIn(places), addressIn(to), bytes, bytes], count, sizeOf(out.shape));
  if (!direct) {
    copyInto(machine, to, out.buffer.type, out);
    machine.memory.free(to.buffer as WasmBuffer);
  }
  freeTable();
  freeIndex();
}

/** out[index[...i], ...rest] += rows[...i, ...rest], in the order of the indices. */
export function scatterAdd(machine: Machine, index: View, rows: View, out: View): void {
  const type = out.buffer.type as DType;
  const [places, freeIndex] = dense(machine, index);
  checkIndices(machine, 'scatterAdd', places, out.shape[0]);
  if (sizeOf(rows.shape) > 0) {
    const [from, freeRows] = dense(machine, rows);
    const [to, freeOut] = wholeRows(machine, out);
    const count = sizeOf(index.shape);
    const length = sizeOf(rows.shape) / count;
    machine.run(
      scatterAddKernels[type],
      [addressIn(places), count, addressIn(from), length * bytesOf(type), addressIn(to), to.strides[0] * bytesOf(type), length],
      Math.ceil(length / SCATTER_COLUMNS),
      sizeOf(rows.shape),
    );
    if (to !== out) copyInto(machine, to, type, out);
    freeRows();
    freeOut();
  }
  freeIndex();
} // prettier-ignore

/** The table itself if each of its rows lies in one piece, else a dense copy and what frees it. */
function wholeRows(machine: Machine, table: View): [View, () => void] {
  const row = collapse(table.shape.slice(1), [table.strides.slice(1)]);
  const whole = row.shape.length === 0 || (row.shape.length === 1 && row.strides[0][0] === 1);
  return whole ? [table, () => undefined] : dense(machine, table);
}

function checkIndices(machine: Machine, op: string, index: View, rows: number): void {
  const values = machine.memory.arrayOf(index.buffer as WasmBuffer & { type: 'i32' });
  const n = sizeOf(index.shape);
  for (let i = 0; i < n; i++) {
    const row = values[index.offset + i];
    if (row < 0 || row >= rows)
      throw new BaxError(`${op}: index ${row} at position ${i} is outside the table's ${rows} rows`);
  }
}
