/**
 * out += A B in f32, by tiles of 4 × 8 sums that stay in registers while k runs. What a tile reads lies in order: B in
 * panels of 8 columns [n / 8][k][8], A in panels of 4 rows [m / 4][k][4], zero where the matrix ends. For one k a tile
 * loads 2 vectors of B and 1 of A, whose lanes are spread by shuffles, for 8 fused multiply-adds: with the sums they fit
 * the 16 registers of x64. Blocks of A stay in the L2 cache and a panel of B in L1 while they are used
 * (Goto and van de Geijn 2008, https://doi.org/10.1145/1356052.1356053).
 *
 * Each sum is taken in the order of k whatever the neighbours are, so a thread's share makes no difference to the bits.
 */
import {
  type Code, Func, call, f32, f32x4, i32, loop, select, shuffle32, v128, when,
} from '../assembler/index.ts'; // prettier-ignore
import { atMost, plus, times, whileAtLeast } from './integers.ts';
import { multiplyAdd, type Target } from './kernel.ts';
import { COLUMNS, F32, packFunction, ROWS } from './pack.ts';

/** How many k are summed before a tile goes back to memory, and the rows of A that are packed together. */
export const DEPTH = 512;
export const BLOCK_ROWS = 64;

/** Up to so many columns A is read as it lies: packing it would cost more than the sums. */
const NARROW = 16;
const BLOCK_BYTES = BLOCK_ROWS * DEPTH * F32;
/** What `multiply` needs of scratch: a block of A, and one tile on its way to an edge. */
export const GEMM_SCRATCH: number = BLOCK_BYTES + ROWS * COLUMNS * F32;

export interface Gemm {
  /**
   * multiply(a, aRow, aColumn, b, bStep, bPanel, out, outRow, m, n, k, scale, accumulate, scratch). Steps in bytes. B is
   * packed (bStep 32, bPanel 32 k) or lies in rows (bStep its row's, bPanel 32). Columns of `out` lie side by side.
   */
  readonly multiply: Func;
  /** pack8: what B is packed with. */
  readonly packB: Func;
  /** All of them, for the module. */
  readonly functions: readonly Func[];
}

export function gemm(target: Target): Gemm {
  const packA = packFunction(ROWS);
  const packB = packFunction(COLUMNS);
  const f = new Func('multiply');
  const [a, aRow, aColumn] = f.parameters('a', 'aRow', 'aColumn');
  const [b, bStep, bPanel] = f.parameters('b', 'bStep', 'bPanel');
  const [out, outRow] = f.parameters('out', 'outRow');
  const [m, n, k] = f.parameters('m', 'n', 'k');
  const [scale, accumulate, scratch] = [f.param('scale', 'f32'), f.param('accumulate'), f.param('scratch')];

  // A block is `rows` rows from `row0` on, and `depth` k from `k0` on; a tile begins at row i of the block and column j.
  const [row0, rows, k0, depth] = f.locals('row0', 'rows', 'k0', 'depth');
  const [i, j, aBlock, bTile, adding] = f.locals('i', 'j', 'aBlock', 'bTile', 'adding');
  const [pa, pb, left, to, from] = f.locals('pa', 'pb', 'left', 'to', 'from');
  const [r, c] = f.locals('r', 'c');
  const sums = [0, 1, 2, 3].map((y) => [f.local(`sum${y}0`, 'v128'), f.local(`sum${y}1`, 'v128')]);
  const [b0, b1] = f.vectors('b0', 'b1');
  const a4 = [0, 1, 2, 3].map((y) => f.local(`a${y}`, 'v128'));
  const spread = f.local('spread', 'v128');
  const aRows = [0, 1, 2, 3].map((y) => f.local(`aRow${y}`));

  /** For one k: two vectors of B, and each row's value of A times both. */
  const addProducts = (valueOfRow: (row: number) => Code): Code => [
    b0.set(v128.load(pb)),
    b1.set(v128.load(pb, 16)),
    sums.map(([x0, x1], row) => [
      spread.set(valueOfRow(row)),
      x0.set(multiplyAdd(target, spread, b0, x0)),
      x1.set(multiplyAdd(target, spread, b1, x1)),
    ]),
    pb.set(plus(pb, bStep)),
  ];
  const lane = (v: Code, at: number): Code => shuffle32(v, v, [at, at, at, at]);
  const forEachK = (count: number, body: Code): Code => whileAtLeast(left, count, body);

  /** The 4 rows' values of one k lie side by side, those of the next k `step` further: A packed, or transposed. */
  const sumColumns = (step: Code): Code =>
    forEachK(1, [a4[0].set(v128.load(pa)), addProducts((row) => lane(a4[0], row)), pa.set(plus(pa, step))]);
  /** A as it lies, in rows: 4 k of each row are loaded together. Rows that do not exist repeat the last one. */
  const sumRows: Code = [
    aRows[0].set(pa),
    [1, 2, 3].map((y) =>
      aRows[y].set(select(plus(aRows[y - 1], aRow), aRows[y - 1], i32.lt_u(plus(i, i32.const(y)), rows))),
    ),
    forEachK(4, [
      a4.map((v, y) => [v.set(v128.load(aRows[y])), aRows[y].set(plus(aRows[y], i32.const(16)))]),
      [0, 1, 2, 3].map((at) => addProducts((y) => lane(a4[y], at))),
    ]),
    forEachK(
      1,
      addProducts((y) => [v128.load32_splat(aRows[y]), aRows[y].set(plus(aRows[y], i32.const(F32)))]),
    ),
  ];
  /** A matrix and a vector: each row of sums takes every fourth k, so that no sum waits for the one before. */
  const sumOneRow: Code = [
    forEachK(
      4,
      sums.map(([x0, x1]) => [
        spread.set(v128.load32_splat(pa)),
        x0.set(multiplyAdd(target, spread, v128.load(pb), x0)),
        x1.set(multiplyAdd(target, spread, v128.load(pb, 16), x1)),
        pa.set(plus(pa, aColumn)),
        pb.set(plus(pb, bStep)),
      ]),
    ),
    [0, 1].map((x) =>
      sums[0][x].set(f32x4.add(f32x4.add(sums[0][x], sums[1][x]), f32x4.add(sums[2][x], sums[3][x]))),
    ),
    forEachK(1, [
      spread.set(v128.load32_splat(pa)),
      [0, 1].map((x) => sums[0][x].set(multiplyAdd(target, spread, v128.load(pb, 16 * x), sums[0][x]))),
      pa.set(plus(pa, aColumn)),
      pb.set(plus(pb, bStep)),
    ]),
  ];

  const storeSums = (value: (sum: Code, at: number) => Code): Code => [
    from.set(to),
    sums.map((row) => [
      row.map((sum, x) => v128.store(from, value(sum, 16 * x), 16 * x)),
      from.set(plus(from, outRow)),
    ]),
  ];
  /** Where a tile reaches over an edge it is written to scratch, and from there what exists goes to its place. */
  const edge = plus(scratch, i32.const(BLOCK_BYTES));
  const storeEdge: Code = [
    from.set(edge),
    sums.flat().map((sum, at) => v128.store(from, sum, 16 * at)),
    loop(r, i32.const(0), atMost(left, i32.sub(rows, i), ROWS), i32.const(1), [
      loop(c, i32.const(0), times(atMost(left, i32.sub(n, j), COLUMNS), F32), i32.const(F32), [
        f32.store(
          plus(to, c),
          f32.add(f32.load(plus(from, c)), select(f32.load(plus(to, c)), f32.const(0), adding)),
        ),
      ]),
      from.set(plus(from, i32.const(COLUMNS * F32))),
      to.set(plus(to, outRow)),
    ]),
  ];
  const whole = i32.and(
    i32.ge_u(i32.sub(rows, i), i32.const(ROWS)),
    i32.ge_u(i32.sub(n, j), i32.const(COLUMNS)),
  );
  const store: Code = [
    spread.set(f32x4.splat(scale)),
    sums.flat().map((sum) => sum.set(f32x4.mul(sum, spread))),
    to.set(plus(plus(out, i32.mul(plus(row0, i), outRow)), times(j, F32))),
    when(
      whole,
      when(adding, storeSums((sum, at) => f32x4.add(v128.load(from, at), sum)), storeSums((sum) => sum)),
      storeEdge,
    ),
  ]; // prettier-ignore

  /** All tiles of the block; `aTile` is where A's part for row i begins. */
  const tiles = (aTile: Code, sum: Code): Code => [
    bTile.set(plus(b, i32.mul(k0, bStep))),
    loop(j, i32.const(0), n, i32.const(COLUMNS), [
      loop(i, i32.const(0), rows, i32.const(ROWS), [
        sums.flat().map((x) => x.set(f32x4.const(0))),
        pa.set(aTile),
        pb.set(bTile),
        left.set(depth),
        sum,
        store,
      ]),
      bTile.set(plus(bTile, bPanel)),
    ]),
  ];
  const inPlace = plus(aBlock, i32.mul(i, aRow));
  const packed = plus(scratch, i32.mul(times(i, F32), depth));
  const packBlock = loop(i, i32.const(0), rows, i32.const(ROWS), [
    call(packA, inPlace, aColumn, aRow, depth, atMost(left, i32.sub(rows, i), ROWS), packed),
  ]);
  const narrow = i32.le_u(n, i32.const(NARROW));
  const unit = (step: Code): Code => i32.eq(step, i32.const(F32));

  f.body = loop(row0, i32.const(0), m, i32.const(BLOCK_ROWS), [
    rows.set(atMost(left, i32.sub(m, row0), BLOCK_ROWS)),
    loop(k0, i32.const(0), k, i32.const(DEPTH), [
      depth.set(atMost(left, i32.sub(k, k0), DEPTH)),
      adding.set(i32.or(accumulate, k0)),
      aBlock.set(plus(plus(a, i32.mul(row0, aRow)), i32.mul(k0, aColumn))),
      when(
        i32.eq(m, i32.const(1)),
        tiles(inPlace, sumOneRow),
        when(
          i32.and(narrow, unit(aColumn)),
          tiles(inPlace, sumRows),
          when(
            i32.and(narrow, unit(aRow)),
            tiles(inPlace, sumColumns(aColumn)),
            [packBlock, tiles(packed, sumColumns(i32.const(ROWS * F32)))],
          ),
        ),
      ),
    ]),
  ]); // prettier-ignore
  return { multiply: f, packB, functions: [f, packA, packB] };
}
