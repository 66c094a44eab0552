import { type DType, expr, type Expr, type ScalarFn, sizeOf, type Storage } from '@bax/core';
import fc from 'fast-check';
import { CheckError } from '../errors.ts';
import type { Check } from '../run.ts';
import { evaluate, type Values } from './evaluate.ts';
import { type Block, check, type Lab, set } from './lab.ts';
import { decode, ints, intsFor, round } from './numbers.ts';
import { EDGES, places, plain, shapes, spaced, strided } from './strided.ts';

const { abs, add, constant, eq, input, le, lt, max, min, mul, neg, scalar, select, sub } = expr;

/** Stores the values: what no dtype promises (a float beyond i32, a sum that was rounded) is not demanded. */
function store(out: Block, { values, exact }: Values): void {
  const type = out.view.buffer.type as DType;
  const targets = places(out.at);
  for (let e = 0; e < targets.length; e++) {
    const value = values[e];
    const fits = type !== 'i32' || Math.abs(value) < 2 ** 31;
    const stored = type === 'i32' ? Math.trunc(value) : round[type](value);
    const rounded = type !== 'i32' && stored !== value;
    set(out, targets[e], stored, !exact[e] || !fits ? Infinity : rounded ? Math.abs(value) * 2 ** -23 : 0);
  }
}

const scalarsOf = (type: DType): number[] => (type === 'i32' ? [5, -3] : [5, -0.5]);

/** Runs `fn` and compares all outputs, and all inputs that are none. */
async function run(
  lab: Lab,
  fn: ScalarFn,
  inputs: readonly Block[],
  outputs: readonly Block[],
  given = scalarsOf(fn.type),
): Promise<void> {
  const x = inputs.map((block) => {
    const values = lab.values(block);
    return Float64Array.from(places(block.at), (p) => values[p]);
  });
  const results = fn.outputs.map((y) => evaluate(y, fn.type, sizeOf(outputs[0].at.shape), x, given));
  outputs.forEach((out, i) => store(out, results[i]));
  lab.backend.map(fn, inputs.map((x) => x.view), outputs.map((y) => y.view), given.slice(0, fn.scalars)); // prettier-ignore
  await lab.expect(...inputs, ...outputs);
}

/** A formula that a counterexample shows in words. */
interface Formula {
  readonly y: Expr;
}
/** Over two inputs and two scalars, with shared parts. */
const { e: expressions } = fc.letrec<{ e: Expr }>((tie) => ({
  e: fc.oneof(
    { maxDepth: 4, depthSize: 'large' },
    fc.constantFrom(input(0), input(1), scalar(0), scalar(1), constant(3), constant(-2)),
    fc
      .tuple(fc.constantFrom(add, sub, mul, min, max, lt, le, eq), tie('e'), tie('e'))
      .map(([f, a, b]) => f(a, b)),
    fc.tuple(fc.constantFrom(neg, abs, expr.floor), tie('e')).map(([f, a]) => f(a)),
    fc.tuple(tie('e'), tie('e'), tie('e')).map(([a, b, c]) => select(a, b, c)),
    tie('e').map((a) => add(mul(a, a), a)),
  ),
}));
const formulas: fc.Arbitrary<Formula> = expressions.map((y) => ({ y, toString: () => expr.show(y) }));
const functionOf = (type: DType, formulas: readonly Formula[]): ScalarFn =>
  expr.scalarFn(
    type,
    2,
    2,
    formulas.map(({ y }) => y),
  );

/** Small shapes, and some longer than a vector, a block of elements and a workgroup. */
const sizes = fc.oneof(
  { arbitrary: shapes(4, 5, 0), weight: 4 },
  {
    arbitrary: fc.constantFrom<number[]>(
      [1023], [1025], [2049], [3, 683], [683, 3], [2, 1, 1040], [1040, 2], [5, 33, 7], [2, 3, 4, 50], [9000], [4097, 2],
    ),
    weight: 1,
  },
); // prettier-ignore

/** Elements after a large result that nobody may write: more than a thread or workgroup does at once. */
const BEYOND = 50_000;

const copy = (type: DType): ScalarFn => expr.scalarFn(type, 1, 0, [input(0)]);

/** Bit patterns of each narrow type: every kind of number it has. */
const patterns: [Storage, number[]][] = [
  ['f16', [0x3c00, 0x8000, 0xc248, 0x0001, 0x83ff, 0x0400, 0x7bff, 0xfbff]],
  ['bf16', [0x3f80, 0x8000, 0xc049, 0x0080, 0x7f7f, 0xff7f]],
  ['u8', [0, 7, 128, 255]],
  ['u32', [0, 7, 2 ** 24]],
];

export const mapChecks: readonly Check[] = [
  check('map: any formula on any views, bits on integers (P31)', async (lab) => {
    const dtype = fc.constantFrom(...lab.dtypes);
    const cases = sizes.chain((shape) =>
      fc.record({
        type: dtype,
        ys: fc.array(formulas, { minLength: 1, maxLength: 3 }),
        xs: fc.tuple(strided(shape, true), strided(shape, true)),
        outs: fc.array(strided(shape), { minLength: 3, maxLength: 3 }),
        read: fc.array(fc.constantFrom<Storage>(...lab.dtypes, ...lab.dtypes, 'f16', 'bf16', 'u8', 'u32'), { minLength: 2, maxLength: 2 }),
        written: fc.array(dtype, { minLength: 3, maxLength: 3 }),
      }),
    ); // prettier-ignore
    await lab.forAll(250, cases, async ({ type, ys, xs, outs, read, written }) => {
      const narrow = (t: Storage): Storage => (type === 'i32' && (t === 'f16' || t === 'bf16') ? 'u8' : t);
      const inputs = xs.map((x, i) => lab.input(`x${i}`, x, narrow(read[i]), intsFor(narrow(read[i]), i)));
      const outputs = ys.map((_, i) => lab.output(`y${i}`, outs[i], i === 0 ? type : written[i]));
      await run(lab, functionOf(type, ys), inputs, outputs);
    });
  }),

  check('map: in place, on some or all of its inputs (P31)', async (lab) => {
    const cases = sizes.chain((shape) =>
      fc.record({
        type: fc.constantFrom(...lab.dtypes),
        ys: fc.array(formulas, { minLength: 1, maxLength: 2 }),
        xs: fc.tuple(strided(shape), strided(shape)),
        swap: fc.boolean(),
      }),
    );
    await lab.forAll(120, cases, async ({ type, ys, xs, swap }) => {
      const inputs = xs.map((x, i) => lab.output(`x${i}`, x, type, ints(i)));
      const outputs = (swap ? [inputs[1], inputs[0]] : inputs).slice(0, ys.length);
      await run(lab, functionOf(type, ys), inputs, outputs);
    });
  }),

  check('map: every size, clean memory (P45)', async (lab) => {
    const fn = (type: DType): ScalarFn =>
      expr.scalarFn(type, 2, 1, [add(mul(input(0), scalar(0)), input(1))]);
    await lab.forEach(
      [0, ...EDGES, 255, 257, 511, 513, 1023, 1024, 1025, 4095, 4096, 4097, 8192, 8193],
      async (n) => {
        for (const type of lab.dtypes) {
          for (const [x, y, z] of [
          [plain([n]), plain([n]), plain([n])],
          [spaced([n], 1), spaced([n], 2), spaced([n], 1, 1, 0)],
          [spaced([n], 3), plain([n]), spaced([n], 2)],
        ])
          await run(lab, fn(type), [lab.input('x', x, type, ints(1)), lab.input('y', y, type, ints(2))], [lab.output('z', z, type)]); // prettier-ignore
          lab.freeAll();
        }
      },
    );
  }),

  check('map: more elements than one dispatch has threads, or than one thread does (P45)', async (lab) => {
    const fn = expr.scalarFn('f32', 1, 0, [mul(add(input(0), 3), 2)]);
    const { backend } = lab;
    // The last is broadcast from one element: more than 65,535 workgroups of 256.
    for (const [n, stride] of [
      [2 ** 21 + 1, 1],
      [65_535 * 64 + 5, 1],
      [65_535 * 256 + 7, 0],
    ]) {
      const host = new Uint8Array(stride ? n : 1);
      for (let i = 0; i < host.length; i++) host[i] = i ^ (i >> 7);
      const [x, y] = [backend.alloc(host.length, 'u8'), backend.alloc(n + BEYOND, 'f32')];
      backend.write(x, host);
      backend.write(y, new Float32Array(BEYOND).fill(-1), n);
      backend.map(fn, [{ ...plain([n]), strides: [stride], buffer: x }], [{ ...plain([n]), buffer: y }], []);
      backend.free(x);
      const got = (await backend.read(y)) as Float32Array;
      backend.free(y);
      for (let i = 0; i < got.length; i++) {
        const expected = i < n ? 2 * (host[i * stride] + 3) : -1;
        if (got[i] !== expected)
          throw new CheckError(`element ${i} of ${n} is ${got[i]}, expected ${expected}`);
      }
    }
  }),

  check('map: a formula with very many constants', async (lab) => {
    await lab.forEach([62, 63, 64, 65, 130], async (count) => {
      const terms = Array.from({ length: count }, (_, i) => mul(input(0), i + 2));
      const sum = terms.reduce((a, b) => add(b, a));
      for (const type of lab.dtypes) {
        const x = lab.output('x', plain([type === 'f32' ? 2100 : 70]), type, ints(1));
        await run(lab, expr.scalarFn(type, 1, 0, [sum]), [x], [x]);
      }
    });
  }),

  check('map: exchanges two tensors: an output does not disturb what another still reads', async (lab) => {
    await lab.forEach([[1400], [1200, 2]], async (shape) => {
      const [a, b] = [
        lab.output('a', plain(shape), 'f32', ints(1)),
        lab.output('b', plain(shape), 'f32', ints(2)),
      ];
      await run(lab, expr.scalarFn('f32', 2, 0, [input(1), input(0)]), [a, b], [a, b]);
      await run(lab, expr.scalarFn('f32', 2, 0, [add(input(0), input(1)), mul(input(0), 2)]), [a, b], [a, b]);
    });
  }),

  check('map: updates several windows of one buffer, as an optimiser does', async (lab) => {
    await lab.forEach([1, 5, 64, 1000], async (n) => {
      const all = lab.output('parameters', plain([3 * n + 7]), 'f32', ints(4));
      const window = (name: string, i: number): Block =>
        lab.window(all, name, { shape: [n], strides: [1], offset: i * n + i });
      const [w, m, g] = ['w', 'm', 'g'].map(window);
      const next = add(mul(input(1), 2), input(2));
      await run(
        lab,
        expr.scalarFn('f32', 3, 1, [sub(input(0), mul(scalar(0), next)), next]),
        [w, m, g],
        [w, m],
        [3],
      );
    });
  }),

  check('map: copies and converts', async (lab) => {
    const numbers = [1.9, -1.9, 2 ** 24 + 1, -0.5, 0.1, -(2 ** 20) - 0.75, 0];
    for (const from of lab.having('f64', 'f32')) {
      for (const compute of lab.having('f64', 'f32')) {
        for (const to of lab.dtypes) {
          const x = lab.input('x', plain([numbers.length]), from, (i) => numbers[i]);
          const out = lab.output('out', plain([numbers.length]), to);
          numbers.forEach((v, i) => set(out, i, round[to](round[compute](round[from](v)))));
          lab.backend.map(copy(compute), [x.view], [out.view], []);
          await lab.expect(x, out);
        }
      }
    }
  }),

  check('map: reads f16, bf16, u8 and u32', async (lab) => {
    await lab.forEach(patterns, async ([type, raw]) => {
      for (const to of type === 'u8' || type === 'u32' ? lab.dtypes : lab.having('f32', 'f64')) {
        for (const step of [0, 1, 2]) {
          const at = step === 0 ? { ...plain([9]), strides: [0] } : spaced([4 * raw.length + 1], step);
          const x = lab.raw('x', at, type, (i) => raw[i % raw.length], () => 1); // prettier-ignore
          const out = lab.output('out', spaced(at.shape, 1), to);
          const target = places(out.at);
          places(at).forEach((p, e) => set(out, target[e], round[to](2 * decode(type, x.data[p]))));
          lab.backend.map(expr.scalarFn(to, 1, 0, [add(input(0), input(0))]), [x.view], [out.view], []);
          await lab.expect(x, out);
        }
      }
    });
  }),

  check('map: i32 wraps and shifts', async (lab) => {
    const x = lab.input('x', plain([7]), 'i32', (i) => [2 ** 31 - 1, -1, 0, 1, -(2 ** 31) + 1, 12345, -54321][i]);
    for (const y of [add(input(0), 1), mul(input(0), input(0)), expr.ushr(input(0), 8), neg(input(0)), sub(-3, input(0))])
      await run(lab, expr.scalarFn('i32', 1, 0, [y]), [x], [lab.output('y', plain([7]), 'i32')]);
  }), // prettier-ignore

  check('map: NaN passes min, max and select; infinities stay', async (lab) => {
    if (!lab.ieee) return;
    const specials = [NaN, 1, -Infinity, Infinity, -2];
    const shape = [specials.length, specials.length];
    for (const type of lab.having('f32', 'f64')) {
      const x = lab.input('x', plain(shape), type, (i) => specials[i % 5]);
      const y = lab.input('y', plain(shape), type, (i) => specials[Math.floor(i / 5)]);
      const cases: [Expr, (a: number, b: number) => number][] = [
        [min(input(0), input(1)), (a, b) => Math.min(a, b)],
        [max(input(0), input(1)), (a, b) => Math.max(a, b)],
        [select(lt(input(0), input(1)), 1, 0), (a, b) => (a < b ? 1 : 0)],
        [select(eq(input(0), input(0)), input(1), 5), (a, b) => (a === a ? b : 5)],
        [add(input(0), input(1)), (a, b) => a + b],
      ];
      for (const half of ['f16', 'bf16'] as const) {
        const nan = lab.raw('x', plain([1]), half, () => 0x7fe0, () => 0); // prettier-ignore
        const out = lab.output('-NaN', plain([1]), type, () => 9);
        set(out, 0, NaN);
        lab.backend.map(expr.scalarFn(type, 1, 0, [neg(input(0))]), [nan.view], [out.view], []);
        await lab.expect(out);
      }
      for (const [e, f] of cases) {
        const out = lab.output('out', plain(shape), type, () => 9);
        out.data.forEach((_, i) => set(out, i, f(x.data[i], y.data[i])));
        lab.backend.map(expr.scalarFn(type, 2, 0, [e]), [x.view, y.view], [out.view], []);
        await lab.expect(out);
      }
    }
  }),
];
