/** Chooses how a product is computed, by its shape, its strides and the adapter alone. */
import { collapse, expandView, expr as e, type MatmulOptions, sizeOf, type View } from '@bax/core';
import type { Gpu } from '../gpu.ts';
import type { GpuTensorBuffer } from '../memory.ts';
import { ladderMatmulNaive as naive, matmulRows, matmulSubgroup, matmulTiled } from '../wgsl.generated.ts';
import { apart, copyInto, fill, freshView, map } from './map.ts';
import { along, halves } from './parts.ts';

const SIZE = 64;
const STORED = { f32: 0, i32: 0, f64: 0, f16: 1, bf16: 2, u8: 3, u32: 4 } as const;
/** Multiplications below which a product is done straight from the definition. */
const SMALL = 4096;
/** With so few rows (generation) or columns a tile would be mostly empty. */
const FEW_ROWS = 4;
/** Fewer columns than a subgroup has: the transposed product fills it. */
const NARROW = 32;
/** Rows and columns of a workgroup of `matmulTiled`. */
const TILE = 64;
const up4 = (n: number): number => Math.ceil(n / 4) * 4;
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
  /** Terms beyond those of a and b: t [m, r] u [r, n], of a product without a batch. */
  readonly low?: { readonly t: View; readonly u: View } | undefined;
  /** [n], added to each row. */
  readonly bias?: View | undefined;
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
  run(gpu, product, batch);
}

/** Which kernel does a product: a matter of its shape, its types and the adapter, and not of what is added to it. */
function kindOf(gpu: Gpu, { a, b, out, m, n, k }: Product, count: number): 'plain' | 'tiled' | 'vectors' {
  const most = gpu.device.limits.maxComputeWorkgroupsPerDimension;
  const small = m * n * k < SMALL || k < 4;
  if (out.buffer.type !== 'f32' || small || count > most || Math.max(m, n) / 4 > most) return 'plain';
  // What goes through memory of whole vectors must fit into a binding, too.
  const padded = 4 * count * Math.max(m * up4(k), k * up4(n), m * up4(n), n * up4(m));
  const tileable = a.buffer.type === 'f32' && ['f32', 'f16', 'bf16'].includes(b.buffer.type);
  return !gpu.tuning.software && tileable && Math.min(m, n) > FEW_ROWS
    ? 'tiled'
    : padded <= gpu.maxBinding
      ? 'vectors'
      : 'plain';
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
  else vectors(gpu, narrow ? flipped(product) : product);
}

/**
 * a b + t u + bias. On GPUs in one pass over the result, where the low-rank terms reach all of it; elsewhere they are a
 * second product. The terms of a and b are summed as they are without the others. False if something is too large to bind.
 */
export function lowRankMatmul(gpu: Gpu, product: Product): boolean {
  const { a, b, out, low, bias } = product;
  const views = [a, b, out, ...(low ? [low.t, low.u] : []), ...(bias ? [bias] : [])];
  if (!views.every((v) => v.buffer.type === 'f32' && gpu.fits(v))) return false;
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
const NO_BATCH: Batch = { shape: [], strides: [[], [], []] };

/** The transposed product: outᵀ = bᵀ aᵀ. */
function flipped({ a, b, out, m, n, ...rest }: Product): Product {
  return { ...rest, a: turned(b), b: turned(a), out: turned(out), m: n, n: m };
}
const turned = (v: View): View => ({
  ...v,
  shape: [...v.shape.slice(0, -2), v.shape.at(-1)!, v.shape.at(-2)!],
  strides: [...v.strides.slice(0, -2), v.strides.at(-1)!, v.strides.at(-2)!],
});

/** The common part of the kernels' parameters; strides in units of so many elements. */
function batchParams(
  { shape, strides }: Batch,
  unit: number,
): Record<'batch' | 'aBatch' | 'bBatch' | 'outBatch', number[]> {
  const [aBatch, bBatch, outBatch] = strides.map((s) => innermostFirst(s.map((x) => x / unit), 0)); // prettier-ignore
  return { batch: innermostFirst(shape, 1), aBatch, bBatch, outBatch };
}

/** Where and how the matrices of a product lie, in elements. */
function layout(gpu: Gpu, { a, b, out, m, n, k, scale, accumulate }: Product, batch: Batch) {
  const bounds = [a, b, out].map((v) => gpu.bind(v));
  const [aRow, aColumn] = a.strides.slice(-2);
  const [bRow, bColumn] = b.strides.slice(-2);
  const [outRow, outColumn] = out.strides.slice(-2);
  const [atA, atB, atOut] = bounds.map(({ base }) => base);
  gpu.about(a, b, out);
  const params = {
    ...batchParams(batch, 1),
    a: atA, b: atB, out: atOut, m, n, k, aRow, aColumn, bRow, bColumn, outRow, outColumn,
    accumulate: accumulate ? 1 : 0,
    scale,
  }; // prettier-ignore
  return { bounds, params };
}

function plainly(gpu: Gpu, product: Product, batch: Batch): void {
  const { bounds, params } = layout(gpu, product, batch);
  const T = product.out.buffer.type as 'f32' | 'i32';
  const stored = (v: View): number => (v.buffer.type === T ? 0 : STORED[v.buffer.type]);
  const constants = { A_STORAGE: stored(product.a), B_STORAGE: stored(product.b), SIZE };
  const count = sizeOf(product.out.shape);
  gpu.run(naive, { constants, T }, bounds, { ...params, count }, Math.ceil(count / SIZE));
}

function tiled(gpu: Gpu, product: Product, batch: Batch): void {
  const { bounds, params } = layout(gpu, product, batch);
  const [a, b, out] = bounds;
  const { low, bias } = product;
  const [t, u, added] = [low ? gpu.bind(low.t) : a, low ? gpu.bind(low.u) : b, bias ? gpu.bind(bias) : a];
  const more = {
    t: t.base,
    tRow: low?.t.strides[0] ?? 0,
    tColumn: low?.t.strides[1] ?? 0,
    u: u.base,
    uRow: low?.u.strides[0] ?? 0,
    uColumn: low?.u.strides[1] ?? 0,
    r: low?.t.shape[1] ?? 0,
    bias: added.base,
    biasColumn: bias?.strides[0] ?? 0,
    biased: bias ? 1 : 0,
  };
  const along = { aAlongK: params.aColumn === 1 ? 1 : 0, bAlongK: params.bRow === 1 ? 1 : 0 };
  const constants = { B_STORAGE: STORED[product.b.buffer.type] };
  const grid = [Math.ceil(product.n / TILE), Math.ceil(product.m / TILE), sizeOf(batch.shape)] as const;
  gpu.run(matmulTiled, { constants }, [a, b, t, u, added, out], { ...params, ...along, ...more }, grid);
}

const by4 = (v: View, ...strides: number[]): boolean =>
  v.buffer.type === 'f32' && [v.offset, ...strides, ...v.strides.slice(0, -2)].every((x) => x % 4 === 0);

/** A product of vectors of 4: factors and result that do not lie so go through memory in which they do. */
function vectors(gpu: Gpu, product: Product): void {
  const { m, n, k, scale, accumulate } = product;
  const fresh: View[] = [];
  const padded = (v: View, rows: number, columns: number): View => {
    const copy = freshView(gpu, [...v.shape.slice(0, -2), rows, columns], 'f32');
    fresh.push(copy);
    return { ...copy, shape: v.shape };
  };
  let { a, b, out } = product;
  const [aRow, aColumn] = a.strides.slice(-2);
  if (aColumn !== 1 || k % 4 !== 0 || !by4(a, aRow)) {
    a = padded(a, m, up4(k));
    if (k % 4 !== 0) fill(gpu, along({ ...a, shape: a.shape.with(-1, up4(k)) }, -1, k, up4(k) - k), 0);
    copyInto(gpu, product.a, a);
  }
  const [bRow, bColumn] = b.strides.slice(-2);
  const alongK = bRow === 1 && k % 4 === 0 && by4(b, bColumn) && (bColumn !== 1 || n > 1);
  if (!alongK && !(bColumn === 1 && by4(b, bRow))) {
    b = padded(b, k, up4(n));
    copyInto(gpu, product.b, b);
  }
  const [outRow, outColumn] = out.strides.slice(-2);
  const registers = gpu.tuning.subgroup === 8 && gpu.tuning.software && m > FEW_ROWS;
  // The kernel in registers begins its sums with what is added, which must then not be scaled.
  const startable = !registers || !accumulate || (scale === 1 && !product.bias);
  const direct = outColumn === 1 && n % 4 === 0 && by4(out, outRow) && startable;
  if (!direct) out = padded(out, m, up4(n));
  const batch = collapse(out.shape.slice(0, -2), [a, b, out].map((v) => v.strides.slice(0, -2))); // prettier-ignore
  const [left, right, into] = [a, b, out].map((v) => gpu.bind(v));
  const columns = Math.ceil(n / 4);
  const params = {
    ...batchParams(batch, 4),
    a: left.base / 4,
    b: right.base / 4,
    out: into.base / 4,
    aRow: a.strides.at(-2)! / 4,
    bRow: (alongK ? b.strides.at(-1)! : b.strides.at(-2)!) / 4,
    outRow: out.strides.at(-2)! / 4,
    m,
    k,
    columns,
    scale,
  };
  let { bias } = product;
  if (bias && (n % 4 !== 0 || bias.strides[0] !== 1 || !by4({ ...bias, strides: [] }))) {
    bias = padded({ ...bias, shape: [1, n], strides: [0, bias.strides[0]] }, 1, up4(n));
    copyInto(gpu, { ...product.bias!, shape: [1, n], strides: [0, product.bias!.strides[0]] }, bias);
  }
  const added = bias ? gpu.bind(bias) : left;
  const bounds = [left, right, added, into];
  const count = sizeOf(batch.shape);
  const B_ALONG_K = alongK ? 1 : 0;
  gpu.about(product.a, product.b, product.out);
  const onto = direct && accumulate;
  const at = { bias: added.base / 4 };
  if (registers) {
    const constants = { B_ALONG_K, START: bias ? 1 : onto ? 2 : 0 };
    const grid = [Math.ceil(columns / 8), Math.ceil(m / 16), count] as const;
    gpu.run(matmulSubgroup, { constants }, bounds, { ...params, ...at }, grid);
  } else {
    const [SLICES, COLUMNS] = gpu.tuning.software ? [1, 8] : [16, 8];
    const more = { ...at, biased: bias ? 1 : 0, accumulate: onto ? 1 : 0 };
    const grid = [Math.ceil(columns / COLUMNS), Math.ceil(m / 4), count] as const;
    gpu.run(matmulRows, { constants: { B_ALONG_K, SLICES, COLUMNS } }, bounds, { ...params, ...more }, grid);
  }
  if (!direct) {
    if (accumulate) map(gpu, sum, [product.out, out], [product.out], []);
    else copyInto(gpu, out, product.out);
  }
  for (const { buffer } of fresh) gpu.memory.free(buffer as GpuTensorBuffer);
}
const sum = e.scalarFn('f32', 2, 0, [e.add(e.input(0), e.input(1))]);

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
