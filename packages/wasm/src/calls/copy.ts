import { type DType, expr as e, isContiguous, rowMajor, sizeOf, type Storage, type View } from '@bax/core';
import { reads, writes } from '../kernels/lanes.ts';
import type { Machine } from '../machine.ts';
import type { WasmBuffer } from '../memory.ts';
import { map } from './map.ts';

/** The elements of a view, converted: in fresh row-major memory, which the caller frees, or in `out`. */
export function copyInto(machine: Machine, view: View, type: DType | Storage, out?: View): View {
  const to = out ?? {
    buffer: machine.memory.alloc(sizeOf(view.shape), type),
    shape: view.shape,
    strides: rowMajor(view.shape),
    offset: 0,
  };
  const compute = (['f64', 'f32', 'i32'] as const).find(
    (t) =>
      (t === view.buffer.type || t === type) &&
      reads[t].includes(view.buffer.type) &&
      writes[t].includes(type),
  );
  if (!compute) throw new Error(`wasm: cannot copy ${view.buffer.type} to ${type}`);
  map(machine, e.scalarFn(compute, 1, 0, [e.input(0)]), [view], [to], []);
  return to;
}

export function fill(machine: Machine, out: View, value: number): void {
  map(machine, e.scalarFn(out.buffer.type as DType, 0, 0, [e.constant(value)]), [], [out], []);
}

/** The view itself if its elements lie side by side, else a copy whose do; and what frees the copy. */
export function dense(machine: Machine, view: View): [View, () => void] {
  if (isContiguous(view)) return [view, () => undefined];
  const copy = copyInto(machine, view, view.buffer.type);
  return [copy, () => machine.memory.free(copy.buffer as WasmBuffer)];
}
