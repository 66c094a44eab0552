/** Rows of a table by their numbers, and the counterpart that adds rows to a table. */
import { bytesOf, type DType } from '@bax/core';
import { i32, loop, memoryCopy, repeatWhile, v128, when } from '../assembler/index.ts';
import { defineKernel, type Kernel } from './kernel.ts';
import { lanes as lanesOf, vectors } from './lanes.ts';
import { Scope } from './scope.ts';

/** out[i] = table[index[i]]: rows of `bytes` side by side. Units: rows of `out`. */
export const gatherKernel: Kernel = defineKernel(
  'gather',
  { table: 'i32', tableRow: 'i32', index: 'i32', out: 'i32', outRow: 'i32', bytes: 'i32' },
  ({ args: x, from: i, to }) => {
    const row = i32.load(i32.add(x.index, i32.mul(i, i32.const(4))));
    return loop(i, i, to, i32.const(1), [
      memoryCopy(i32.add(x.out, i32.mul(i, x.outRow)), i32.add(x.table, i32.mul(row, x.tableRow)), x.bytes),
    ]);
  },
);

/** Columns that a unit of `scatterAddKernels` adds up. */
export const SCATTER_COLUMNS = 64;

/** out[index[i]] += rows[i] for i < count, in the order of i: rows of `length` elements side by side. Units: groups of columns. */
function scatterAddKernel(type: DType): Kernel {
  const lanes = lanesOf[type];
  const { add } = vectors[type];
  const size = bytesOf(type);
  return defineKernel(
    `scatterAdd ${type}`,
    { index: 'i32', count: 'i32', rows: 'i32', row: 'i32', out: 'i32', outRow: 'i32', length: 'i32' },
    ({ target, f, args: x, from: unit, to }) => {
      const s = new Scope(f, target);
      const [i, p, q, left, start] = f.locals('i', 'p', 'q', 'left', 'start');
      const sum = s.temp();
      const whole = i32.const(lanes.width);
      const body = loop(unit, unit, to, i32.const(1), [
        start.set(i32.mul(unit, i32.const(SCATTER_COLUMNS * size))),
        loop(i, i32.const(0), x.count, i32.const(1), [
          p.set(
            i32.add(
              i32.add(x.out, start),
              i32.mul(i32.load(i32.add(x.index, i32.mul(i, i32.const(4)))), x.outRow),
            ),
          ),
          q.set(i32.add(i32.add(x.rows, start), i32.mul(i, x.row))),
          left.set(i32.sub(x.length, i32.mul(unit, i32.const(SCATTER_COLUMNS)))),
          when(i32.lt_u(i32.const(SCATTER_COLUMNS), left), left.set(i32.const(SCATTER_COLUMNS))),
          repeatWhile(
            [
              sum.set(add(v128.load(p), v128.load(q))),
              when(
                i32.ge_u(left, whole),
                v128.store(p, sum),
                lanes.scatter(s, p, sum, type, i32.const(size), left),
              ),
              p.set(i32.add(p, i32.const(lanes.width * size))),
              q.set(i32.add(q, i32.const(lanes.width * size))),
            ],
            i32.gt_s(left.tee(i32.sub(left, whole)), i32.const(0)),
          ),
        ]),
      ]);
      return [s.before, body];
    },
  );
}
export const scatterAddKernels: Readonly<Record<DType, Kernel>> = {
  f32: scatterAddKernel('f32'),
  f64: scatterAddKernel('f64'),
  i32: scatterAddKernel('i32'),
};
