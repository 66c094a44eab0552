/** Products whose kernels read vectors of four: in registers, by subgroups where the adapter has them of 8. */
import { collapse, expr as e, sizeOf, type View } from '@bax/core';
import type { Gpu } from '../gpu.ts';
import { matmulRows, matmulSubgroup } from '../wgsl.generated.ts';
import { borrow, type Fresh } from './borrow.ts';
import { copyInto, fill, map } from './map.ts';
import { batchParams, canBeB, FEW_ROWS, type Product } from './product.ts';
import { along, STORED } from './views.ts';

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
  const padded = (v: View, rows: number, columns: number): View => ({
    ...fresh([...v.shape.slice(0, -2), rows, columns], 'f32'),
    shape: v.shape,
  });
  let { a, b, out } = product;
  const [aRow, aColumn] = a.strides.slice(-2);
  if (a.buffer.type !== 'f32' || aColumn !== 1 || k % 4 !== 0 || !by4(a, aRow)) {
    a = padded(a, m, up4(k));
    if (k % 4 !== 0) fill(gpu, along({ ...a, shape: a.shape.with(-1, up4(k)) }, -1, k, up4(k) - k), 0);
    copyInto(gpu, product.a, a);
  }
  const [bRow, bColumn] = b.strides.slice(-2);
  const readable = canBeB(b);
  const alongK = readable && bRow === 1 && k % 4 === 0 && by4(b, bColumn) && (bColumn !== 1 || n > 1);
  if (!alongK && !(readable && bColumn === 1 && by4(b, bRow))) {
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
    const row = { ...bias, shape: [1, n], strides: [0, bias.strides[0]] };
    bias = padded(row, 1, up4(n));
    copyInto(gpu, row, bias);
  }
  const added = bias ? gpu.bind(bias) : left;
  const bounds = [left, right, added, into];
  const count = sizeOf(batch.shape);
  const forB = { B_ALONG_K: alongK ? 1 : 0, B_STORAGE: STORED[b.buffer.type] };
  gpu.about(product.a, product.b, product.out);
  const onto = direct && accumulate;
  const at = { bias: added.base / 4 };
  if (registers) {
    const constants = { ...forB, START: bias ? 1 : onto ? 2 : 0 };
    const grid = [Math.ceil(columns / 8), Math.ceil(m / 16), count] as const;
    gpu.run(matmulSubgroup, { constants }, bounds, { ...params, ...at }, grid);
  } else {
    const [SLICES, COLUMNS] = gpu.tuning.software ? [1, 8] : [16, 8];
    const more = { ...at, biased: bias ? 1 : 0, accumulate: onto ? 1 : 0 };
    const grid = [Math.ceil(columns / COLUMNS), Math.ceil(m / 4), count] as const;
    gpu.run(matmulRows, { constants: { ...forB, SLICES, COLUMNS } }, bounds, { ...params, ...more }, grid);
  }
  if (!direct) {
    if (accumulate) map(gpu, sum, [product.out, out], [product.out], []);
    else copyInto(gpu, out, product.out);
  }
}
const sum = e.scalarFn('f32', 2, 0, [e.add(e.input(0), e.input(1))]);
