/** Matrix products in f32 (`gemm.ts`), and their plain loops in f64 and i32. */
import { call, f64, i32, loop, when } from '../assembler/index.ts';
import { GEMM_SCRATCH, gemm } from './gemm.ts';
import { plus } from './integers.ts';
import { defineKernel, type Kernel } from './kernel.ts';
import { COLUMNS, F32, packAll } from './pack.ts';

/** How B comes: in panels already, in rows that can be read as they are, or to be packed by whoever needs it. */
export const B_PACKED = 0;
export const B_ROWS = 1;
export const B_STRIDED = 2;

/** Scratch that a product needs if B [k, n] is packed there. */
export const matmulScratch = (k: number, n: number): number =>
  GEMM_SCRATCH + k * Math.ceil(n / COLUMNS) * COLUMNS * F32;

/**
 * Units: `rowBlocks` parts, of `blockRows` rows of the result, of each product in turn. `table` holds, for each product,
 * the addresses of its a, b and out. Steps are in bytes; columns of the result lie side by side.
 */
export const matmulKernel: Kernel = defineKernel(
  'matmul',
  {
    table: 'i32', aRow: 'i32', aColumn: 'i32', bKind: 'i32', bRow: 'i32', bColumn: 'i32', outRow: 'i32',
    m: 'i32', n: 'i32', k: 'i32', scale: 'f32', accumulate: 'i32', rowBlocks: 'i32', blockRows: 'i32',
  },
  ({ target, f, args: x, from: unit, to, scratch, use }) => {
    const { multiply, packB, functions } = gemm(target);
    use(...functions);
    const [entry, row, rows, b, j] = f.locals('entry', 'row', 'rows', 'b', 'j');
    const [bStep, bPanel] = f.locals('bStep', 'bPanel');
    const panelRow = i32.const(COLUMNS * F32);
    const packed = plus(scratch, i32.const(GEMM_SCRATCH));
    return loop(unit, unit, to, i32.const(1), [
      entry.set(plus(x.table, i32.mul(i32.div_u(unit, x.rowBlocks), i32.const(12)))),
      row.set(i32.mul(i32.rem_u(unit, x.rowBlocks), x.blockRows)),
      rows.set(i32.sub(x.m, row)),
      when(i32.lt_u(x.blockRows, rows), rows.set(x.blockRows)),
      b.set(i32.load(entry, 4)),
      bStep.set(panelRow),
      bPanel.set(i32.mul(x.k, panelRow)),
      when(i32.eq(x.bKind, i32.const(B_ROWS)), [bStep.set(x.bRow), bPanel.set(panelRow)]),
      when(i32.eq(x.bKind, i32.const(B_STRIDED)), [
        packAll(packB, b, x.bRow, x.bColumn, x.k, x.n, packed, j),
        b.set(packed),
      ]),
      call(
        multiply,
        plus(i32.load(entry), i32.mul(row, x.aRow)), x.aRow, x.aColumn, b, bStep, bPanel,
        plus(i32.load(entry, 8), i32.mul(row, x.outRow)), x.outRow, rows, x.n, x.k, x.scale, x.accumulate, scratch,
      ),
    ]);
  },
); // prettier-ignore

/** One product by its definition. Units: rows of the result. */
function plain(type: 'f64' | 'i32'): Kernel {
  const t = type === 'f64' ? f64 : i32;
  return defineKernel(
    `matmul ${type}`,
    {
      a: 'i32', aRow: 'i32', aColumn: 'i32', b: 'i32', bRow: 'i32', bColumn: 'i32', out: 'i32', outRow: 'i32', outColumn: 'i32',
      n: 'i32', k: 'i32', scale: type, accumulate: 'i32',
    },
    ({ f, args: x, from: row, to }) => {
      const [j, h, pa, pb, po] = f.locals('j', 'h', 'pa', 'pb', 'po');
      const sum = f.local('sum', type);
      return loop(row, row, to, i32.const(1), [
        loop(j, i32.const(0), x.n, i32.const(1), [
          sum.set(t.const(0)),
          pa.set(plus(x.a, i32.mul(row, x.aRow))),
          pb.set(plus(x.b, i32.mul(j, x.bColumn))),
          po.set(plus(plus(x.out, i32.mul(row, x.outRow)), i32.mul(j, x.outColumn))),
          loop(h, i32.const(0), x.k, i32.const(1), [
            sum.set(t.add(sum, t.mul(t.load(pa), t.load(pb)))),
            pa.set(plus(pa, x.aColumn)),
            pb.set(plus(pb, x.bRow)),
          ]),
          sum.set(t.mul(sum, x.scale)),
          when(x.accumulate, sum.set(t.add(sum, t.load(po)))),
          t.store(po, sum),
        ]),
      ]);
    },
  ); // prettier-ignore
}
export const plainMatmul: Readonly<Record<'f64' | 'i32', Kernel>> = { f64: plain('f64'), i32: plain('i32') };
