/** The same values, held in memory in another way: what an op may not notice. */
import {
  type CreateOptions,
  type DType,
  expand,
  permute,
  type Shape,
  slice,
  type Tensor,
  tensor,
} from '@bax/core';
import type { Draw } from '@bax/core';

/** A view on a larger, permuted block; see `drawLayout`. */
export interface Layout {
  /** The axes from the outermost in memory to the innermost. */
  readonly order: readonly number[];
  /** Elements that lie unused before and after, along each axis. */
  readonly before: readonly number[];
  readonly after: readonly number[];
  /** The axes along which all values are equal and held once (stride 0). */
  readonly repeat: readonly boolean[];
}

export const plainLayout = (shape: Shape): Layout => ({
  order: shape.map((_, i) => i),
  before: shape.map(() => 0),
  after: shape.map(() => 0),
  repeat: shape.map(() => false),
});

/** Permuted, sliced out of something larger, or expanded; often several of these. */
export function drawLayout(draw: Draw, shape: Shape, mayRepeat: boolean): Layout {
  const order = shape.map((_, i) => i);
  for (let i = order.length - 1; i > 0; i--) {
    const j = i - draw.integer(0, i); // i itself for 0, to which it shrinks
    [order[i], order[j]] = [order[j]!, order[i]!];
  }
  const margin = (): number => Math.max(0, draw.integer(-2, 2));
  const repeat = shape.map(() => mayRepeat && draw.integer(0, 3) === 3);
  return { order, before: shape.map(margin), after: shape.map(margin), repeat };
}

/** The shape without what is repeated: as many values as there are different ones. */
export const distinctShape = (shape: Shape, { repeat }: Layout): number[] =>
  shape.map((n, i) => (repeat[i] ? 1 : n));

/** The block in memory: its shape, and row-major values with `gap` wherever the view does not look. */
function block(values: readonly number[], shape: Shape, layout: Layout, gap: number): [number[], number[]] {
  const { order, before, after } = layout;
  const distinct = distinctShape(shape, layout);
  const outer = order.map((axis) => before[axis]! + distinct[axis]! + after[axis]!);
  const data = new Array<number>(outer.reduce((n, length) => n * length, 1)).fill(gap);
  values.forEach((value, i) => {
    const index = new Array<number>(distinct.length);
    for (let axis = distinct.length - 1, rest = i; axis >= 0; axis--) {
      index[axis] = rest % distinct[axis]!;
      rest = Math.floor(rest / distinct[axis]!);
    }
    data[order.reduce((at, axis, k) => at * outer[k]! + before[axis]! + index[axis]!, 0)] = value;
  });
  return [outer, data];
}

/** The block as a tensor. `values` are those of `distinctShape`. */
export function blockTensor(
  values: readonly number[],
  shape: Shape,
  layout: Layout,
  gap: number,
  options: CreateOptions & { readonly dtype: DType },
): Tensor {
  const [outer, data] = block(values, shape, layout, gap);
  return tensor(data, { ...options, shape: outer });
}

/** The view on a block that shows `shape`; made of ops, so that gradients flow through it. */
export function openLayout(block: Tensor, shape: Shape, { order, before, repeat }: Layout): Tensor {
  let x = block;
  order.forEach((axis, k) => {
    x = slice(x, k, before[axis]!, before[axis]! + (repeat[axis] ? 1 : shape[axis]!));
  });
  x = permute(x, shape.map((_, axis) => order.indexOf(axis))); // prettier-ignore
  return expand(x, shape);
}
