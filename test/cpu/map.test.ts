import { expr } from '@bax/core';
import type { DType, Expr, ScalarFn, Storage, View } from '@bax/core';
import { cpu } from '@bax/cpu';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { bits, from, hostOf, indices, ints, layouts, make, place, plain, shapes, valuesOf } from './views.ts';

const { add, mul, sub, neg, abs, min, max, lt, le, eq, select, input, scalar, constant } = expr;

const round: Record<DType, (x: number) => number> = {
  f32: Math.fround,
  f64: (x) => x,
  i32: (x) => x | 0,
};

/** One element, straight from the definition: every node rounded to the compute type. */
function evaluate(y: Expr, type: DType, x: readonly number[], s: readonly number[]): number {
  if (y.kind === 'const') return round[type](y.value);
  if (y.kind === 'scalar') return round[type](s[y.index]);
  if (y.kind === 'input') return round[type](x[y.index]);
  const [a, b, c] = y.args.map((arg) => evaluate(arg, type, x, s));
  const value: Partial<Record<expr.Fn, () => number>> = {
    add: () => a + b,
    sub: () => a - b,
    mul: () => (type === 'i32' ? Math.imul(a, b) : a * b),
    neg: () => -a,
    abs: () => Math.abs(a),
    floor: () => Math.floor(a),
    min: () => Math.min(a, b),
    max: () => Math.max(a, b),
    lt: () => Number(a < b),
    le: () => Number(a <= b),
    eq: () => Number(a === b),
    select: () => (a !== 0 ? b : c),
  };
  return round[type](value[y.fn]!());
}

/** Formulas over two inputs and two scalars, with shared parts. */
const formulas: fc.Arbitrary<Expr> = fc.letrec<{ e: Expr }>((tie) => ({
  e: fc.oneof(
    { maxDepth: 5, depthSize: 'large' },
    fc.constantFrom(input(0), input(1), scalar(0), scalar(1), constant(3), constant(-2)),
    fc
      .tuple(fc.constantFrom(add, sub, mul, min, max, lt, le, eq), tie('e'), tie('e'))
      .map(([f, a, b]) => f(a, b)),
    fc.tuple(fc.constantFrom(neg, abs, expr.floor), tie('e')).map(([f, a]) => f(a)),
    fc.tuple(tie('e'), tie('e'), tie('e')).map(([a, b, c]) => select(a, b, c)),
    tie('e').map((a) => add(mul(a, a), a)),
  ),
})).e;

/** Shapes within a block, across its edges, and of short rows. */
const sizes = fc.oneof(
  { arbitrary: shapes(4, 5, 0), weight: 4 },
  {
    arbitrary: fc.constantFrom<number[]>(
      [1023],
      [1024],
      [1025],
      [2049],
      [3, 683],
      [683, 3],
      [2, 1, 1040],
      [1040, 2],
      [5, 33, 7],
      [2, 3, 4, 50],
    ),
    weight: 1,
  },
);

const dtype = fc.constantFrom<DType>('f32', 'f64', 'i32');
const scalars = [5, -0.5];

function check(
  fn: ScalarFn,
  inputs: View[],
  outputs: View[],
  backend = cpu(),
  given: number[] = scalars,
): void {
  const before = inputs.map((view) => valuesOf(backend, view));
  const gaps = outputs.map((view) => Array.from(hostOf(backend, view)));
  backend.map(fn, inputs, outputs, given);
  outputs.forEach((view, i) => {
    const type = view.buffer.type as DType;
    const at = [...indices(view.shape)];
    const expected = at.map((_, e) => {
      const value = evaluate(
        fn.outputs[i],
        fn.type,
        before.map((x) => x[e]),
        given,
      );
      return round[type](value);
    });
    expect(bits(valuesOf(backend, view))).toEqual(bits(expected));
    // Nothing else in the buffer has changed, unless another output lies there.
    if (outputs.filter((other) => other.buffer === view.buffer).length > 1) return;
    const now = Array.from(hostOf(backend, view));
    for (const index of at) now[place(view, index)] = gaps[i][place(view, index)] = 0;
    expect(now).toEqual(gaps[i]);
  });
}

describe('map', () => {
  it('computes any formula on any views, rounding every node', () => {
    const cases = sizes.chain((shape) =>
      fc.record({
        type: dtype,
        ys: fc.array(formulas, { minLength: 1, maxLength: 3 }),
        xs: fc.tuple(layouts(shape, true), layouts(shape, true)),
        outs: fc.array(layouts(shape), { minLength: 3, maxLength: 3 }),
        stored: fc.array(dtype, { minLength: 3, maxLength: 3 }),
      }),
    );
    const run = fc.property(cases, ({ type, ys, xs, outs, stored }) => {
      const backend = cpu();
      const fn = expr.scalarFn(type, 2, 2, ys);
      const inputs = xs.map((x, i) => make(backend, x, stored[i], ints(i)));
      const outputs = ys.map((_, i) => make(backend, outs[i], i === 0 ? type : stored[i], () => 9));
      check(fn, inputs, outputs, backend);
    });
    fc.assert(run, { numRuns: 500 });
  });

  it('works in place, on some or all of its inputs', () => {
    const cases = sizes.chain((shape) =>
      fc.record({
        type: dtype,
        ys: fc.array(formulas, { minLength: 1, maxLength: 2 }),
        xs: fc.tuple(layouts(shape), layouts(shape)),
        swap: fc.boolean(),
      }),
    );
    const run = fc.property(cases, ({ type, ys, xs, swap }) => {
      const backend = cpu();
      const inputs = xs.map((x, i) => make(backend, x, type, ints(i)));
      const outputs = (swap ? [inputs[1], inputs[0]] : inputs).slice(0, ys.length);
      check(expr.scalarFn(type, 2, 2, ys), inputs, outputs, backend);
    });
    fc.assert(run, { numRuns: 300 });
  });

  it('takes a formula with more constants than there are registers of full length', () => {
    for (const count of [62, 63, 64, 65, 130]) {
      const backend = cpu();
      const x = make(backend, plain([2100]), 'f64', ints(1));
      const sum = Array.from({ length: count }, (_, i) => mul(input(0), i + 2)).reduce((a, b) => add(b, a));
      check(expr.scalarFn('f64', 1, 0, [sum]), [x], [x], backend);
    }
  });

  it('exchanges two tensors: an output does not disturb what another still reads', () => {
    for (const shape of [[1400], [1200, 2]]) {
      const backend = cpu();
      const [a, b] = [
        make(backend, plain(shape), 'f32', ints(1)),
        make(backend, plain(shape), 'f32', ints(2)),
      ];
      check(expr.scalarFn('f32', 2, 0, [input(1), input(0)]), [a, b], [a, b], backend);
      check(expr.scalarFn('f32', 2, 0, [add(input(0), input(1)), mul(input(0), 2)]), [a, b], [a, b], backend);
    }
  });

  it('updates several windows of one buffer, as an optimiser does', () => {
    const backend = cpu();
    const all = make(backend, plain([3000]), 'f32', ints(4));
    const window = (at: number): View => ({
      ...all,
      shape: [1000],
      offset: at,
    });
    const [w, m, g] = [window(0), window(1000), window(2000)];
    const next = add(mul(input(1), 2), input(2));
    check(
      expr.scalarFn('f32', 3, 1, [sub(input(0), mul(scalar(0), next)), next]),
      [w, m, g],
      [w, m],
      backend,
    );
  });

  it('copies and converts', () => {
    const backend = cpu();
    const copy = (type: DType): ScalarFn => expr.scalarFn(type, 1, 0, [input(0)]);
    const x = from(backend, [6], Float64Array.of(1.9, -1.9, 2 ** 24 + 1, -0.5, 7e9, 0.1), 'f64');
    const to = (type: DType, compute: DType): number[] => {
      const out = make(backend, plain([6]), type, () => 0);
      backend.map(copy(compute), [x], [out], []);
      return valuesOf(backend, out);
    };
    expect(to('i32', 'f64')).toEqual([1, -1, 2 ** 24 + 1, 0, 7e9 | 0, 0]);
    expect(to('f32', 'f64')).toEqual([1.9, -1.9, 2 ** 24 + 1, -0.5, 7e9, 0.1].map(Math.fround));
    expect(to('f64', 'f64')).toEqual([1.9, -1.9, 2 ** 24 + 1, -0.5, 7e9, 0.1]);
    expect(to('f64', 'f32')).toEqual([1.9, -1.9, 2 ** 24 + 1, -0.5, 7e9, 0.1].map(Math.fround));
  });

  it.each<[Storage, number[], number[]]>([
    [
      'f16',
      [0x3c00, 0x8000, 0xc248, 0x0001, 0x03ff, 0x0400, 0x7bff, 0xfc00],
      [1, -0, -3.140625, 2 ** -24, 1023 * 2 ** -24, 2 ** -14, 65504, -Infinity],
    ],
    ['bf16', [0x3f80, 0x8000, 0xc049, 0x0001, 0x7f80], [1, -0, -3.140625, 2 ** -133, Infinity]],
    ['u8', [0, 7, 255], [0, 7, 255]],
    ['u32', [0, 7, 2 ** 24], [0, 7, 2 ** 24]],
  ])('reads %s', (type, raw, values) => {
    const backend = cpu();
    const x = make(backend, plain([raw.length]), type, (i) => raw[i]);
    const out = make(backend, plain([raw.length]), 'f32', () => 9);
    backend.map(expr.scalarFn('f32', 1, 0, [mul(input(0), 1)]), [x], [out], []);
    expect(valuesOf(backend, out)).toEqual(values);
    backend.map(expr.scalarFn('f32', 1, 0, [add(input(0), input(0))]), [x], [out], []);
    expect(valuesOf(backend, out)).toEqual(values.map((v) => 2 * v));
  });

  it('reads NaN from the 16-bit floats', () => {
    const backend = cpu();
    for (const [type, raw] of [
      ['f16', 0x7e00],
      ['bf16', 0x7fc0],
    ] as const) {
      const x = make(backend, plain([1]), type, () => raw);
      const out = make(backend, plain([1]), 'f32', () => 0);
      backend.map(expr.scalarFn('f32', 1, 0, [neg(input(0))]), [x], [out], []);
      expect(valuesOf(backend, out)).toEqual([NaN]);
    }
  });

  it('gives the same bits fused as in parts', () => {
    const backend = cpu();
    const n = 1000;
    const value = (i: number): number => ints(3, 32767)(i) / 3000;
    const x = make(backend, plain([n]), 'f32', value);
    const y = make(backend, plain([n]), 'f32', (i) => value(i + n));
    const whole = make(backend, plain([n]), 'f32', () => 0);
    const parts = make(backend, plain([n]), 'f32', () => 0);
    const f = (e: Expr): ScalarFn => expr.scalarFn('f32', 2, 0, [e]);
    backend.map(
      f(mul(expr.tanh(add(mul(input(0), 0.1), input(1))), expr.exp(input(0)))),
      [x, y],
      [whole],
      [],
    );
    const e = make(backend, plain([n]), 'f32', () => 0);
    backend.map(f(mul(input(0), 0.1)), [x, y], [parts], []);
    backend.map(f(add(input(0), input(1))), [parts, y], [parts], []);
    backend.map(f(expr.tanh(input(0))), [parts, y], [parts], []);
    backend.map(f(expr.exp(input(0))), [x, y], [e], []);
    backend.map(f(mul(input(0), input(1))), [parts, e], [parts], []);
    expect(hostOf(backend, whole)).toEqual(hostOf(backend, parts));
  });

  it('wraps and shifts i32', () => {
    const backend = cpu();
    const x = from(backend, [2], Int32Array.of(2 ** 31 - 1, -1), 'i32');
    const out = make(backend, plain([2]), 'i32', () => 0);
    const run = (e: Expr): number[] => {
      backend.map(expr.scalarFn('i32', 1, 0, [e]), [x], [out], []);
      return valuesOf(backend, out);
    };
    expect(run(add(input(0), 1))).toEqual([-(2 ** 31), 0]);
    expect(run(mul(input(0), input(0)))).toEqual([1, 1]);
    expect(run(expr.ushr(input(0), 8))).toEqual([2 ** 23 - 1, 2 ** 24 - 1]);
    expect(run(neg(input(0)))).toEqual([-(2 ** 31 - 1), 1]);
  });

  it('lets NaN through min, max and select', () => {
    const backend = cpu();
    const x = from(backend, [3], Float32Array.of(NaN, 1, NaN), 'f32');
    const y = from(backend, [3], Float32Array.of(1, NaN, NaN), 'f32');
    const out = make(backend, plain([3]), 'f32', () => 0);
    const run = (e: Expr): number[] => {
      backend.map(expr.scalarFn('f32', 2, 0, [e]), [x, y], [out], []);
      return valuesOf(backend, out);
    };
    expect(run(min(input(0), input(1)))).toEqual([NaN, NaN, NaN]);
    expect(run(max(input(0), input(1)))).toEqual([NaN, NaN, NaN]);
    expect(run(select(lt(input(0), input(1)), 1, 0))).toEqual([0, 0, 0]);
    expect(run(select(eq(input(0), input(0)), input(1), 5))).toEqual([5, NaN, 5]);
  });

  it('refuses what it cannot do', () => {
    const backend = cpu();
    const half = make(backend, plain([1]), 'f16', () => 0);
    const whole = make(backend, plain([1]), 'i32', () => 1);
    const copy = expr.scalarFn('f32', 1, 0, [input(0)]);
    expect(() => backend.map(copy, [half], [half], [])).toThrow('cpu: map cannot write f16');
    const exp = expr.scalarFn('i32', 1, 0, [expr.exp(input(0))]);
    expect(() => backend.map(exp, [whole], [whole], [])).toThrow('cpu: exp is not defined for i32');
  });
});
