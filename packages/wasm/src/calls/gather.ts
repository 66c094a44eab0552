import {
  BaxError,
  bytesOf,
  collapse,
  type DType,
  isContiguous,
  sizeOf,
  type Storage,
  type View,
} from '@bax/core';
import { gatherKernel, SCATTER_COLUMNS, scatterAddKernels } from '../kernels/gather.ts';
import type { Machine } from '../machine.ts';
import type { WasmBuffer } from '../memory.ts';
import { withFitting, withFresh } from './borrow.ts';
import { copyInto } from './map.ts';
import { addressIn } from './rows.ts';

/** out[...i, ...rest] = table[index[...i], ...rest]. */
export function gather(machine: Machine, table: View, index: View, out: View): void {
  withIndices(machine, 'gather', index, table.shape[0], (places) => {
    if (sizeOf(out.shape) === 0) return;
    const take = (from: View): void => {
      const { type } = from.buffer;
      if (out.buffer.type !== type || !isContiguous(out))
        return withFresh(machine, out.shape, type, (rows) => {
          takeRows(machine, from, places, rows);
          copyInto(machine, rows, out.buffer.type, out);
        });
      takeRows(machine, from, places, out);
    };
    // Rows of a narrow type that are in pieces are widened as they are copied.
    if (!hasWholeRows(table) && !isDType(table.buffer.type))
      return withFresh(machine, table.shape, out.buffer.type, (wide) =>
        take(copyInto(machine, table, wide.buffer.type, wide)),
      );
    withFitting(machine, [table], take, hasWholeRows);
  });
}

function takeRows(machine: Machine, from: View, places: View, to: View): void {
  const count = sizeOf(places.shape);
  const size = bytesOf(from.buffer.type);
  const bytes = (sizeOf(to.shape) / count) * size;
  const args = [addressIn(from), from.strides[0] * size, addressIn(places), addressIn(to), bytes, bytes];
  machine.run(gatherKernel, args, count, sizeOf(to.shape));
}

/** out[index[...i], ...rest] += rows[...i, ...rest], in the order of the indices. */
export function scatterAdd(machine: Machine, index: View, rows: View, out: View): void {
  const type = out.buffer.type as DType;
  const size = bytesOf(type);
  withIndices(machine, 'scatterAdd', index, out.shape[0], (places) => {
    if (sizeOf(rows.shape) === 0) return;
    const count = sizeOf(index.shape);
    const length = sizeOf(rows.shape) / count;
    withFitting(machine, [rows], (from) => {
      const add = (to: View): void => {
        // prettier-ignore
        const args = [addressIn(places), count, addressIn(from), length * size, addressIn(to), to.strides[0] * size, length];
        machine.run(scatterAddKernels[type], args, Math.ceil(length / SCATTER_COLUMNS), sizeOf(rows.shape));
        if (to !== out) copyInto(machine, to, type, out);
      };
      withFitting(machine, [out], add, hasWholeRows);
    });
  });
}

const isDType = (type: Storage): type is DType => type === 'f32' || type === 'f64' || type === 'i32';

/** Whether each row of a table lies in one piece. */
function hasWholeRows(table: View): boolean {
  const row = collapse(table.shape.slice(1), [table.strides.slice(1)]);
  return row.shape.length === 0 || (row.shape.length === 1 && row.strides[0][0] === 1);
}

/** `f` of the indices side by side, once each was found to name a row. */
function withIndices(
  machine: Machine,
  op: string,
  index: View,
  rows: number,
  f: (places: View) => void,
): void {
  withFitting(machine, [index], (places) => {
    const values = machine.memory.arrayOf(places.buffer as WasmBuffer & { type: 'i32' });
    const n = sizeOf(places.shape);
    for (let i = 0; i < n; i++) {
      const row = values[places.offset + i];
      if (row < 0 || row >= rows)
        throw new BaxError(`${op}: index ${row} at position ${i} is outside the table's ${rows} rows`);
    }
    f(places);
  });
}
