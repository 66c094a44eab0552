/** Products whose kernels read single elements, wherever they lie: from the definition, and in tiles of workgroup memory. */
import { sizeOf, type View } from '@bax/core';
import type { Gpu } from '../gpu.ts';
import { ladderMatmulNaive as naive, matmulTiled } from '../wgsl.generated.ts';
import { type Batch, batchStrides, type Product } from './product.ts';
import { innermostFirst, STORED } from './views.ts';

/** Threads of a workgroup of the naive kernel. */
const SIZE = 64;
/** Rows and columns of a workgroup of the tiled one. */
const TILE = 64;

/** Where and how the matrices of a product lie, in elements. */
function layout(gpu: Gpu, { a, b, out, m, n, k, scale, accumulate }: Product, batch: Batch) {
  const bounds = [a, b, out].map((v) => gpu.bind(v));
  const [aRow, aColumn] = a.strides.slice(-2);
  const [bRow, bColumn] = b.strides.slice(-2);
  const [outRow, outColumn] = out.strides.slice(-2);
  const [atA, atB, atOut] = bounds.map(({ base }) => base);
  gpu.about(a, b, out);
  const [aBatch, bBatch, outBatch] = batchStrides(batch, 1);
  const params = {
    batch: innermostFirst(batch.shape, 1), aBatch, bBatch, outBatch,
    a: atA, b: atB, out: atOut, m, n, k, aRow, aColumn, bRow, bColumn, outRow, outColumn,
    accumulate: accumulate ? 1 : 0,
    scale,
  }; // prettier-ignore
  return { bounds, params };
}

/** One thread an element: any types and strides, no low-rank terms, no bias. */
export function plainly(gpu: Gpu, product: Product, batch: Batch): void {
  const { bounds, params } = layout(gpu, product, batch);
  const T = product.out.buffer.type as 'f32' | 'i32';
  const stored = (v: View): number => (v.buffer.type === T ? 0 : STORED[v.buffer.type]);
  const constants = { A_STORAGE: stored(product.a), B_STORAGE: stored(product.b), SIZE };
  const count = sizeOf(product.out.shape);
  gpu.run(naive, { constants, T }, bounds, { ...params, count }, Math.ceil(count / SIZE));
}

/** 64 × 64 elements a workgroup, low-rank terms and bias on the way: f32, b also f16 or bf16. */
export function tiled(gpu: Gpu, product: Product, batch: Batch): void {
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
