/** Chooses how a product is computed, by its shape, its strides and the adapter alone. */
import { collapse, expandView, type MatmulOptions, sizeOf, type View } from '@bax/core';
import type { Gpu } from '../gpu.ts';
import { borrow } from './borrow.ts';
import { apart, copyInto, fill } from './map.ts';
import { plainly, tiled } from './matmul-elements.ts';
import { matmulByVectors, paddedBytes } from './matmul-vectors.ts';
import { type Batch, BATCH_AXES, canBeB, FEW_ROWS, NO_BATCH, type Product } from './product.ts';
import { along, halves, transposed } from './views.ts';

/** Multiplications below which a product is done straight from the definition. */
const SMALL = 4096;
/** Fewer columns than a subgroup has: the transposed product fills it. */
const NARROW = 32;

/** out = scale · a b (+ out). */
export function matmul(gpu: Gpu, a: View, b: View, out: View, options: MatmulOptions = {}): void {
  const { scale = 1, accumulate = false } = options;
  const [m, n] = out.shape.slice(-2);
  const k = a.shape.at(-1)!;
  if (sizeOf(out.shape) === 0) return;
  if (k === 0) return accumulate ? undefined : fill(gpu, out, 0);
  borrow(gpu, (fresh) => {
    const [left, right] = apart(gpu, fresh, [a, b], [out]);
    choose(gpu, { a: left, b: right, out, m, n, k, scale, accumulate });
  });
}

function choose(gpu: Gpu, product: Product): void {
  const { a, b, out } = product;
  if (![a, b, out].every((v) => gpu.fits(v))) return inParts(gpu, product);
  const batch = collapse(out.shape.slice(0, -2), [a, b, out].map((v) => v.strides.slice(0, -2))); // prettier-ignore
  if (batch.shape.length > BATCH_AXES) {
    const axis = out.shape.findIndex((length) => length > 1);
    for (let i = 0; i < out.shape[axis]; i++) {
      const at = (v: View): View => along(v, axis, i, 1);
      choose(gpu, { ...product, a: at(a), b: at(b), out: at(out) });
    }
    return;
  }
  run(gpu, product, batch);
}

/** Which kernel does a product: a matter of its shape, its types and the adapter, and not of what is added to it. */
function kindOf(gpu: Gpu, product: Product, count: number): 'plain' | 'tiled' | 'vectors' {
  const { a, b, out, m, n, k } = product;
  const most = gpu.device.limits.maxComputeWorkgroupsPerDimension;
  const small = m * n * k < SMALL || k < 4;
  if (out.buffer.type !== 'f32' || small || count > most || Math.max(m, n) / 4 > most) return 'plain';
  const tileable = a.buffer.type === 'f32' && canBeB(b);
  if (!gpu.tuning.software && tileable && Math.min(m, n) > FEW_ROWS) return 'tiled';
  // What goes through memory of whole vectors must fit into a binding, too.
  return paddedBytes(product, count) <= gpu.maxBinding ? 'vectors' : 'plain';
}

function run(gpu: Gpu, product: Product, batch: Batch): void {
  const { out, m, n, bias } = product;
  const kind = kindOf(gpu, product, sizeOf(batch.shape));
  if (kind === 'tiled') return tiled(gpu, product, batch);
  const narrow = kind === 'vectors' && n < NARROW && n < m;
  if (bias && (kind === 'plain' || narrow)) {
    copyInto(gpu, expandView(bias, out.shape), out);
    return run(gpu, { ...product, bias: undefined, accumulate: true }, batch);
  }
  if (kind === 'plain') plainly(gpu, product, batch);
  else matmulByVectors(gpu, narrow ? flipped(product) : product);
}

/**
 * a b + t u + bias. On GPUs in one pass over the result, where the low-rank terms reach all of it; elsewhere they are a
 * second product. The terms of a and b are summed as they are without the others. False if something is too large to bind.
 */
export function lowRankMatmul(gpu: Gpu, product: Product): boolean {
  const { a, b, out, low, bias } = product;
  const views = [a, b, out, ...(low ? [low.t, low.u] : []), ...(bias ? [bias] : [])];
  if (!views.every((v) => (v === b ? canBeB(v) : v.buffer.type === 'f32') && gpu.fits(v))) return false;
  if (!low || kindOf(gpu, product, 1) === 'tiled') run(gpu, product, NO_BATCH);
  else {
    run(gpu, { ...product, low: undefined }, NO_BATCH);
    const { t, u } = low;
    run(
      gpu,
      { ...product, a: t, b: u, k: t.shape[1], accumulate: true, low: undefined, bias: undefined },
      NO_BATCH,
    );
  }
  return true;
}
/** The transposed product: outᵀ = bᵀ aᵀ. */
function flipped({ a, b, out, m, n, ...rest }: Product): Product {
  return { ...rest, a: transposed(b), b: transposed(a), out: transposed(out), m: n, n: m };
}

type Part = readonly [start: number, length: number];
const someMatrices = ({ a, b, out, ...rest }: Product, axis: number, part: Part): Product => ({
  ...rest,
  a: along(a, axis, ...part),
  b: along(b, axis, ...part),
  out: along(out, axis, ...part),
});
const someRows = ({ a, out, ...rest }: Product, part: Part): Product => ({
  ...rest,
  a: along(a, -2, ...part),
  out: along(out, -2, ...part),
  m: part[1],
});
const someColumns = ({ b, out, ...rest }: Product, part: Part): Product => ({
  ...rest,
  b: along(b, -1, ...part),
  out: along(out, -1, ...part),
  n: part[1],
});
const someTerms = ({ a, b, ...rest }: Product, part: Part): Product => ({
  ...rest,
  a: along(a, -1, ...part),
  b: along(b, -2, ...part),
  k: part[1],
  accumulate: rest.accumulate || part[0] > 0,
});

/** Halves of a product whose matrices are larger than a binding may be. */
function inParts(gpu: Gpu, product: Product): void {
  const { a, b, out, m, n, k } = product;
  const axis = out.shape.slice(0, -2).findIndex((length) => length > 1);
  const both = (length: number, part: (half: Part) => Product): void =>
    halves(length).forEach((half) => choose(gpu, part(half)));
  if (axis >= 0) both(out.shape[axis], (half) => someMatrices(product, axis, half));
  else if (m > 1 && !(gpu.fits(a) && gpu.fits(out))) both(m, (half) => someRows(product, half));
  else if (n > 1 && !(gpu.fits(b) && gpu.fits(out))) both(n, (half) => someColumns(product, half));
  else if (k > 1) both(k, (half) => someTerms(product, half));
  else for (const v of [a, b, out]) gpu.bind(v); // its error
}
