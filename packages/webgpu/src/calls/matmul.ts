/** Chooses how a product is computed, by its shape, its strides and the adapter alone. */
import { collapse, type MatmulOptions, sizeOf, type View } from '@bax/core';
import type { Gpu } from '../gpu.ts';
import { ladderMatmulNaive as naive } from '../wgsl.generated.ts';
import { apart, fill } from './map.ts';
import { along, halves } from './parts.ts';

const SIZE = 64;
const STORED = { f32: 0, i32: 0, f64: 0, f16: 1, bf16: 2, u8: 3, u32: 4 } as const;
/** Axes of the batch that a kernel walks. */
const AXES = 4;

export interface Product {
  readonly a: View;
  readonly b: View;
  readonly out: View;
  readonly m: number;
  readonly n: number;
  readonly k: number;
  readonly scale: number;
  readonly accumulate: boolean;
}

/** out = scale · a b (+ out). */
export function matmul(gpu: Gpu, a: View, b: View, out: View, options: MatmulOptions = {}): void {
  const { scale = 1, accumulate = false } = options;
  const [m, n] = out.shape.slice(-2);
  const k = a.shape.at(-1)!;
  if (sizeOf(out.shape) === 0) return;
  if (k === 0) return accumulate ? undefined : fill(gpu, out, 0);
  const [left, right] = apart(gpu, [a, b], [out]);
  choose(gpu, { a: left.view, b: right.view, out, m, n, k, scale, accumulate });
  left.free();
  right.free();
}

const innermostFirst = (list: readonly number[], rest: number): number[] =>
  [...list].reverse().concat([rest, rest, rest, rest]).slice(0, AXES);

function choose(gpu: Gpu, product: Product): void {
  const { a, b, out } = product;
  if (![a, b, out].every((v) => gpu.fits(v))) return inParts(gpu, product);
  const batch = collapse(out.shape.slice(0, -2), [a, b, out].map((v) => v.strides.slice(0, -2))); // prettier-ignore
  if (batch.shape.length > AXES) {
    const axis = out.shape.findIndex((length) => length > 1);
    for (let i = 0; i < out.shape[axis]; i++) {
      const at = (v: View): View => along(v, axis, i, 1);
      choose(gpu, { ...product, a: at(a), b: at(b), out: at(out) });
    }
    return;
  }
  plainly(gpu, product, batch);
}

/** Halves of a product whose matrices are larger than a binding may be. */
function inParts(gpu: Gpu, product: Product): void {
  const { a, b, out, m, n, k } = product;
  const axis = out.shape.slice(0, -2).findIndex((length) => length > 1);
  if (axis >= 0) {
    for (const [start, length] of halves(out.shape[axis]))
      choose(gpu, { ...product, a: along(a, axis, start, length), b: along(b, axis, start, length), out: along(out, axis, start, length) }); // prettier-ignore
  } else if (!gpu.fits(a) && m > 1) {
    for (const [start, length] of halves(m))
      choose(gpu, {
        ...product,
        a: along(a, -2, start, length),
        out: along(out, -2, start, length),
        m: length,
      });
  } else if (!gpu.fits(b) && n > 1) {
    for (const [start, length] of halves(n))
      choose(gpu, {
        ...product,
        b: along(b, -1, start, length),
        out: along(out, -1, start, length),
        n: length,
      });
  } else if (!gpu.fits(out) && m * n > 1) {
    const rows = m > 1;
    for (const [start, length] of halves(rows ? m : n))
      choose(gpu, rows
        ? { ...product, a: along(a, -2, start, length), out: along(out, -2, start, length), m: length }
        : { ...product, b: along(b, -1, start, length), out: along(out, -1, start, length), n: length }); // prettier-ignore
  } else if (k > 1) {
    halves(k).forEach(
      ([start, length], i) =>
      choose(gpu, { ...product, a: along(a, -1, start, length), b: along(b, -2, start, length), k: length, accumulate: product.accumulate || i > 0 }), // prettier-ignore
    );
  } else for (const v of [a, b, out]) gpu.bind(v); // its error
}

type Batch = ReturnType<typeof collapse>;

function plainly(gpu: Gpu, product: Product, batch: Batch): void {
  const { m, n, k, scale, accumulate } = product;
  const [a, b, out] = [product.a, product.b, product.out].map((v) => gpu.bind(v));
  const T = product.out.buffer.type as 'f32' | 'i32';
  const stored = (v: View): number => (v.buffer.type === T ? 0 : STORED[v.buffer.type]);
  const [aRow, aColumn] = product.a.strides.slice(-2);
  const [bRow, bColumn] = product.b.strides.slice(-2);
  const [outRow, outColumn] = product.out.strides.slice(-2);
  const count = sizeOf(product.out.shape);
  gpu.about(product.a, product.b, product.out);
  gpu.run(
    naive,
    { constants: { A_STORAGE: stored(product.a), B_STORAGE: stored(product.b), SIZE }, T },
    [a, b, out],
    {
      batch: innermostFirst(batch.shape, 1),
      aBatch: innermostFirst(batch.strides[0], 0),
      bBatch: innermostFirst(batch.strides[1], 0),
      outBatch: innermostFirst(batch.strides[2], 0),
      a: a.base,
      b: b.base,
      out: out.base,
      m,
      n,
      k,
      aRow,
      aColumn,
      bRow,
      bColumn,
      outRow,
      outColumn,
      count,
      accumulate: accumulate ? 1 : 0,
      scale,
    },
    Math.ceil(count / SIZE),
  );
}
