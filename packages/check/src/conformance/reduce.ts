import type { DType } from '@bax/core';
import fc from 'fast-check';
import { gamma } from '../bounds.ts';
import type { Check } from '../run.ts';
import { type Block, check, type Lab, set } from './lab.ts';
import { ints, reals, round, roundoffOf } from './numbers.ts';
import { EDGES, indices, places, plain, shapes, spaced, type Strided, strided } from './strided.ts';

type ReduceOp = 'sum' | 'max';

/** What `out` must hold: each element of x joins its result, one after the other; Kahan's sum, so that the oracle is exact. */
function fold(lab: Lab, op: ReduceOp, x: Block, out: Block, real: boolean): void {
  const type = out.view.buffer.type as DType;
  const targets = places(out.at);
  for (const p of targets) out.data[p] = op === 'sum' ? 0 : -Infinity;
  const [lost, size] = [new Float64Array(out.at.length), new Float64Array(out.at.length)];
  const from = places(x.at);
  const strides = out.at.strides.map((stride, axis) => (out.at.shape[axis] === 1 ? 0 : stride));
  const to = places({ ...out.at, shape: x.at.shape, strides });
  for (let e = 0; e < from.length; e++) {
    const p = to[e];
    const [v, sum] = [x.data[from[e]], out.data[p]];
    if (op === 'max') out.data[p] = Math.max(sum, v);
    else if (type === 'i32') out.data[p] = (sum + v) | 0;
    else {
      const y = v - lost[p];
      const next = sum + y;
      out.data[p] = next;
      lost[p] = Number.isFinite(next) ? next - sum - y : 0;
      size[p] += Math.abs(v);
    }
  }
  const n = from.length / Math.max(1, targets.length);
  const bound = real && op === 'sum' ? gamma(n + 1, roundoffOf(type, lab.u)) : 0;
  for (const p of targets) set(out, p, round[type](out.data[p]), bound * size[p]);
}

interface Case {
  readonly op: ReduceOp;
  readonly type: DType;
  readonly x: Strided;
  readonly out: Strided;
}
async function run(lab: Lab, { op, type, x, out }: Case, value = ints(1), real = false): Promise<void> {
  await runOn(lab, lab.input('x', x, type, value), op, out, real);
}
async function runOn(lab: Lab, x: Block, op: ReduceOp, out: Strided, real = false): Promise<void> {
  const result = lab.output(op, out, x.view.buffer.type as DType);
  fold(lab, op, x, result, real);
  lab.backend.reduce(op, x.view, result.view);
  await lab.expect(x, result);
}

const without = (shape: readonly number[], axes: readonly boolean[]): number[] =>
  shape.map((n, axis) => (axes[axis] ? 1 : n));
const cases = (lab: Lab, shape: fc.Arbitrary<number[]>): fc.Arbitrary<Case> =>
  fc.tuple(shape, fc.array(fc.boolean(), { minLength: 4, maxLength: 4 })).chain(([dims, axes]) =>
    fc.record({
      op: fc.constantFrom<ReduceOp>('sum', 'max'),
      type: fc.constantFrom(...lab.dtypes),
      x: strided(dims, true),
      out: strided(without(dims, axes)),
    }),
  );

const blocks = fc.constantFrom<number[]>(
  [1023], [1024], [1025], [5000], [3, 1025], [1025, 3], [70, 70], [2, 600, 2], [65, 16], [129, 15], [17, 3, 33], [2, 1100], [1100, 2],
  [4097, 3], [3, 4097], [8193],
); // prettier-ignore

/** Shapes and which of their axes are summed. */
const empty: [number[], number[]][] = [[[0], [1]], [[0, 40], [1, 40]], [[3, 0], [1, 0]], [[2, 0, 3], [2, 1, 3]], [[0, 3], [0, 1]]]; // prettier-ignore

export const reduceChecks: readonly Check[] = [
  check('reduce: any axes of any views, bits on integers (P31)', async (lab) => {
    await lab.forAll(400, cases(lab, shapes(4, 7)), async (x) => run(lab, x));
  }),

  check('reduce: across blocks, any views (P45)', async (lab) => {
    await lab.forAll(120, cases(lab, blocks), async (x) => run(lab, x));
  }),

  check('reduce: every size, clean memory (P45)', async (lab) => {
    await lab.forEach(EDGES, async (n) => {
      for (const type of lab.dtypes) {
        for (const op of ['sum', 'max'] as const) {
          await run(lab, { op, type, x: spaced([n, 3], 1), out: spaced([1, 3], 1) });
          await run(lab, { op, type, x: spaced([3, n], 1), out: spaced([3, 1], 2) });
          await run(lab, { op, type, x: plain([70, n]), out: plain([1, n]) });
          await run(lab, { op, type, x: spaced([2, n], 2), out: plain([2, 1]) });
        }
        lab.freeAll();
      }
    });
  }),

  check('reduce: many results, many terms (P45)', async (lab) => {
    const x = lab.input('x', plain([1450, 1451]), 'f32', ints(1, 3)); // more than 2^21 elements
    // A thread or workgroup that does not know where to end would write behind them.
    await runOn(lab, x, 'sum', spaced([1450, 1], 1, 3, 2000));
    await runOn(lab, x, 'sum', spaced([1, 1451], 1, 3, 2000));
    await runOn(lab, x, 'max', plain([1, 1]));
    lab.freeAll();
    await run(lab, { op: 'sum', type: 'i32', x: plain([70_001, 3]), out: plain([70_001, 1]) });
  }), // prettier-ignore

  check('reduce: an empty sum is 0', async (lab) => {
    for (const type of lab.dtypes)
      await lab.forEach(empty, async ([x, out]) =>
        run(lab, { op: 'sum', type, x: plain(x), out: spaced(out, 1) }),
      );
  }),

  check('reduce: negative maxima, i32 to its ends', async (lab) => {
    const below = (i: number): number => -100 - (i % 37);
    for (const type of lab.dtypes) {
      for (const shape of [[1], [5], [33], [2000]])
        await run(lab, { op: 'max', type, x: plain(shape), out: plain([1]) }, below);
      await run(lab, { op: 'max', type, x: plain([66, 35]), out: plain([1, 35]) }, below);
    }
    await run(lab, { op: 'max', type: 'i32', x: plain([3]), out: plain([1]) }, () => -(2 ** 31));
    for (const n of [2, 3, 5000])
      await run(lab, { op: 'sum', type: 'i32', x: plain([n]), out: plain([1]) }, () => 2 ** 31 - 1);
  }),

  check('reduce: NaN passes, infinities stay', async (lab) => {
    if (!lab.ieee) return;
    const lists = [[1, NaN, 3], [1, Infinity, 3], [-Infinity, -Infinity], [Infinity, -Infinity, 3], [-3, -2, -9]]; // prettier-ignore
    for (const type of lab.having('f32', 'f64')) {
      for (const op of ['sum', 'max'] as const) {
        await lab.forEach(lists, async (list) =>
          run(lab, { op, type, x: plain([list.length]), out: plain([1]) }, (i) => list[i]),
        );
        // One result among others, along and across.
        for (const out of [[1, 20], [30, 1]])
          await run(lab, { op, type, x: plain([30, 20]), out: plain(out) }, (i) => (i === 25 ? NaN : i % 50));
      }
    }
  }), // prettier-ignore

  check('reduce: real sums within γ (P31)', async (lab) => {
    for (const shape of [[7], [1000], [100_003], [317, 100], [33, 3, 65]]) {
      for (const type of lab.having('f32', 'f64')) {
        for (const out of indices(shape.map(() => 2))) {
          const kept = shape.map((n, axis) => (out[axis] ? 1 : n));
          await run(lab, { op: 'sum', type, x: plain(shape), out: plain(kept) }, reals(shape.length), true);
          lab.freeAll();
        }
      }
    }
  }),

  check('reduce: max keeps the very bits (P31)', async (lab) => {
    for (const type of lab.having('f32', 'f64'))
      for (const out of [[1, 41], [300, 1], [1, 1]])
        await run(lab, { op: 'max', type, x: plain([300, 41]), out: plain(out) }, reals(4));
  }), // prettier-ignore
];
