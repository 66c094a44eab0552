import {
  bytesOf, collapse, type DType, expr as e, rowMajor, type ScalarFn, sizeOf, type Storage, type View,
} from '@bax/core'; // prettier-ignore
import type { Kernel } from '../kernels/kernel.ts';
import { reads, writes } from '../kernels/lanes.ts';
import { costOf, mapKernel, type Operand, ROW_AXES, type Step } from '../kernels/map.ts';
import type { Machine } from '../machine.ts';
import { addressOf, type WasmBuffer } from '../memory.ts';

/** One long axis is cut into rows of so many elements, which threads can share. */
const ROW = 4096;

/** outputs[i] = fn.outputs[i](inputs, scalars), elementwise. */
export function map(
  machine: Machine,
  fn: ScalarFn,
  inputs: readonly View[],
  outputs: readonly View[],
  scalars: ArrayLike<number>,
): void {
  if (sizeOf(outputs[0].shape) === 0) return;
  const { type } = fn;
  const foreign = (v: View, list: readonly Storage[]): boolean => !list.includes(v.buffer.type);
  if (inputs.some((v) => foreign(v, reads[type])) || outputs.some((v) => foreign(v, writes[type])))
    return mapByCopies(machine, fn, inputs, outputs, scalars);
  const views = [...inputs, ...outputs];
  const sizes = views.map((v) => bytesOf(v.buffer.type));
  const { shape, strides } = collapse(outputs[0].shape, views.map((v) => v.strides)); // prettier-ignore
  let length = shape.pop() ?? 1;
  const steps = strides.map((s) => s.pop() ?? 1);
  const rowAxes = shape.splice(-ROW_AXES);
  const rowSteps = strides.map((s) => s.splice(-ROW_AXES));
  let lastLength = length;
  if (rowAxes.length === 0 && length > ROW) {
    rowAxes.push(Math.ceil(length / ROW));
    rowSteps.forEach((s, i) => s.push(steps[i] * ROW));
    lastLength = length - (rowAxes[0] - 1) * ROW;
    length = ROW;
  }
  while (rowAxes.length < ROW_AXES) {
    rowAxes.unshift(1);
    for (const s of rowSteps) s.unshift(0);
  }
  const rows = sizeOf(rowAxes);

  const operands = views.map((v, i): Operand => ({ storage: v.buffer.type, step: stepOf(steps[i]) }));
  const { kernel, cost } = kernelOf(fn, operands, inputs.length);
  const args = [length, rows - 1, lastLength, rowAxes[1], rowAxes[2]];
  const [first, perOperand] = [args.length, 2 + ROW_AXES];
  views.forEach((_, i) => args.push(0, ...rowSteps[i].map((s) => s * sizes[i]), steps[i] * sizes[i]));
  for (let i = 0; i < fn.scalars; i++) args.push(scalars[i]);

  const bases = views.map((v, i) => addressOf(v.buffer) + v.offset * sizes[i]);
  const elements = (rows - 1) * length + lastLength;
  forEachIndex(shape, (index) => {
    views.forEach((_, i) => {
      let at = bases[i];
      for (let axis = 0; axis < index.length; axis++) at += index[axis] * strides[i][axis] * sizes[i];
      args[first + perOperand * i] = at;
    });
    machine.run(kernel, args, rows, elements * cost);
  });
}

/** Operands whose storage the lanes do not know are converted before, and after. */
function mapByCopies(
  machine: Machine,
  fn: ScalarFn,
  inputs: readonly View[],
  outputs: readonly View[],
  scalars: ArrayLike<number>,
): void {
  const temporary: View[] = [];
  const ownType = (v: View): View => {
    const copy = copyInto(machine, v, fn.type);
    temporary.push(copy);
    return copy;
  };
  try {
    const own = inputs.map((v) => (reads[fn.type].includes(v.buffer.type) ? v : ownType(v)));
    const results = outputs.map((v) => (writes[fn.type].includes(v.buffer.type) ? v : ownType(v)));
    map(machine, fn, own, results, scalars);
    results.forEach((v, i) => v !== outputs[i] && copyInto(machine, v, outputs[i].buffer.type, outputs[i]));
  } finally {
    for (const { buffer } of temporary) machine.memory.free(buffer as WasmBuffer);
  }
}

const stepOf = (step: number): Step => (step === 1 ? 'unit' : step === 0 ? 'zero' : 'any');

/** Calls `visit` with each index of the shape, in row-major order; the array is reused. */
export function forEachIndex(shape: readonly number[], visit: (index: readonly number[]) => void): void {
  const index = new Array<number>(shape.length).fill(0);
  for (let left = sizeOf(shape); left > 0; left--) {
    visit(index);
    for (let axis = shape.length - 1; axis >= 0 && ++index[axis] === shape[axis]; axis--) index[axis] = 0;
  }
}

interface Mapped {
  readonly kernel: Kernel;
  /** Of an element, in multiplications. */
  readonly cost: number;
}
const kernels = new Map<string, Mapped>();
/** One kernel for each function and way in which its operands lie. */
function kernelOf(fn: ScalarFn, operands: readonly Operand[], inputs: number): Mapped {
  let key = fn.key;
  for (const { storage, step } of operands) key += ` ${storage}${step}`;
  let mapped = kernels.get(key);
  if (!mapped) {
    const kernel = mapKernel(fn, operands.slice(0, inputs), operands.slice(inputs));
    kernels.set(key, (mapped = { kernel, cost: costOf(fn) }));
  }
  return mapped;
}

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
