/** Chooses how a product is computed, by its shape and strides alone. */
import {
  collapse,
  expandView,
  type MatmulOptions,
  offsetsOf,
  permuteView,
  sizeOf,
  sliceView,
  type Storage,
  type View,
} from '@bax/core';
import { BLOCK_ROWS, GEMM_SCRATCH } from '../kernels/gemm.ts';
import { DOT_COLUMNS, dotKernel } from '../kernels/dot.ts';
import { B_PACKED, B_ROWS, B_STRIDED, matmulKernel, matmulScratch, plainMatmul } from '../kernels/matmul.ts';
import { COLUMNS, packKernel } from '../kernels/pack.ts';
import type { Machine } from '../machine.ts';
import { addressOf, type LinearMemory, type Pack, sizeClass, type WasmBuffer } from '../memory.ts';
import { withBlock, withFresh } from './borrow.ts';
import { copyInto, fill, forEachIndex } from './map.ts';
import { addressIn } from './rows.ts';

const F32 = 4;
/** With so few rows B is read as it lies, if its rows are whole: packing it would cost more than the sums. */
const FEW_ROWS = 16;
/** With so few (generation) it is never packed, not even if it stays the same: each element is used too rarely. */
const VERY_FEW_ROWS = 4;
/** How often a buffer's elements may be kept packed: a weight is so twice, its transpose being one. */
const MOST_COPIES = 4;
/** The most that one thread packs for a product of its own; above, the products come one after the other. */
const MOST_PACKED = 2 ** 22;
/** Elements of B that are widened at once: they stay in a cache, and a narrow weight has no wide copy of itself beside it. */
const WIDENED = 2 ** 18;

interface Product {
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
export function matmul(machine: Machine, a: View, b: View, out: View, options: MatmulOptions = {}): void {
  const { scale = 1, accumulate = false } = options;
  const [m, n] = out.shape.slice(-2);
  const k = a.shape.at(-1)!;
  if (sizeOf(out.shape) === 0) return;
  if (k === 0) return accumulate ? undefined : fill(machine, out, 0);
  const { type } = out.buffer;
  withType(machine, a, type, (a) => {
    inPanels(machine, b, type, (b, first) => {
      const columns = b.shape.at(-1)!;
      const part = columns === n ? out : sliceView(out, out.shape.length - 1, first, columns);
      const product = { a, b, out: part, m, n: columns, k, scale, accumulate };
      if (type === 'f64' || type === 'i32') plainly(machine, type, product);
      else tiled(machine, product);
    });
  });
}

/** `f` of B if it is of the product's type; else of some of its columns after the other, widened. */
function inPanels(machine: Machine, b: View, type: Storage, f: (b: View, first: number) => void): void {
  const [k, n] = b.shape.slice(-2);
  if (b.buffer.type === type) return f(b, 0);
  const most = Math.max(1, Math.floor(WIDENED / k / COLUMNS)) * COLUMNS;
  for (let first = 0; first < n; first += most) {
    const panel = sliceView(b, b.shape.length - 1, first, Math.min(most, n - first));
    withType(machine, panel, type, (wide) => f(wide, first));
  }
}

/** `f` of the view, or of a copy of it in the type in which the product is computed, whose elements lie in the same order. */
function withType(machine: Machine, view: View, type: Storage, f: (view: View) => void): void {
  if (view.buffer.type === type) return f(view);
  const { shape, strides } = view;
  const once = {
    ...view,
    shape: shape.map((length, i) => (strides[i] === 0 ? Math.min(length, 1) : length)),
  };
  const order = [...shape.keys()].sort((i, j) => Math.abs(strides[j]) - Math.abs(strides[i]));
  const back = order.map((_, i) => order.indexOf(i));
  const lying = permuteView(once, order);
  withFresh(machine, lying.shape, type, (copy) => {
    copyInto(machine, lying, type, copy);
    f(expandView(permuteView(copy, back), shape));
  });
}

const transposed = (v: View): View => ({
  ...v,
  shape: [...v.shape.slice(0, -2), v.shape.at(-1)!, v.shape.at(-2)!],
  strides: [...v.strides.slice(0, -2), v.strides.at(-1)!, v.strides.at(-2)!],
});

function tiled(machine: Machine, product: Product): void {
  const { a, b, out, m, n } = product;
  const [row, column] = out.strides.slice(-2);
  // A tile's columns lie side by side. Where the result's rows do, or it is one column, the transposed product has that.
  if (m > 1 && row === 1 && (n === 1 || column !== 1))
    return tiled(machine, {
      ...product,
      a: transposed(b),
      b: transposed(a),
      out: transposed(out),
      m: n,
      n: m,
    });
  if (n > 1 && column !== 1) {
    return withFresh(machine, out.shape, 'f32', (dense) => {
      if (product.accumulate) copyInto(machine, out, 'f32', dense);
      tiled(machine, { ...product, out: dense });
      copyInto(machine, dense, 'f32', out);
    });
  }
  const batch = collapse(out.shape.slice(0, -2), [a, b, out].map((v) => v.strides.slice(0, -2))); // prettier-ignore
  const count = sizeOf(batch.shape);
  if (count === 1 || batch.strides[1].every((stride) => stride === 0))
    return sharedB(machine, product, batch, count);
  if (matmulScratch(product.k, n) > MOST_PACKED) {
    forEachIndex(batch.shape, (index) => {
      const at = (v: View, i: number): View => ({
        ...v,
        shape: v.shape.slice(-2),
        strides: v.strides.slice(-2),
        offset: index.reduce((sum, x, axis) => sum + x * batch.strides[i][axis], v.offset),
      });
      tiled(machine, { ...product, a: at(a, 0), b: at(b, 1), out: at(out, 2) });
    });
    return;
  }
  const rows = b.strides.at(-1) === 1 && m <= FEW_ROWS;
  const scratch = rows ? GEMM_SCRATCH : matmulScratch(product.k, n);
  run(machine, product, batch, count, rows ? B_ROWS : B_STRIDED, undefined, m, scratch);
}

/** A few rows times columns that lie in one piece. */
function dots(machine: Machine, { a, b, out, m, n, k, scale, accumulate }: Product): void {
  const [aRow, bColumn, outRow] = [a.strides.at(-2)!, b.strides.at(-1)!, out.strides.at(-2)!].map(
    (s) => s * F32,
  );
  const [atA, atB, atOut] = [a, b, out].map(addressIn);
  const args = [atA, aRow, atB, bColumn, atOut, outRow, m, n, k, scale, accumulate ? 1 : 0];
  machine.run(dotKernel, args, Math.ceil(n / DOT_COLUMNS), m * n * k);
}

/** Products with one B. */
function sharedB(machine: Machine, product: Product, batch: Batch, count: number): void {
  const { b, m, n, k } = product;
  const blockRows = m > BLOCK_ROWS * 4 ? BLOCK_ROWS : Math.max(FEW_ROWS, Math.ceil(m / 16) * 4);
  if (m * count <= VERY_FEW_ROWS) {
    if (count === 1 && b.strides.at(-2) === 1 && product.a.strides.at(-1) === 1)
      return dots(machine, product);
    if (b.strides.at(-1) === 1)
      return run(machine, product, batch, count, B_ROWS, undefined, m, GEMM_SCRATCH);
  }
  const kept = packOf(machine.memory, b);
  if (!kept.known && m * count <= FEW_ROWS && b.strides.at(-1) === 1)
    return run(machine, product, batch, count, B_ROWS, undefined, blockRows, GEMM_SCRATCH);
  const { memory } = machine;
  const block = sizeClass(k * Math.ceil(n / COLUMNS) * COLUMNS * F32);
  const packed = kept.pack.address || memory.take(block, 'a packed matrix');
  memory.reading = b.buffer as WasmBuffer;
  try {
    if (!kept.pack.address) {
      const [bRow, bColumn] = b.strides.slice(-2).map((s) => s * F32);
      machine.run(packKernel, [addressIn(b), bRow, bColumn, k, n, packed], Math.ceil(n / COLUMNS), k * n);
      if (kept.known) memory.keepPack(b.buffer as WasmBuffer, kept.pack, packed, block); // only now does it hold something
    }
    run(machine, product, batch, count, B_PACKED, packed, blockRows, GEMM_SCRATCH);
  } finally {
    memory.reading = undefined;
    if (!kept.pack.address) memory.give(packed, block);
  }
}

/**
 * What is known of a matrix's packed copy. It is kept from the second use on, until the buffer is written or freed: so
 * frozen weights are packed once, and what changes at each step is not kept.
 */
function packOf(memory: LinearMemory, b: View): { pack: Pack; known: boolean } {
  const buffer = b.buffer as WasmBuffer;
  const key = `${b.offset}:${b.shape.slice(-2).join()}:${b.strides.slice(-2).join()}`;
  const known = buffer.packs?.find((pack) => pack.key === key);
  if (known) return { pack: known, known: true };
  const pack: Pack = { key, address: 0, block: 0 };
  const most = MOST_COPIES * Math.ceil(buffer.length / sizeOf(b.shape.slice(-2))); // a buffer may hold many weights
  if ((buffer.packs ??= []).push(pack) > most) memory.dropOldestPack(buffer);
  return { pack, known: false };
}

type Batch = ReturnType<typeof collapse>;

function run(
  machine: Machine,
  { a, b, out, m, n, k, scale, accumulate }: Product,
  { shape, strides }: Batch,
  count: number,
  kind: number,
  packed: number | undefined,
  blockRows: number,
  scratch: number,
): void {
  const [ofA, ofB, ofOut] = [a, b, out].map((v, i) => offsetsOf(shape, strides[i], v.offset));
  const [atA, atB, atOut] = [a, b, out].map((v) => addressOf(v.buffer));
  const [aRow, aColumn, bRow, bColumn] = [...a.strides.slice(-2), ...b.strides.slice(-2)].map((s) => s * F32);
  const rowBlocks = Math.ceil(m / blockRows);
  const outRow = out.strides.at(-2)! * F32;
  withBlock(machine, count * 12, 'a table of products', (table) => {
    const words = machine.memory.i32;
    for (let i = 0, at = table / 4; i < count; i++) {
      words[at++] = atA + ofA[i] * F32;
      words[at++] = packed ?? atB + ofB[i] * F32;
      words[at++] = atOut + ofOut[i] * F32;
    }
    // prettier-ignore
    const args = [table, aRow, aColumn, kind, bRow, bColumn, outRow, m, n, k, scale, accumulate ? 1 : 0, rowBlocks, blockRows];
    machine.run(matmulKernel, args, count * rowBlocks, count * m * n * k, scratch);
  });
}

function plainly(
  machine: Machine,
  type: 'f64' | 'i32',
  { a, b, out, m, n, k, scale, accumulate }: Product,
): void {
  const bytes = type === 'f64' ? 8 : 4;
  const batch = collapse(out.shape.slice(0, -2), [a, b, out].map((v) => v.strides.slice(0, -2))); // prettier-ignore
  const steps = [a, b, out].map((v) => v.strides.slice(-2).map((s) => s * bytes));
  forEachIndex(batch.shape, (index) => {
    const [atA, atB, atOut] = [a, b, out].map(
      (v, i) =>
        addressOf(v.buffer) +
        index.reduce((sum, x, axis) => sum + x * batch.strides[i][axis], v.offset) * bytes,
    );
    const args = [atA, ...steps[0], atB, ...steps[1], atOut, ...steps[2], n, k, scale, accumulate ? 1 : 0];
    machine.run(plainMatmul[type], args, m, m * n * k);
  });
}
