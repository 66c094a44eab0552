/** Ops that move no numbers: reshape, permute, expand, slice; and those that lay tensors side by side. */
import { checkShape } from '../create.ts';
import { apply, defineOp, type Op } from '../op.ts';
import { composite } from '../scope.ts';
import { broadcastShapes, sameShape, showShape, sizeOf, type Shape } from '../shape.ts';
import type { Tensor } from '../tensor.ts';
import { expandView, isContiguous, permuteView, reshapeView, sliceView } from '../view.ts';
import * as e from '../expr.ts';
import { axisOf, fail, like, wantSameDtype } from './check.ts';
import { copy } from './elementwise.ts';

const IDENTITY = [e.input(0)];

export const reshapeOp: Op<{ shape: Shape }> = defineOp({
  name: 'reshape',
  domain: (draw) => {
    const shape = draw.shape();
    return {
      inputs: [{ shape }],
      attrs: { shape: draw.pick([[sizeOf(shape)], [...shape].reverse(), [1, ...shape]]) },
    };
  },
  out: ([x], { shape }) => like(x!, shape),
  view: (x, { shape }) => reshapeView(x, shape)!,
  vjp: ({ g, x }) => reshape(g, x[0]!.shape),
});

/**
 * The same elements in row-major order under another shape; one length may be −1 and is inferred. A view where strides
 * allow it, else of a copy.
 */
export function reshape(x: Tensor, shape: Shape): Tensor {
  const known = shape.reduce((n, length) => (length === -1 ? n : n * length), 1);
  const full = shape.map((length) => (length === -1 ? x.size / known : length));
  if (
    shape.filter((n) => n === -1).length > 1 ||
    full.some((n) => !Number.isInteger(n) || n < 0) ||
    sizeOf(full) !== x.size
  )
    fail('reshape', `${showShape(x.shape)} has ${x.size} elements and cannot become ${showShape(shape)}`);
  if (sameShape(x.shape, full)) return x;
  return composite(() => apply(reshapeOp, [reshapeView(x.view, full) ? x : copy(x)], { shape: full }));
}

/** x itself if its elements lie in row-major order without gaps, else a copy. */
export const contiguous = (x: Tensor): Tensor => (isContiguous(x.view) ? x : copy(x));

export const permuteOp: Op<{ axes: readonly number[] }> = defineOp({
  name: 'permute',
  domain: (draw) => {
    const shape = draw.shape([1, 4]);
    const axes = shape.map((_, i) => i);
    const by = draw.integer(0, 3);
    return {
      inputs: [{ shape }],
      attrs: { axes: draw.pick([axes.toReversed(), [...axes.slice(by), ...axes.slice(0, by)]]) },
    };
  },
  out: ([x], { axes }) => like(x!, axes.map((a) => x!.shape[a]!)), // prettier-ignore
  view: (x, { axes }) => permuteView(x, axes),
  vjp: ({ g, attrs }) => permute(g, attrs.axes.map((_, i) => attrs.axes.indexOf(i))), // prettier-ignore
});

/** Axis i of the result is axis `axes[i]` of x. A view. */
export function permute(x: Tensor, axes: readonly number[]): Tensor {
  const list = axes.map((a) => axisOf('permute', a, x.rank));
  if (list.length !== x.rank || new Set(list).size !== x.rank)
    fail('permute', `[${axes.join(', ')}] does not name each axis of ${showShape(x.shape)} once`);
  return apply(permuteOp, [x], { axes: list });
}

/** Two axes exchanged; by default the last two. A view. */
export function transpose(x: Tensor, a = -2, b = -1): Tensor {
  const [i, j] = [axisOf('transpose', a, x.rank), axisOf('transpose', b, x.rank)];
  return permute(x, x.shape.map((_, k) => (k === i ? j : k === j ? i : k))); // prettier-ignore
}

export const expandOp: Op<{ shape: Shape }> = defineOp({
  name: 'expand',
  domain: (draw) => {
    const shape = draw.shape();
    return {
      inputs: [
        { shape: shape.map((n) => (draw.integer(0, 1) ? 1 : n)).slice(draw.integer(0, shape.length)) },
      ],
      attrs: { shape },
    };
  },
  out: ([x], { shape }) => like(x!, shape),
  view: (x, { shape }) => expandView(x, shape),
  vjp: ({ g }) => g, // summed back in grad.ts
});

/** Repeats axes of length 1, and prepends axes, until the shape is `shape`. A view. */
export function expand(x: Tensor, shape: Shape): Tensor {
  checkShape('expand', shape);
  const both = broadcastShapes(x.shape, shape);
  if (!both || !sameShape(both, shape))
    fail('expand', `${showShape(x.shape)} cannot be repeated to ${showShape(shape)}`);
  return sameShape(x.shape, shape) ? x : apply(expandOp, [x], { shape: [...shape] });
}

interface SliceAttrs {
  readonly axis: number;
  readonly start: number;
  readonly length: number;
}
export const sliceOp: Op<SliceAttrs> = defineOp({
  name: 'slice',
  domain: (draw) => {
    const shape = draw.shape([1, 4]);
    const axis = draw.integer(0, shape.length - 1);
    const start = draw.integer(0, shape[axis]! - 1);
    return { inputs: [{ shape }], attrs: { axis, start, length: draw.integer(1, shape[axis]! - start) } };
  },
  out: ([x], { axis, length }) => like(x!, x!.shape.with(axis, length)),
  view: (x, { axis, start, length }) => sliceView(x, axis, start, length),
  window: true,
  vjp: ({ g, x, attrs: { axis, start, length } }) => pad(g, axis, start, x[0]!.shape[axis]! - start - length),
});

/** Elements `start` to `end` (exclusive; both count from the end if negative) along `axis`. A view. */
export function slice(
  x: Tensor,
  axis: number,
  start: number,
  end: number = x.shape[axisOf('slice', axis, x.rank)]!,
): Tensor {
  const at = axisOf('slice', axis, x.rank);
  const n = x.shape[at]!;
  const [from, to] = [start < 0 ? start + n : start, end < 0 ? end + n : end];
  if (!(Number.isInteger(from) && Number.isInteger(to) && 0 <= from && from <= to && to <= n))
    fail('slice', `${start} to ${end} is not a range within axis ${axis} of ${showShape(x.shape)}`);
  return from === 0 && to === n ? x : apply(sliceOp, [x], { axis: at, start: from, length: to - from });
}

export const concatOp: Op<{ axis: number }> = defineOp({
  name: 'concat',
  widens: 'all',
  domain: (draw) => {
    const shape = draw.shape([1, 4]);
    const axis = draw.integer(0, shape.length - 1);
    return { inputs: [{ shape }, { shape: shape.with(axis, draw.integer(1, 4)) }], attrs: { axis } };
  },
  out(xs, { axis }) {
    const [first] = xs;
    for (const x of xs) {
      wantSameDtype('concat', first!, x);
      if (!sameShape(first!.shape.with(axis, 0), x.shape.toSpliced(axis, 1, 0)))
        fail(
          'concat',
          `shapes differ beside axis ${axis}: ${showShape(first!.shape)} and ${showShape(x.shape)}`,
        );
    }
    return like(first!, first!.shape.with(axis, xs.reduce((n, x) => n + x.shape[axis]!, 0))); // prettier-ignore
  },
  run(backend, xs, [out], { axis }) {
    let at = 0;
    for (const x of xs) {
      const length = x.shape[axis]!;
      if (sizeOf(x.shape) > 0)
        backend.map(
          e.scalarFn(out!.buffer.type as 'f32', 1, 0, IDENTITY),
          [x],
          [sliceView(out!, axis, at, length)],
          [],
        );
      at += length;
    }
  },
  vjp({ g, x, attrs: { axis }, index }) {
    const start = x.slice(0, index).reduce((n, t) => n + t.shape[axis]!, 0);
    return slice(g, axis, start, start + x[index]!.shape[axis]!);
  },
  fused: 'concat',
});

/** Tensors of the same shape, but along `axis`, one after the other along it. */
export function concat(xs: readonly Tensor[], axis = 0): Tensor {
  if (xs.length === 0) fail('concat', 'needs at least one tensor');
  const at = axisOf('concat', axis, xs[0]!.rank);
  for (const x of xs)
    if (x.rank !== xs[0]!.rank)
      fail('concat', `ranks differ: ${showShape(xs[0]!.shape)} and ${showShape(x.shape)}`);
  return apply(concatOp, xs, { axis: at });
}

/** What becomes of elements `start` to `start + length` along an axis. */
export interface SliceChange {
  readonly start: number;
  readonly length: number;
  readonly change: (part: Tensor) => Tensor;
}

/** x with some slices along `axis` changed, given in their order; all else keeps its bits. */
export function replaceSlices(x: Tensor, axis: number, changes: readonly SliceChange[]): Tensor {
  const n = x.shape.at(axis)!;
  return composite(() => {
    const parts: Tensor[] = [];
    let at = 0;
    const untilStart = (start: number): void => {
      if (start > at) parts.push(slice(x, axis, at, start));
    };
    for (const { start, length, change } of changes) {
      untilStart(start);
      if (length > 0) parts.push(change(slice(x, axis, start, start + length)));
      at = start + length;
    }
    untilStart(n);
    return parts.length === 1 ? parts[0]! : concat(parts, axis);
  });
}

/** Tensors of one shape along a new axis. */
export function stack(xs: readonly Tensor[], axis = 0): Tensor {
  if (xs.length === 0) fail('stack', 'needs at least one tensor');
  const at = axisOf('stack', axis, xs[0]!.rank + 1);
  return composite(() => concat(xs.map((x) => reshape(x, x.shape.toSpliced(at, 0, 1))), at)); // prettier-ignore
}

interface PadAttrs {
  readonly axis: number;
  readonly before: number;
  readonly after: number;
  readonly value: number;
}
export const padOp: Op<PadAttrs> = defineOp({
  name: 'pad',
  widens: 'all',
  domain: (draw) => {
    const shape = draw.shape([1, 4]);
    const attrs = {
      axis: draw.integer(0, shape.length - 1),
      before: draw.integer(0, 3),
      after: draw.integer(0, 3),
      value: draw.integer(-2, 2),
    };
    return { inputs: [{ shape }], attrs };
  },
  out: ([x], { axis, before, after }) => like(x!, x!.shape.with(axis, before + x!.shape[axis]! + after)),
  run(backend, [x], [out], { axis, before, after, value }) {
    const type = out!.buffer.type as 'f32';
    const length = x!.shape[axis]!;
    for (const [at, n] of [
      [0, before],
      [before + length, after],
    ] as const)
      // prettier-ignore
      if (n > 0) backend.map(e.scalarFn(type, 0, 1, [e.scalar(0)]), [], [sliceView(out!, axis, at, n)], [value]);
    if (length > 0)
      backend.map(e.scalarFn(type, 1, 0, IDENTITY), [x!], [sliceView(out!, axis, before, length)], []);
  },
  vjp: ({ g, x, attrs: { axis, before } }) => slice(g, axis, before, before + x[0]!.shape[axis]!),
});

/** `before` and `after` elements of `value` around x along `axis`. */
export function pad(x: Tensor, axis: number, before: number, after: number, value = 0): Tensor {
  const at = axisOf('pad', axis, x.rank);
  for (const n of [before, after])
    if (!Number.isSafeInteger(n) || n < 0) fail('pad', `${n} is not a number of elements to pad with`);
  return before + after === 0 ? x : apply(padOp, [x], { axis: at, before, after, value });
}

export const viewOps: readonly Op<never>[] = [
  reshapeOp,
  permuteOp,
  expandOp,
  sliceOp,
  concatOp,
  padOp,
] as Op<never>[];
