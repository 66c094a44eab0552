import { collapse, rowMajor, sizeOf, type View } from '@bax/core';
import type { Gpu } from '../gpu.ts';
import type { GpuTensorBuffer } from '../memory.ts';
import { reduce as kernel } from '../wgsl.generated.ts';
import { copyInto, copyOf, fill, freshView } from './map.ts';
import { along, halves, longestAxis } from './parts.ts';

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
    const moved = copyOf(gpu, {
      ...x,
      shape: lengths([...kept, ...summed]),
      strides: of(x, [...kept, ...summed]),
    });
    const flat: View = {
      ...moved,
      shape: [...lengths(kept), terms],
      strides: rowMajor([...lengths(kept), terms]),
    };
    const sums = freshView(gpu, [...lengths(kept), 1], out.buffer.type);
    reduce(gpu, op, flat, sums);
    copyInto(gpu, { ...sums, shape: out.shape, strides: rowMajor(out.shape) }, out);
    for (const v of [moved, sums]) gpu.memory.free(v.buffer as GpuTensorBuffer);
    return;
  }
  const T = x.buffer.type as 'f32' | 'i32';
  const variant = { constants: { MAX: op === 'max' ? 1 : 0, SIZE }, T };
  const reversed = (list: readonly number[], fill: number): number[] => [...list].reverse().concat([fill, fill, fill, fill]).slice(0, 4); // prettier-ignore
  const [inner, outer = 1] = [...summedAxes.shape].reverse();
  const [innerX, outerX = 0] = [...summedAxes.strides[0]].reverse();
  const [from, to] = [gpu.bind(x), gpu.bind(out)];
  const chunks = count >= FEW ? 1 : Math.min(Math.ceil(terms / CHUNK), Math.ceil((2 * FEW) / count));
  const chunk = Math.ceil(terms / chunks);
  const params = {
    kept: reversed(keptAxes.shape, 1),
    keptX: reversed(keptAxes.strides[0], 0),
    keptOut: reversed(keptAxes.strides[1], 0),
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
  const parts = freshView(gpu, [params.chunks, count], T);
  const dense = rowMajor([...keptAxes.shape]);
  gpu.run(kernel, variant, [from, gpu.bind(parts)], { ...params, out: 0, keptOut: reversed(dense, 0) }, Math.ceil((count * params.chunks) / SIZE)); // prettier-ignore
  const second = {
    ...params,
    keptX: reversed(dense, 0),
    x: 0,
    outer: 1,
    inner: params.chunks,
    outerX: 0,
    innerX: count,
    chunks: 1,
    chunk: params.chunks,
  };
  gpu.run(kernel, variant, [gpu.bind(parts), to], second, Math.ceil(count / SIZE));
  gpu.memory.free(parts.buffer as GpuTensorBuffer);
}

/** Tensors that are larger than a binding may be: some results at a time, or some terms, whose sums are summed. */
function inParts(gpu: Gpu, op: 'sum' | 'max', x: View, out: View): void {
  const axis = longestAxis(gpu.fits(x) ? out : x);
  if (out.shape[axis] === x.shape[axis]) {
    for (const [start, length] of halves(out.shape[axis]))
      reduce(gpu, op, along(x, axis, start, length), along(out, axis, start, length));
    return;
  }
  const parts = freshView(gpu, [2, ...out.shape], out.buffer.type);
  halves(x.shape[axis]).forEach(([start, length], i) => {
    const { shape, strides, offset } = along(parts, 0, i, 1);
    const half = { ...parts, shape: shape.slice(1), strides: strides.slice(1), offset };
    reduce(gpu, op, along(x, axis, start, length), half);
  });
  reduce(gpu, op, parts, { ...out, shape: [1, ...out.shape], strides: [0, ...out.strides] });
  gpu.memory.free(parts.buffer as GpuTensorBuffer);
}
