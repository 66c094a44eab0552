import {
  BaxError, bytesOf, collapse, type DType, isContiguous, rowMajor, type Shape, sizeOf, type Storage, type View,
} from '@bax/core'; // prettier-ignore
import { gatherKernel, SCATTER_COLUMNS, scatterAddKernels } from '../kernels/gather.ts';
import type { Machine } from '../machine.ts';
import type { WasmBuffer } from '../memory.ts';
import { copyInto, dense } from './map.ts';
import { addressIn } from './rows.ts';

/** out[...i, ...rest] = table[index[...i], ...rest]. */
export function gather(machine: Machine, table: View, index: View, out: View): void {
  withIndices(machine, 'gather', index, table.shape[0], (places) => {
    if (sizeOf(out.shape) === 0) return;
    // Rows of a narrow type that are in pieces are widened as they are copied.
    const [from, freeTable] = wholeRows(
      machine,
      table,
      isDType(table.buffer.type) ? undefined : out.buffer.type,
    );
    const { type } = from.buffer;
    const direct = out.buffer.type === type && isContiguous(out);
    const to = direct ? out : fresh(machine, out.shape, type);
    const count = sizeOf(index.shape);
    const bytes = (sizeOf(out.shape) / count) * bytesOf(type);
    const tableRow = from.strides[0] * bytesOf(type);
    machine.run(
      gatherKernel,
      [addressIn(from), tableRow, addressIn(places), addressIn(to), bytes, bytes],
      count,
      sizeOf(out.shape),
    );
    if (!direct) {
      copyInto(machine, to, out.buffer.type, out);
      machine.memory.free(to.buffer as WasmBuffer);
    }
    freeTable();
  });
}

/** out[index[...i], ...rest] += rows[...i, ...rest], in the order of the indices. */
export function scatterAdd(machine: Machine, index: View, rows: View, out: View): void {
  const type = out.buffer.type as DType;
  withIndices(machine, 'scatterAdd', index, out.shape[0], (places) => {
    if (sizeOf(rows.shape) === 0) return;
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
  });
} // prettier-ignore

const isDType = (type: Storage): type is DType => type === 'f32' || type === 'f64' || type === 'i32';

/** Row-major memory, which the caller frees. */
const fresh = (machine: Machine, shape: Shape, type: Storage): View => ({
  buffer: machine.memory.alloc(sizeOf(shape), type),
  shape,
  strides: rowMajor(shape),
  offset: 0,
});

/** The table itself if each of its rows lies in one piece, else a dense copy, as `type` if given, and what frees it. */
function wholeRows(machine: Machine, table: View, type?: Storage): [View, () => void] {
  const row = collapse(table.shape.slice(1), [table.strides.slice(1)]);
  const whole = row.shape.length === 0 || (row.shape.length === 1 && row.strides[0][0] === 1);
  if (whole) return [table, () => undefined];
  if (!type) return dense(machine, table);
  const copy = copyInto(machine, table, type);
  return [copy, () => machine.memory.free(copy.buffer as WasmBuffer)];
}

/** `f` of the indices side by side, once each was found to name a row. */
function withIndices(
  machine: Machine,
  op: string,
  index: View,
  rows: number,
  f: (places: View) => void,
): void {
  const [places, free] = dense(machine, index);
  try {
    const values = machine.memory.arrayOf(places.buffer as WasmBuffer & { type: 'i32' });
    const n = sizeOf(places.shape);
    for (let i = 0; i < n; i++) {
      const row = values[places.offset + i];
      if (row < 0 || row >= rows)
        throw new BaxError(`${op}: index ${row} at position ${i} is outside the table's ${rows} rows`);
    }
    f(places);
  } finally {
    free();
  }
}
