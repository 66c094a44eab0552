/**
 * Products of a few rows with a matrix whose columns lie in one piece (a layer's weight [out, in], as generation uses it):
 * four dot products at a time, with nothing packed, since each element of B is used but once or a few times.
 */
import {
  type Code,
  f32x4,
  i32,
  i32x4,
  type Local,
  loop,
  select,
  shuffle32,
  v128,
  when,
} from '../assembler/index.ts';
import { atMost, plus, times, whileAtLeast } from './integers.ts';
import { defineKernel, type Kernel, multiplyAdd } from './kernel.ts';
import { lanes } from './lanes.ts';
import { F32 } from './pack.ts';
import { Scope } from './scope.ts';

/** Columns of a unit. */
export const DOT_COLUMNS = 32;
const AT_ONCE = 4;

/** out [m, n] = scale · a b (+ out); rows of a and columns of b in one piece, steps in bytes. Units: DOT_COLUMNS columns. */
export const dotKernel: Kernel = defineKernel(
  'dot',
  {
    a: 'i32', aRow: 'i32', b: 'i32', bColumn: 'i32', out: 'i32', outRow: 'i32', m: 'i32', n: 'i32', k: 'i32',
    scale: 'f32', accumulate: 'i32',
  },
  ({ target, f, args: x, from: unit, to }) => {
    const s = new Scope(f, target);
    const [i, j, end, pa, left, columns, at] = f.locals('i', 'j', 'end', 'pa', 'left', 'columns', 'at');
    const pb = f.locals('b0', 'b1', 'b2', 'b3');
    const sums = f.vectors('sum0', 'sum1', 'sum2', 'sum3');
    const [a, mask, result] = f.vectors('va', 'mask', 'result');
    const addProducts = (loaded: (from: Local) => Code): Code => [
      a.set(loaded(pa)),
      sums.map((sum, c) => sum.set(multiplyAdd(target, a, loaded(pb[c]), sum))),
    ];
    const advance = [pa, ...pb].map((p) => p.set(plus(p, i32.const(16))));
    /** Lane c of the result is the sum of the lanes of sums[c]. */
    const pairs = (p: Local, q: Local): Code =>
      f32x4.add(shuffle32(p, q, [0, 4, 1, 5]), shuffle32(p, q, [2, 6, 3, 7]));
    const total = [
      sums[0].set(pairs(sums[0], sums[1])),
      sums[2].set(pairs(sums[2], sums[3])),
      f32x4.add(shuffle32(sums[0], sums[2], [0, 1, 4, 5]), shuffle32(sums[0], sums[2], [2, 3, 6, 7])),
    ];
    const body = loop(unit, unit, to, i32.const(1), [
      end.set(atMost(left, i32.sub(x.n, times(unit, DOT_COLUMNS)), DOT_COLUMNS)),
      end.set(plus(end, times(unit, DOT_COLUMNS))),
      loop(i, i32.const(0), x.m, i32.const(1), [
        loop(j, times(unit, DOT_COLUMNS), end, i32.const(AT_ONCE), [
          columns.set(i32.sub(end, j)),
          pa.set(plus(x.a, times(i, x.aRow))),
          // A column that does not exist repeats the one before.
          pb.map((p, c) =>
            p.set(
              c === 0
                ? plus(x.b, times(j, x.bColumn))
                : select(plus(pb[c - 1], x.bColumn), pb[c - 1], i32.lt_u(i32.const(c), columns)),
            ),
          ),
          sums.map((sum) => sum.set(f32x4.const(0))),
          left.set(x.k),
          whileAtLeast(left, 4, [addProducts((p) => v128.load(p)), advance]),
          when(left, [
            mask.set(i32x4.lt_s(i32x4.consts(0, 1, 2, 3), i32x4.splat(left))),
            addProducts((p) => v128.and(v128.load(p), mask)),
          ]),
          result.set(f32x4.mul(total, f32x4.splat(x.scale))),
          at.set(plus(plus(x.out, times(i, x.outRow)), times(j, F32))),
          when(x.accumulate, result.set(f32x4.add(result, v128.load(at)))),
          when(
            i32.ge_u(columns, i32.const(AT_ONCE)),
            v128.store(at, result),
            lanes.f32.scatter(s, at, result, 'f32', i32.const(F32), columns),
          ),
        ]),
      ]),
    ]);
    return [s.before, body];
  },
); // prettier-ignore
