import { collapse, rowMajor, sizeOf, type View } from '@bax/core';
import type { Gpu } from '../gpu.ts';
import { reduce as kernel } from '../wgsl.generated.ts';
import { borrow } from './borrow.ts';
import { copyInto, copyOf, fill } from './map.ts';
import { along, halves, innermostFirst, longestAxis } from './views.ts';

/** Threads of a workgroup. */
const SIZE = 64;
/** With fewer results than that a long sum is cut into chunks, so that more threads work. */
const FEW = 2048;
/** Terms below which a sum is not cut. */
const CHUNK = 256;

/** out = Σ x or max x over the axes along which out has length 1. */
export function reduce(gpu: Gpu, op: 'sum' | 'max', x: View, out: View): void {
  const count = sizeOf(out.shape);
  if (count === 0) return;
  const terms = sizeOf(x.shape) / count;
  if (terms === 0) return fill(gpu, out, 0);
  if (terms === 1) return copyInto(gpu, x, out);
  if (!gpu.fits(x) || !gpu.fits(out)) return inParts(gpu, op, x, out);
  const axes = [...x.shape.keys()];
  const [kept, summed] = [
    axes.filter((a) => out.shape[a] === x.shape[a]),
    axes.filter((a) => out.shape[a] !== x.shape[a]),
  ];
  const of = (v: View, list: readonly number[]): number[] => list.map((a) => v.strides[a]);
  const lengths = (list: readonly number[]): number[] => list.map((a) => x.shape[a]);
  const keptAxes = collapse(lengths(kept), [of(x, kept), of(out, kept)]);
  const summedAxes = collapse(lengths(summed), [of(x, summed)]);
  if (keptAxes.shape.length > 4 || summedAxes.shape.length > 2) {
    // The summed axes last, in one piece.
    const order = [...kept, ...summed];
    const [rows, results] = [[...lengths(kept), terms], [...lengths(kept), 1]]; // prettier-ignore
    return borrow(gpu, (fresh) => {
      const moved = copyOf(gpu, fresh, { ...x, shape: lengths(order), strides: of(x, order) });
      const sums = fresh(results, out.buffer.type);
      reduce(gpu, op, { ...moved, shape: rows, strides: rowMajor(rows) }, sums);
      copyInto(gpu, { ...sums, shape: out.shape, strides: rowMajor(out.shape) }, out);
    });
  }
  const T = x.buffer.type as 'f32' | 'i32';
  const variant = { constants: { MAX: op === 'max' ? 1 : 0, SIZE }, T };
  const [inner, outer = 1] = [...summedAxes.shape].reverse();
  const [innerX, outerX = 0] = [...summedAxes.strides[0]].reverse();
  const [from, to] = [gpu.bind(x), gpu.bind(out)];
  const chunks = count >= FEW ? 1 : Math.min(Math.ceil(terms / CHUNK), Math.ceil((2 * FEW) / count));
  const chunk = Math.ceil(terms / chunks);
  const params = {
    kept: innermostFirst(keptAxes.shape, 1),
    keptX: innermostFirst(keptAxes.strides[0], 0),
    keptOut: innermostFirst(keptAxes.strides[1], 0),
    x: from.base,
    out: to.base,
    outer,
    inner,
    outerX,
    innerX,
    count,
    chunks: Math.ceil(terms / chunk),
    chunk,
  };
  gpu.about(x, out);
  if (params.chunks === 1) {
    gpu.run(kernel, variant, [from, to], params, Math.ceil(count / SIZE));
    return;
  }
  const dense = innermostFirst(rowMajor(keptAxes.shape), 0);
  const second = {
    ...params,
    keptX: dense,
    x: 0,
    outer: 1,
    inner: params.chunks,
    outerX: 0,
    innerX: count,
    chunks: 1,
    chunk: params.chunks,
  };
  borrow(gpu, (fresh) => {
    const parts = gpu.bind(fresh([params.chunks, count], T));
    const threads = Math.ceil((count * params.chunks) / SIZE);
    gpu.run(kernel, variant, [from, parts], { ...params, out: 0, keptOut: dense }, threads);
    gpu.run(kernel, variant, [parts, to], second, Math.ceil(count / SIZE));
  });
}

/** Tensors that are larger than a binding may be: some results at a time, or some terms, whose sums are summed. */
function inParts(gpu: Gpu, op: 'sum' | 'max', x: View, out: View): void {
  const axis = longestAxis(gpu.fits(x) ? out : x);
  if (out.shape[axis] === x.shape[axis]) {
    for (const [start, length] of halves(out.shape[axis]))
      reduce(gpu, op, along(x, axis, start, length), along(out, axis, start, length));
    return;
  }
  borrow(gpu, (fresh) => {
    const parts = fresh([2, ...out.shape], out.buffer.type);
    halves(x.shape[axis]).forEach(([start, length], i) => {
      const { shape, strides, offset } = along(parts, 0, i, 1);
      const half = { ...parts, shape: shape.slice(1), strides: strides.slice(1), offset };
      reduce(gpu, op, along(x, axis, start, length), half);
    });
    reduce(gpu, op, parts, { ...out, shape: [1, ...out.shape], strides: [0, ...out.strides] });
  });
}
