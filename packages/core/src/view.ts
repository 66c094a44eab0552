/** Transpose, slice, broadcast and reshape are arithmetic on strides; nothing here touches memory. */
import type { View } from './backend.ts';
import { rowMajor, sameShape, sizeOf, type Shape } from './shape.ts';

export function isContiguous({ shape, strides }: View): boolean {
  let stride = 1;
  for (let i = shape.length - 1; i >= 0; i--) {
    if (shape[i] !== 1 && strides[i] !== stride) return false;
    stride *= shape[i]!;
  }
  return true;
}

/** Axis i of the result is axis `axes[i]` of the view. */
export const permuteView = (v: View, axes: readonly number[]): View => ({
  ...v,
  shape: axes.map((a) => v.shape[a]!),
  strides: axes.map((a) => v.strides[a]!),
});

/** Repeats axes of length 1 and prepends axes, by strides of 0. The caller has checked that `shape` fits. */
export function expandView(v: View, shape: Shape): View {
  if (sameShape(v.shape, shape)) return v;
  const lead = shape.length - v.shape.length;
  const strides = shape.map((length, i) =>
    i < lead || (v.shape[i - lead] === 1 && length !== 1) ? 0 : v.strides[i - lead]!,
  );
  return { ...v, shape, strides };
}

/** Elements start, start + step, … (`length` of them) along `axis`. */
export const sliceView = (v: View, axis: number, start: number, length: number, step = 1): View => ({
  ...v,
  shape: v.shape.with(axis, length),
  strides: v.strides.with(axis, v.strides[axis]! * step),
  offset: v.offset + (length > 0 ? start * v.strides[axis]! : 0),
});

/** The same elements in row-major order under another shape, or undefined where that would need a copy. */
export function reshapeView(v: View, shape: Shape): View | undefined {
  if (isContiguous(v)) return { ...v, shape, strides: rowMajor(shape) };
  if (sizeOf(shape) === 0) return { ...v, shape, strides: rowMajor(shape) };
  const from = v.shape.map((length, i) => ({ length, stride: v.strides[i]! })).filter((a) => a.length !== 1);
  const strides = rowMajor(shape);
  // Walk both shapes from the right, in the smallest groups of axes that hold equally many elements.
  let [o, n] = [from.length - 1, shape.length - 1];
  while (o >= 0 && n >= 0) {
    if (shape[n] === 1) {
      n--;
      continue;
    }
    let [held, wanted] = [from[o]!.length, shape[n]!];
    const first = from[o]!;
    let [oTop, nTop] = [o, n];
    while (held !== wanted) {
      if (held < wanted) held *= from[--oTop]!.length;
      else wanted *= shape[--nTop]!;
    }
    for (let i = o; i > oTop; i--)
      if (from[i - 1]!.stride !== from[i]!.stride * from[i]!.length) return undefined;
    let stride = first.stride;
    for (let i = n; i >= nTop; i--) {
      strides[i] = stride;
      stride *= shape[i]!;
    }
    [o, n] = [oTop - 1, nTop - 1];
  }
  return { ...v, shape, strides };
}

/** Axes of one shape and, for each of several views, its strides along them. */
export interface Axes {
  readonly shape: number[];
  readonly strides: number[][];
}

/** The same elements in the same order with as few axes as possible: neighbours that all views step through as one are merged. */
export function collapse(shape: Shape, strides: readonly (readonly number[])[]): Axes {
  const out: Axes = { shape: [], strides: strides.map(() => []) };
  for (let axis = 0; axis < shape.length; axis++) {
    const length = shape[axis]!;
    if (length === 1) continue;
    const last = out.shape.length - 1;
    if (last >= 0 && strides.every((s, v) => out.strides[v]![last] === s[axis]! * length)) {
      out.shape[last]! *= length;
      strides.forEach((s, v) => (out.strides[v]![last] = s[axis]!));
    } else {
      out.shape.push(length);
      strides.forEach((s, v) => out.strides[v]!.push(s[axis]!));
    }
  }
  return out;
}

/** Where each element of a view lies in its buffer, in row-major order. */
export function offsetsOf(shape: Shape, strides: readonly number[], offset: number): Int32Array {
  const out = new Int32Array(sizeOf(shape));
  if (out.length === 0) return out;
  out[0] = offset;
  // Axis by axis from the last: the offsets known so far are repeated, each time one stride further.
  let known = 1;
  for (let axis = shape.length - 1; axis >= 0; axis--) {
    const block = known;
    for (let i = 1; i < shape[axis]!; i++) {
      const shift = i * strides[axis]!;
      for (let j = 0; j < block; j++) out[known + j] = out[j]! + shift;
      known += block;
    }
  }
  return out;
}
