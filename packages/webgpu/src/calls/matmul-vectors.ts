/** Products whose kernels read vectors of four: in registers, by subgroups where the adapter has them of 8. */
import { collapse, expr as e, sizeOf, type View } from '@bax/core';
import type { Gpu } from '../gpu.ts';
import { matmulRows, matmulSubgroup } from '../wgsl.generated.ts';
import { borrow, type Fresh } from './borrow.ts';
import { copyInto, fill, map } from './map.ts';
import { batchStrides, canBeB, FEW_ROWS, type Product } from './product.ts';
import { along, innermostFirst, STORED } from './views.ts';

const up4 = (n: number): number => Math.ceil(n / 4) * 4;
/** The most bytes of a factor or of the result, or of their transposes, once their rows are whole vectors. */
export const paddedBytes = ({ m, n, k }: Product, count: number): number =>
  4 * count * Math.max(m * up4(k), k * up4(n), m * up4(n), n * up4(m));

/** Whether a view begins, and goes on from line to line, at whole fours of elements. */
const by4 = (v: View, ...strides: number[]): boolean =>
  [v.offset, ...strides, ...v.strides.slice(0, -2)].every((x) => x % 4 === 0);

/** A product, with a bias or not: factors and result that do not lie so go through memory in which they do. */
export const matmulByVectors = (gpu: Gpu, product: Product): void =>
  borrow(gpu, (fresh) => vectors(gpu, fresh, product));

function vectors(gpu: Gpu, fresh: Fresh, product: Product): void {
  const { m, n, k, scale, accumulate } = product;
  const { a, b, bias, alongK } = inVectors(gpu, fresh, product);
  const [outRow, outColumn] = product.out.strides.slice(-2);
  const registers = gpu.tuning.subgroup === 8 && gpu.tuning.software && m > FEW_ROWS;
  // The kernel in registers begins its sums with what is added, which must then not be scaled.
  const startable = !registers || !accumulate || (scale === 1 && !bias);
  const direct = outColumn === 1 && n % 4 === 0 && by4(product.out, outRow) && startable;
  const out = direct ? product.out : padded(fresh, product.out, m, up4(n));
  const onto = direct && accumulate;

  const batch = collapse(out.shape.slice(0, -2), [a, b, out].map((v) => v.strides.slice(0, -2))); // prettier-ignore
  const [aBatch, bBatch, outBatch] = batchStrides(batch, 4);
  const [left, right, into] = [gpu.bind(a), gpu.bind(b), gpu.bind(out)];
  const added = bias ? gpu.bind(bias) : left;
  const columns = Math.ceil(n / 4);
  // Of both kernels: each takes what it names.
  const params = {
    batch: innermostFirst(batch.shape, 1),
    aBatch,
    bBatch,
    outBatch,
    a: left.base / 4,
    b: right.base / 4,
    bias: added.base / 4,
    out: into.base / 4,
    aRow: a.strides.at(-2)! / 4,
    bRow: b.strides.at(alongK ? -1 : -2)! / 4,
    outRow: out.strides.at(-2)! / 4,
    m,
    k,
    columns,
    scale,
    biased: bias ? 1 : 0,
    accumulate: onto ? 1 : 0,
  };
  const bounds = [left, right, added, into];
  const count = sizeOf(batch.shape);
  const [B_ALONG_K, B_STORAGE] = [alongK ? 1 : 0, STORED[b.buffer.type]];
  gpu.about(product.a, product.b, product.out);
  if (registers) {
    const constants = { B_ALONG_K, B_STORAGE, START: bias ? 1 : onto ? 2 : 0 };
    gpu.run(matmulSubgroup, { constants }, bounds, params, [
      Math.ceil(columns / 8),
      Math.ceil(m / 16),
      count,
    ]);
  } else {
    const [SLICES, COLUMNS] = gpu.tuning.software ? [1, 8] : [16, 8];
    const constants = { B_ALONG_K, B_STORAGE, SLICES, COLUMNS };
    gpu.run(matmulRows, { constants }, bounds, params, [
      Math.ceil(columns / COLUMNS),
      Math.ceil(m / 4),
      count,
    ]);
  }
  if (direct) return;
  if (accumulate) map(gpu, sum, [product.out, out], [product.out], []);
  else copyInto(gpu, out, product.out);
}

/** The factors and the bias as they lie or in memory where they do: vectors of a along k, of b along n or along k. */
function inVectors(
  gpu: Gpu,
  fresh: Fresh,
  { a, b, bias, m, n, k }: Product,
): { a: View; b: View; bias: View | undefined; alongK: boolean } {
  const [aRow, aColumn] = a.strides.slice(-2);
  if (a.buffer.type !== 'f32' || aColumn !== 1 || k % 4 !== 0 || !by4(a, aRow)) {
    const source = a;
    a = padded(fresh, a, m, up4(k));
    if (k % 4 !== 0) fill(gpu, along({ ...a, shape: a.shape.with(-1, up4(k)) }, -1, k, up4(k) - k), 0);
    copyInto(gpu, source, a);
  }
  const [bRow, bColumn] = b.strides.slice(-2);
  const readable = canBeB(b);
  const alongK = readable && bRow === 1 && k % 4 === 0 && by4(b, bColumn) && (bColumn !== 1 || n > 1);
  if (!alongK && !(readable && bColumn === 1 && by4(b, bRow))) {
    const source = b;
    b = padded(fresh, b, k, up4(n));
    copyInto(gpu, source, b);
  }
  if (bias && (n % 4 !== 0 || bias.strides[0] !== 1 || !by4({ ...bias, strides: [] }))) {
    const row = { ...bias, shape: [1, n], strides: [0, bias.strides[0]] };
    bias = padded(fresh, row, 1, up4(n));
    copyInto(gpu, row, bias);
  }
  return { a, b, bias, alongK };
}

/** Memory for a view of such matrices whose rows may be longer than it shows. */
const padded = (fresh: Fresh, v: View, rows: number, columns: number): View => ({
  ...fresh([...v.shape.slice(0, -2), rows, columns], 'f32'),
  shape: v.shape,
});
const sum = e.scalarFn('f32', 2, 0, [e.add(e.input(0), e.input(1))]);
