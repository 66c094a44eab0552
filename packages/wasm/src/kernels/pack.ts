/**
 * The order in which `gemm.ts` reads matrices: panels of 4 rows of A or 8 columns of B, [k][4] or [k][8], zero where the
 * matrix ends.
 */
import {
  block,
  branch,
  call,
  type Code,
  f32,
  f32x4,
  Func,
  i32,
  type Local,
  loop,
  repeatWhile,
  select,
  shuffle32,
  v128,
  when,
} from '../assembler/index.ts';
import { plus, times } from './integers.ts';
import { defineKernel, type Kernel } from './kernel.ts';

/** A tile's rows and columns. */
export const ROWS = 4;
export const COLUMNS = 8;
export const F32 = 4;

/**
 * pack(source, depthStep, laneStep, depth, lanes, to): to[k][lane] = source[k · depthStep + lane · laneStep], of `width`
 * lanes, zero from `lanes` on. Steps in bytes. Vectors are copied where the lanes lie side by side, and transposed four
 * by four where the depth does.
 */
export function packFunction(width: number): Func {
  const f = new Func(`pack${width}`);
  const [source, depthStep, laneStep] = f.parameters('source', 'depthStep', 'laneStep');
  const [depth, lanes, to] = f.parameters('depth', 'lanes', 'to');
  const [k, lane, from] = f.locals('k', 'lane', 'from');
  const rows = [0, 1, 2, 3].map((i) => f.local(`row${i}`, 'v128'));
  const [ab, cd] = f.vectors('ab', 'cd');
  const groups = Array.from({ length: width / 4 }, (_, g) => g);
  const rowBytes = width * F32;

  const copy = loop(k, i32.const(0), depth, i32.const(1), [
    groups.map((g) => v128.store(to, v128.load(source, 16 * g), 16 * g)),
    source.set(i32.add(source, depthStep)),
    to.set(i32.add(to, i32.const(rowBytes))),
  ]);
  const transpose4 = (g: number): Code => [
    from.set(i32.add(source, times(laneStep, 4 * g))),
    rows.map((row) => [row.set(v128.load(from)), from.set(i32.add(from, laneStep))]),
    [0, 2].map((half) => [
      ab.set(shuffle32(rows[0], rows[1], [half, half + 4, half + 1, half + 5])),
      cd.set(shuffle32(rows[2], rows[3], [half, half + 4, half + 1, half + 5])),
      v128.store(to, shuffle32(ab, cd, [0, 1, 4, 5]), rowBytes * half + 16 * g),
      v128.store(to, shuffle32(ab, cd, [2, 3, 6, 7]), rowBytes * (half + 1) + 16 * g),
    ]),
  ];
  const transpose = loop(k, i32.const(4), i32.add(depth, i32.const(1)), i32.const(4), [
    groups.map(transpose4),
    source.set(i32.add(source, i32.const(16))),
    to.set(i32.add(to, i32.const(4 * rowBytes))),
  ]);
  /** What the others leave: edges, and strides in both directions. Goes on from `k`. */
  const oneByOne = when(
    i32.lt_s(k, depth),
    repeatWhile(
      [
        groups.map((g) => v128.store(to, f32x4.const(0), 16 * g)),
        from.set(source),
        loop(lane, i32.const(0), lanes, i32.const(1), [
          f32.store(i32.add(to, times(lane, F32)), f32.load(from)),
          from.set(i32.add(from, laneStep)),
        ]),
        source.set(i32.add(source, depthStep)),
        to.set(i32.add(to, i32.const(rowBytes))),
      ],
      i32.lt_s(k.tee(i32.add(k, i32.const(1))), depth),
    ),
  );
  f.body = block((done) => [
    when(i32.eq(lanes, i32.const(width)), [
      when(i32.eq(laneStep, i32.const(F32)), [copy, branch(done)]),
      when(i32.eq(depthStep, i32.const(F32)), [transpose, k.set(i32.sub(k, i32.const(4)))]),
    ]),
    oneByOne,
  ]);
  return f;
}

/** Packs the panel of B [k, n] that begins at column j. */
const packPanel = (packB: Func, b: Code, bRow: Code, bColumn: Code, k: Code, n: Code, to: Code, j: Local): Code =>
  call(
    packB,
    plus(b, times(j, bColumn)), bRow, bColumn, k,
    select(i32.sub(n, j), i32.const(COLUMNS), i32.lt_u(i32.sub(n, j), i32.const(COLUMNS))),
    plus(to, i32.mul(i32.mul(j, k), i32.const(F32))),
  ); // prettier-ignore
/** Packs all panels of B [k, n]; `j` is a local to count columns in. */
export const packAll = (packB: Func, b: Code, bRow: Code, bColumn: Code, k: Code, n: Code, to: Code, j: Local): Code =>
  loop(j, i32.const(0), n, i32.const(COLUMNS), packPanel(packB, b, bRow, bColumn, k, n, to, j)); // prettier-ignore

/** Packs B [k, n]. Units: panels. */
export const packKernel: Kernel = defineKernel(
  'pack',
  { b: 'i32', bRow: 'i32', bColumn: 'i32', k: 'i32', n: 'i32', packed: 'i32' },
  ({ f, args: x, from: panel, to, use }) => {
    const packB = packFunction(COLUMNS);
    use(packB);
    const j = f.local('j');
    return loop(panel, panel, to, i32.const(1), [
      j.set(i32.mul(panel, i32.const(COLUMNS))),
      packPanel(packB, x.b, x.bRow, x.bColumn, x.k, x.n, x.packed, j),
    ]);
  },
);
