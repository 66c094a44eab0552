/** Rows of tables. Indices that the host wrote are checked here, before anything runs; the others on the device. */
import { bytesOf, collapse, offsetsOf, rowMajor, sizeOf, type View } from '@bax/core';
import { type Gpu, whole } from '../gpu.ts';
import { badIndex } from '../index-call.ts';
import type { GpuTensorBuffer } from '../memory.ts';
import {
  gather as gatherKernel,
  scatterAdd as scatterAddKernel,
  scatterAddUnsorted as unsortedKernel,
} from '../wgsl.generated.ts';
import { borrow, type Fresh } from './borrow.ts';
import { write } from './host.ts';
import { apart, copyInto, copyOf } from './map.ts';
import { along, halves, innermostFirst, STORED } from './views.ts';

const SIZE = 64;
/** Axes of the index, and of a row, that a kernel walks. */
const AXES = 3;

/** The values of an index that the host wrote, in their order; undefined if the device made it, or it will change. */
function knownIndex(gpu: Gpu, { buffer, shape, strides, offset }: View): Int32Array | undefined {
  if (gpu.queue.recording) return undefined;
  const { known } = buffer as GpuTensorBuffer;
  return known && offsetsOf(shape, strides, offset).map((at) => known[at]);
}

function checkKnown(op: string, index: Int32Array, rows: number): void {
  const position = index.findIndex((row) => row < 0 || row >= rows);
  if (position >= 0) throw badIndex({ op, rows }, index[position], position);
}

interface Axes {
  /** Of the index: lengths, then strides of the index and of the rows. */
  readonly index: ReturnType<typeof collapse>;
  /** Of a row: lengths, then strides of the table and of the rows. */
  readonly row: ReturnType<typeof collapse>;
}
function axesOf(table: View, index: View, rows: View): Axes | undefined {
  const rank = index.shape.length;
  const axes = {
    index: collapse(index.shape, [index.strides, rows.strides.slice(0, rank)]),
    row: collapse(table.shape.slice(1), [table.strides.slice(1), rows.strides.slice(rank)]),
  };
  return axes.index.shape.length > AXES || axes.row.shape.length > AXES ? undefined : axes;
}

/** out[...i, ...rest] = table[index[...i], ...rest]. */
export function gather(gpu: Gpu, table: View, index: View, out: View): void {
  const count = sizeOf(out.shape);
  const known = knownIndex(gpu, index);
  if (known) checkKnown('gather', known, table.shape[0]);
  if (count === 0) return;
  const { type } = out.buffer;
  const stored = table.buffer.type;
  const direct = stored === type || (type === 'f32' && stored !== 'i32' && stored !== 'f64');
  const axes = direct ? axesOf(table, index, out) : undefined;
  if (!axes) {
    // Another type, or more axes than the kernel has: through row-major memory.
    return borrow(gpu, (fresh) => {
      const rows = direct ? copyOf(gpu, fresh, table) : fresh(table.shape, type);
      if (!direct) copyInto(gpu, table, rows);
      const flat = fresh([sizeOf(index.shape), ...table.shape.slice(1)], type);
      gather(gpu, rows, { ...copyOf(gpu, fresh, index), shape: flat.shape.slice(0, 1), strides: [1] }, flat);
      copyInto(gpu, { ...flat, shape: out.shape, strides: rowMajor(out.shape) }, out);
    });
  }
  if (!gpu.fits(out) || !gpu.fits(index)) {
    const axis = index.shape.findIndex((length) => length > 1);
    if (axis >= 0) {
      for (const [start, length] of halves(index.shape[axis]))
        gather(gpu, table, along(index, axis, start, length), along(out, axis, start, length));
      return;
    }
  }
  borrow(gpu, (fresh) => {
    const [source, at] = apart(gpu, fresh, [table, index], [out]);
    gatherDirectly(gpu, axes, source, at, out, known !== undefined);
  });
}

function gatherDirectly(gpu: Gpu, axes: Axes, table: View, index: View, out: View, known: boolean): void {
  const count = sizeOf(out.shape);
  const width = count / sizeOf(index.shape);
  const stored = table.buffer.type;
  const call = gpu.indices.call('gather', table.shape[0], known);
  gpu.about(table, index, out);
  // A table that is larger than a binding may be: some rows at a time.
  const rowBytes = Math.abs(table.strides[0]) * bytesOf(stored);
  const most = gpu.fits(table)
    ? table.shape[0]
    : Math.max(1, Math.floor((gpu.maxBinding - 512) / rowBytes) - 1);
  for (let first = 0; first < table.shape[0]; first += most) {
    const rows = Math.min(most, table.shape[0] - first);
    const [t, i, o] = [gpu.bind(along(table, 0, first, rows)), gpu.bind(index), gpu.bind(out)];
    const params = {
      indexAxes: innermostFirst(axes.index.shape, 1),
      index: innermostFirst(axes.index.strides[0], 0),
      outIndex: innermostFirst(axes.index.strides[1], 0),
      rowAxes: innermostFirst(axes.row.shape, 1),
      table: innermostFirst(axes.row.strides[0], 0),
      outRow: innermostFirst(axes.row.strides[1], 0),
      indexAt: i.base,
      tableAt: t.base,
      outAt: o.base,
      rowStride: table.strides[0],
      first,
      rows,
      bound: table.shape[0],
      width,
      count,
      get serial() {
        return call.serial;
      },
    };
    const variant = { constants: { FROM: stored === out.buffer.type ? 0 : STORED[stored], SIZE } };
    gpu.run(gatherKernel, variant, [t, i, o, whole(gpu.indices.note)], params, Math.ceil(count / SIZE), true); // the serial number
  }
}

/** table[index[...i], ...rest] += rows[...i, ...rest], in the order of the indices. */
export function scatterAdd(gpu: Gpu, index: View, rows: View, table: View): void {
  const known = knownIndex(gpu, index);
  if (known) checkKnown('scatterAdd', known, table.shape[0]);
  if (sizeOf(rows.shape) === 0) return;
  const axes = axesOf(table, index, rows);
  if (!axes) {
    const count = sizeOf(index.shape);
    const width = sizeOf(rows.shape) / count;
    const matrix = (v: View, n: number): View => ({ ...v, shape: [n, width], strides: [width, 1] });
    return borrow(gpu, (fresh) => {
      const [positions, flat, sums] = [index, rows, table].map((v) => copyOf(gpu, fresh, v));
      if (known) (positions.buffer as GpuTensorBuffer).known = known;
      const at = { ...positions, shape: [count], strides: [1] };
      scatterAdd(gpu, at, matrix(flat, count), matrix(sums, table.shape[0]));
      copyInto(gpu, sums, table);
    });
  }
  if (!gpu.fits(rows) || !gpu.fits(index)) {
    // The earlier positions first. Halves of the first axis, so that the order is kept.
    const axis = index.shape.findIndex((length) => length > 1);
    if (axis >= 0) {
      for (const [start, length] of halves(index.shape[axis]))
        scatterAdd(gpu, along(index, axis, start, length), along(rows, axis, start, length), table);
      return;
    }
  }
  borrow(gpu, (fresh) => {
    const [source, at] = apart(gpu, fresh, [rows, index], [table]);
    scatterDirectly(gpu, fresh, axes, at, source, table, known);
  });
}

function scatterDirectly(
  gpu: Gpu,
  fresh: Fresh,
  axes: Axes,
  index: View,
  rows: View,
  table: View,
  known: Int32Array | undefined,
): void {
  const width = sizeOf(table.shape.slice(1));
  const [r, t] = [gpu.bind(rows), gpu.bind(table)];
  gpu.about(index, rows, table);
  const common = {
    indexAxes: innermostFirst(axes.index.shape, 1),
    rowsIndex: innermostFirst(axes.index.strides[1], 0),
    rowAxes: innermostFirst(axes.row.shape, 1),
    table: innermostFirst(axes.row.strides[0], 0),
    rowsRow: innermostFirst(axes.row.strides[1], 0),
    tableAt: t.base,
    rowsAt: r.base,
    rowStride: table.strides[0],
    width,
  };
  const variant = { constants: { SIZE }, T: table.buffer.type as 'f32' | 'i32' };
  if (known) {
    const { order, named } = sorted(known);
    const list = fresh([order.length], 'i32');
    write(gpu, list.buffer as GpuTensorBuffer, order, 0);
    const count = named * width;
    gpu.run(scatterAddKernel, variant, [gpu.bind(list), r, t], { ...common, count }, Math.ceil(count / SIZE));
    return;
  }
  const i = gpu.bind(index);
  const call = gpu.indices.call('scatterAdd', table.shape[0], false);
  const params = {
    ...common,
    index: innermostFirst(axes.index.strides[0], 0),
    indexAt: i.base,
    bound: table.shape[0],
    positions: sizeOf(index.shape),
    get serial() {
      return call.serial;
    },
  };
  gpu.run(unsortedKernel, variant, [i, r, t, whole(gpu.indices.note)], params, Math.ceil(width / SIZE), true); // the serial number
}

/** Positions by the row they go to, each row's in their order: [row, begin, end] of each named row, then the positions. */
function sorted(index: Int32Array): { order: Int32Array<ArrayBuffer>; named: number } {
  const counts = new Map<number, number>();
  for (const row of index) counts.set(row, (counts.get(row) ?? 0) + 1);
  const named = counts.size;
  const order = new Int32Array(3 * named + index.length);
  const next = new Map<number, number>();
  let [at, begin] = [0, 3 * named];
  for (const [row, count] of counts) {
    order[at++] = row;
    order[at++] = begin;
    next.set(row, begin);
    order[at++] = begin += count;
  }
  index.forEach((row, position) => {
    const place = next.get(row)!;
    order[place] = position;
    next.set(row, place + 1);
  });
  return { order, named };
}
