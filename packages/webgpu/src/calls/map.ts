import {
  collapse,
  type DType,
  dtypeOf,
  expr as e,
  type ScalarFn,
  sizeOf,
  type Storage,
  type View,
} from '@bax/core';
import type { Bound, Gpu } from '../gpu.ts';
import type { Access, Kernel } from '../kernel.ts';
import {
  extraScalars,
  MAP_AXES,
  mapKernel,
  type MapParams,
  type MapShape,
  type Step,
  WORKGROUP,
} from '../map-kernel.ts';
import { borrow, type Fresh } from './borrow.ts';
import { along, halves, longestAxis } from './views.ts';

const wide = new Set<Storage>(['f32', 'i32', 'u32']);

/** outputs[i] = fn.outputs[i](inputs, scalars), elementwise. */
export function map(
  gpu: Gpu,
  fn: ScalarFn,
  inputs: readonly View[],
  outputs: readonly View[],
  scalars: ArrayLike<number>,
): void {
  if (sizeOf(outputs[0].shape) === 0) return;
  const views = [...inputs, ...outputs];
  if (!views.every((v) => gpu.fits(v))) return inParts(gpu, fn, inputs, outputs, scalars);
  const { shape, strides } = collapse(outputs[0].shape, views.map((v) => v.strides)); // prettier-ignore
  if (shape.length > MAP_AXES) return overAxis(gpu, fn, inputs, outputs, scalars);
  // Innermost first.
  const axes = shape.length === 0 ? [1] : shape.reverse();
  for (const s of strides) if (s.length === 0) s.push(1); else s.reverse(); // prettier-ignore

  const slots: Bound[] = [];
  const access: Access[] = [];
  const bounds = views.map((v) => gpu.bind(v));
  const slotOf = (bound: Bound, write: boolean): number => {
    let slot = slots.findIndex(
      (s) => s.block === bound.block && s.offset === bound.offset && s.size === bound.size,
    );
    if (slot < 0) {
      slot = slots.push(bound) - 1;
      access.push('read');
    }
    if (write) access[slot] = 'read_write';
    return slot;
  };
  if (bounds.some((b) => b.size !== undefined) && overlapping(bounds, inputs.length))
    return throughCopies(gpu, fn, inputs, outputs, scalars);
  const operands = views.map((v, i) => ({
    slot: slotOf(bounds[i], i >= inputs.length),
    storage: v.buffer.type,
    step: stepOf(strides[i][0], i >= inputs.length),
  }));
  const rank = axes.length;
  const four =
    views.every(
      (v, i) =>
        wide.has(v.buffer.type) &&
        (operands[i].step === 'zero' ||
          (operands[i].step === 'unit' &&
            bounds[i].base % 4 === 0 &&
            (rank === 1 || strides[i].slice(1).every((s) => s % 4 === 0)))),
    ) && (rank === 1 ? axes[0] >= 4 : axes[0] % 4 === 0);
  const kernel = kernelOf(fn, { operands, inputs: inputs.length, access, rank, four });

  const width = four ? 4 : 1;
  const threads = rank === 1 ? Math.ceil(axes[0] / width) : sizeOf(axes) / width;
  const params: Record<string, number | readonly number[]> = { count: threads, length: axes[0] };
  if (rank > 1) params.shape = axes;
  for (let i = 0; i < views.length; i++) {
    if (rank > 1) params[`strides${i}`] = strides[i];
    params[`offset${i}`] = bounds[i].base;
    if (operands[i].step === 'any') params[`step${i}`] = strides[i][0];
  }
  const live = gpu.queue.recording !== undefined && ArrayBuffer.isView(scalars);
  for (let i = 0; i < fn.scalars; i++)
    if (live) Object.defineProperty(params, `s${i}`, { get: () => scalars[i] });
    else params[`s${i}`] = scalars[i];
  extraScalars(fn).forEach((value, i) => (params[`s${fn.scalars + i}`] = value));
  gpu.about(...views);
  gpu.run(kernel, {}, slots, params, Math.ceil(threads / WORKGROUP), live);
}

const stepOf = (stride: number, output: boolean): Step =>
  stride === 1 ? 'unit' : stride === 0 && !output ? 'zero' : 'any';

/** Whether two windows of one buffer overlap without being one: WebGPU refuses to bind both if one is written. */
const overlapping = (bounds: readonly Bound[], inputs: number): boolean =>
  bounds.some((a, i) =>
    bounds.some(
      (b, j) => j >= inputs && i !== j && a.block === b.block && (a.offset !== b.offset || a.size !== b.size),
    ),
  );

const kernels = new Map<string, Kernel<MapParams>>();
function kernelOf(fn: ScalarFn, shape: MapShape): Kernel<MapParams> {
  let key = `${fn.key} ${shape.rank}${shape.four ? 'x4' : ''}`;
  for (const { slot, storage, step } of shape.operands) key += ` ${slot}${storage}${step}`;
  for (const a of shape.access) key += a === 'read' ? 'r' : 'w';
  let kernel = kernels.get(key);
  if (!kernel) kernels.set(key, (kernel = mapKernel(fn, shape)));
  return kernel;
}

/** What `map` is called with. */
type MapCall = readonly [
  fn: ScalarFn,
  inputs: readonly View[],
  outputs: readonly View[],
  scalars: ArrayLike<number>,
];
/** The call on `length` indices of one axis. */
const callAlong = (
  [fn, inputs, outputs, scalars]: MapCall,
  axis: number,
  start: number,
  length: number,
): MapCall => {
  const part = (v: View): View => along(v, axis, start, length);
  return [fn, inputs.map(part), outputs.map(part), scalars];
};

/** Tensors that are larger than a binding may be, by halves of the longest axis. */
function inParts(gpu: Gpu, ...call: MapCall): void {
  const [, inputs, outputs] = call;
  const large = [...inputs, ...outputs].find((v) => !gpu.fits(v))!;
  const axis = longestAxis(large);
  if (large.shape[axis] === 1) gpu.bind(large); // its error
  for (const half of halves(large.shape[axis])) map(gpu, ...callAlong(call, axis, ...half));
}

/** More axes than a kernel walks: one call for each index of the first. */
function overAxis(gpu: Gpu, ...call: MapCall): void {
  const [{ shape }] = call[2];
  const axis = shape.findIndex((length) => length > 1);
  for (let i = 0; i < shape[axis]; i++) map(gpu, ...callAlong(call, axis, i, 1));
}

/** Windows of one buffer that overlap without being one cannot be bound together: they go through copies. */
function throughCopies(gpu: Gpu, ...[fn, inputs, outputs, scalars]: MapCall): void {
  borrow(gpu, (fresh) => {
    const results = outputs.map((o, i) => {
      const alone = !outputs.some((other, j) => j !== i && other.buffer === o.buffer);
      return alone ? o : fresh(o.shape, o.buffer.type);
    });
    map(gpu, fn, apart(gpu, fresh, inputs, outputs), results, scalars);
    results.forEach((r, i) => r !== outputs[i] && copyInto(gpu, r, outputs[i]));
  });
}

/** The elements of a view in row-major memory; narrow floats become f32, u8 and u32 i32. */
export function copyOf(gpu: Gpu, fresh: Fresh, view: View, type: DType = dtypeOf(view.buffer.type)): View {
  const copy = fresh(view.shape, type);
  copyInto(gpu, view, copy);
  return copy;
}

const copies: Readonly<Record<'f32' | 'i32', ScalarFn>> = {
  f32: e.scalarFn('f32', 1, 0, [e.input(0)]),
  i32: e.scalarFn('i32', 1, 0, [e.input(0)]),
};
export function copyInto(gpu: Gpu, from: View, to: View): void {
  map(gpu, copies[to.buffer.type as 'f32' | 'i32'], [from], [to], []);
}

const filled: Readonly<Record<'f32' | 'i32', ScalarFn>> = {
  f32: e.scalarFn('f32', 0, 1, [e.scalar(0)]),
  i32: e.scalarFn('i32', 0, 1, [e.scalar(0)]),
};
export function fill(gpu: Gpu, out: View, value: number): void {
  map(gpu, filled[out.buffer.type as 'f32' | 'i32'], [], [out], [value]);
}

/**
 * Inputs that share a buffer with an output, as copies, since WebGPU refuses to read and write a buffer in one dispatch;
 * the others as they are.
 */
export const apart = (gpu: Gpu, fresh: Fresh, inputs: readonly View[], outputs: readonly View[]): View[] =>
  inputs.map((view) => (outputs.some((out) => out.buffer === view.buffer) ? copyOf(gpu, fresh, view) : view));
