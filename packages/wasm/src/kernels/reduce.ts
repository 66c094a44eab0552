/**
 * Sums and maxima. Along rows, lanes and four vectors of sums run side by side over blocks of 1,024 elements, and each
 * block's sum joins the total: rounding errors grow with a block's length, not with the row's. Across rows, neighbouring
 * results are summed together, 64 rows at a time. The order is fixed by the shape.
 */
import { bytesOf, type DType } from '@bax/core';
import {
  type Code,
  f32,
  f32x4,
  f64,
  f64x2,
  i32,
  i32x4,
  loop,
  repeatWhile,
  shuffle32,
  v128,
  when,
} from '../assembler/index.ts';
import { whileAtLeast } from './integers.ts';
import { defineKernel, type Kernel } from './kernel.ts';
import { lanes as lanesOf, vectors } from './lanes.ts';
import { acrossLanes } from './rows.ts';
import { Scope } from './scope.ts';

export type ReduceOp = 'sum' | 'max';
const BLOCK = 1024;
const CHAIN = 64;
const CHAINS = 4;

const start = (op: ReduceOp, type: DType): number =>
  op === 'sum' ? 0 : type === 'i32' ? -(2 ** 31) : -Infinity;

/** sum or max of two vectors. */
function joiner(op: ReduceOp, type: DType): (a: Code, b: Code) => Code {
  if (op === 'sum') return vectors[type].add;
  return type === 'i32' ? i32x4.max_s : vectors[type].max;
}
/** The two halves of v exchanged. */
const swapHalves = (v: Code): Code => shuffle32(v, v, [2, 3, 0, 1]);

/** Rows of `length` elements side by side, `row` bytes apart, to results `to` bytes apart. Units: rows. */
function alongKernel(op: ReduceOp, type: DType): Kernel {
  const size = bytesOf(type);
  const lanes = lanesOf[type];
  return defineKernel(
    `${op} along ${type}`,
    { x: 'i32', row: 'i32', length: 'i32', out: 'i32', outStep: 'i32' },
    ({ target, f, args, from: unit, to }) => {
      const s = new Scope(f, target);
      const join = joiner(op, type);
      const [p, left, block] = f.locals('p', 'left', 'block');
      const [total, last] = [s.temp(), s.temp()];
      const sums = Array.from({ length: CHAINS }, () => s.temp());
      const zero = s[type](start(op, type));
      const vector = lanes.width * size;
      const index = type === 'f64' ? [i32x4.consts(0, 0, 1, 1)] : [i32x4.consts(0, 1, 2, 3)];
      const result = type === 'f64' ? join(total, swapHalves(total)) : acrossLanes(s, join, total);
      const body = loop(unit, unit, to, i32.const(1), [
        p.set(i32.add(args.x, i32.mul(unit, args.row))),
        total.set(zero),
        left.set(args.length),
        // Whole blocks and what is left of one: CHAINS vectors at a time, then one, then some lanes of one.
        when(
          left,
          repeatWhile(
            [
              sums.map((v) => v.set(zero)),
              block.set(left),
              when(i32.lt_u(i32.const(BLOCK), block), block.set(i32.const(BLOCK))),
              left.set(i32.sub(left, block)),
              whileAtLeast(block, lanes.width * CHAINS, [
                sums.map((v, i) => v.set(join(v, v128.load(p, i * vector)))),
                p.set(i32.add(p, i32.const(vector * CHAINS))),
              ]),
              whileAtLeast(block, lanes.width, [
                sums[0].set(join(sums[0], v128.load(p))),
                p.set(i32.add(p, i32.const(vector))),
              ]),
              when(block, [
                last.set(v128.load(p)),
                sums[1].set(join(sums[1], v128.bitselect(last, zero, i32x4.lt_s(index, i32x4.splat(block))))),
              ]),
              total.set(join(total, join(join(sums[0], sums[1]), join(sums[2], sums[3])))),
            ],
            left,
          ),
        ),
        storeLane(type, i32.add(args.out, i32.mul(unit, args.outStep)), result),
      ]);
      return [s.before, body];
    },
  );
}

const storeLane = (type: DType, address: Code, v: Code): Code =>
  type === 'f64'
    ? f64.store(address, f64x2.extract_lane(v, 0))
    : type === 'f32'
      ? f32.store(address, f32x4.extract_lane(v, 0))
      : i32.store(address, i32x4.extract_lane(v, 0));

/**
 * `rows` rows of `columns` elements side by side, `row` bytes apart, to one row of results. Units: groups of as many
 * results as a vector holds, four vectors a group.
 */
function acrossKernel(op: ReduceOp, type: DType): Kernel {
  const size = bytesOf(type);
  const lanes = lanesOf[type];
  return defineKernel(
    `${op} across ${type}`,
    { x: 'i32', row: 'i32', rows: 'i32', columns: 'i32', out: 'i32' },
    ({ target, f, args, from: unit, to }) => {
      const s = new Scope(f, target);
      const join = joiner(op, type);
      const [p, q, i, end, left] = f.locals('p', 'q', 'i', 'end', 'left');
      const [totals, parts] = [0, 1].map(() => Array.from({ length: CHAINS }, () => s.temp()));
      const zero = s[type](start(op, type));
      const vector = lanes.width * size;
      const group = lanes.width * CHAINS;
      const body = loop(unit, unit, to, i32.const(1), [
        p.set(i32.add(args.x, i32.mul(unit, i32.const(group * size)))),
        totals.map((v) => v.set(zero)),
        i.set(i32.const(0)),
        when(
          args.rows,
          repeatWhile(
            [
              parts.map((v) => v.set(zero)),
              end.set(i32.add(i, i32.const(CHAIN))),
              when(i32.lt_u(args.rows, end), end.set(args.rows)),
              repeatWhile(
                [parts.map((v, j) => v.set(join(v, v128.load(p, j * vector)))), p.set(i32.add(p, args.row))],
                i32.lt_u(i.tee(i32.add(i, i32.const(1))), end),
              ),
              totals.map((v, j) => v.set(join(v, parts[j]))),
            ],
            i32.lt_u(i, args.rows),
          ),
        ),
        q.set(i32.add(args.out, i32.mul(unit, i32.const(group * size)))),
        left.set(i32.sub(args.columns, i32.mul(unit, i32.const(group)))),
        totals.map((v, j) =>
          when(i32.gt_s(left, i32.const(j * lanes.width)), [
            end.set(i32.sub(left, i32.const(j * lanes.width))),
            when(
              i32.ge_u(end, i32.const(lanes.width)),
              v128.store(q, v, j * vector),
              lanes.scatter(s, i32.add(q, i32.const(j * vector)), v, type, i32.const(size), end),
            ),
          ]),
        ),
      ]);
      return [s.before, body];
    },
  );
}

type Kernels = Readonly<Record<ReduceOp, Readonly<Record<DType, Kernel>>>>;
const each = (make: (op: ReduceOp, type: DType) => Kernel): Kernels => ({
  sum: { f32: make('sum', 'f32'), f64: make('sum', 'f64'), i32: make('sum', 'i32') },
  max: { f32: make('max', 'f32'), f64: make('max', 'f64'), i32: make('max', 'i32') },
});
export const alongKernels: Kernels = each(alongKernel);
export const acrossKernels: Kernels = each(acrossKernel);
/** Results of a unit of `acrossKernels`. */
export const acrossGroup = (type: DType): number => lanesOf[type].width * CHAINS;
