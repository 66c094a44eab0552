import { cpu } from '@bax/cpu';
import type { Backend, DType, View } from '@bax/core';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { bits, from, hostOf, indices, ints, layouts, make, place, plain, shapes, valuesOf } from './views.ts';
import type { Layout } from './views.ts';

/** One element at a time, from the definition. */
function naive(backend: Backend, op: 'sum' | 'max', x: View, shape: number[]): number[] {
  const data = hostOf(backend, x);
  const results = new Map<string, number>();
  for (const index of indices(shape)) results.set(index.join(), op === 'sum' ? 0 : -Infinity);
  for (const index of indices(x.shape)) {
    const key = index.map((i, axis) => (shape[axis] === 1 ? 0 : i)).join();
    const [value, so] = [data[place(x, index)], results.get(key)!];
    results.set(key, op === 'sum' ? so + value : Math.max(so, value));
  }
  return [...results.values()];
}

function check(op: 'sum' | 'max', type: DType, x: Layout, out: Layout): void {
  const backend = cpu();
  const vx = make(backend, x, type, ints(1));
  const vo = make(backend, out, type, () => 77);
  backend.reduce(op, vx, vo);
  expect(bits(valuesOf(backend, vo))).toEqual(bits(naive(backend, op, vx, out.shape)));
  const rest = Array.from(hostOf(backend, vo));
  for (const index of indices(vo.shape)) rest[place(vo, index)] = 77;
  expect(rest.every((v) => v === 77)).toBe(true);
}

const without = (shape: number[], axes: boolean[]): number[] => shape.map((n, axis) => (axes[axis] ? 1 : n));
const ops = fc.constantFrom('sum' as const, 'max' as const);
const dtypes = fc.constantFrom<DType>('f32', 'f64', 'i32');

describe('reduce on small integers is exact', () => {
  const cases = (shape: fc.Arbitrary<number[]>) =>
    fc.tuple(shape, fc.array(fc.boolean(), { minLength: 4, maxLength: 4 })).chain(([dims, axes]) =>
      fc.record({
        op: ops,
        type: dtypes,
        x: layouts(dims, true),
        out: layouts(without(dims, axes)),
      }),
    );

  it('over any axes of any views', () => {
    const run = fc.property(cases(shapes(4, 7)), ({ op, type, x, out }) => check(op, type, x, out));
    fc.assert(run, { numRuns: 600 });
  });

  it('across the blocks', () => {
    const big = fc.constantFrom<number[]>(
      [1023],
      [1024],
      [1025],
      [5000],
      [3, 1025],
      [1025, 3],
      [70, 70],
      [2, 600, 2],
      [65, 16],
      [129, 15],
      [17, 3, 33],
      [2, 1100],
      [1100, 2],
    );
    const run = fc.property(cases(big), ({ op, type, x, out }) => check(op, type, x, out));
    fc.assert(run, { numRuns: 200 });
  });
});

describe('reduce', () => {
  const one = (type: DType, data: number[], op: 'sum' | 'max'): number => {
    const backend = cpu();
    const x = make(backend, plain([data.length]), type, (i) => data[i]);
    const out = make(backend, plain([1]), type, () => 5);
    backend.reduce(op, x, out);
    return valuesOf(backend, out)[0];
  };

  it('gives 0 for an empty sum', () => {
    const backend = cpu();
    expect(one('f32', [], 'sum')).toBe(0);
    const x = make(backend, plain([0, 40]), 'f32', () => 1);
    const out = make(backend, plain([1, 40]), 'f32', () => 5);
    backend.reduce('sum', x, out);
    expect(valuesOf(backend, out)).toEqual(new Array(40).fill(0));
    const none = make(backend, plain([1, 0]), 'f32', () => 5);
    backend.reduce(
      'sum',
      make(backend, plain([3, 0]), 'f32', () => 1),
      none,
    );
    expect(valuesOf(backend, none)).toEqual([]);
  });

  it('lets NaN through and keeps infinities', () => {
    expect(one('f32', [1, NaN, 3], 'max')).toBe(NaN);
    expect(one('f32', [1, NaN, 3], 'sum')).toBe(NaN);
    expect(one('f32', [1, Infinity, 3], 'sum')).toBe(Infinity);
    expect(one('f32', [-Infinity, -Infinity], 'max')).toBe(-Infinity);
    expect(one('f32', [Infinity, -Infinity, 3], 'sum')).toBe(NaN);
    expect(one('f32', [-3, -2, -9], 'max')).toBe(-2);
    const backend = cpu();
    const x = make(backend, plain([3, 20]), 'f32', (i) => (i === 25 ? NaN : i));
    const out = make(backend, plain([1, 20]), 'f32', () => 5);
    backend.reduce('max', x, out);
    expect(valuesOf(backend, out)).toEqual(Array.from({ length: 20 }, (_, i) => (i === 5 ? NaN : 40 + i)));
  });

  it('wraps i32', () => {
    expect(one('i32', [2 ** 31 - 1, 2 ** 31 - 1, 5], 'sum')).toBe(3);
    expect(one('i32', new Array(5000).fill(2 ** 31 - 1), 'sum')).toBe((-5000 | 0) + 0);
    expect(one('i32', [-(2 ** 31), -5], 'max')).toBe(-5);
  });

  it('sums f32 with one rounding and f64 within a few units', () => {
    const backend = cpu();
    const n = 100_000;
    const value = (i: number): number => ints(1, 32767)(i) / 32768 + 1.5;
    for (const shape of [[n], [n / 100, 100], [100, n / 100]]) {
      for (const axes of [[0], [1], [0, 1]]) {
        if (shape.length <= axes.at(-1)!) continue;
        const out = shape.map((length, axis) => (axes.includes(axis) ? 1 : length));
        const narrow = make(backend, plain(shape), 'f32', value);
        const wide = from(
          backend,
          shape,
          Float64Array.from(hostOf(backend, narrow), (v) => v / 3),
          'f64',
        );
        const [y32, y64] = [
          make(backend, plain(out), 'f32', () => 0),
          make(backend, plain(out), 'f64', () => 0),
        ];
        backend.reduce('sum', narrow, y32);
        backend.reduce('sum', wide, y64);
        // Exact: all are multiples of 2^-15 below 2^18.
        expect(valuesOf(backend, y32)).toEqual(naive(backend, 'sum', narrow, out).map(Math.fround));
        const exact = compensated(backend, wide, out);
        valuesOf(backend, y64).forEach((y, i) =>
          expect(Math.abs(y - exact[i]) / exact[i]).toBeLessThan(20 * 2 ** -53),
        );
      }
    }
  });
});

/** Kahan's sum: twice the precision, independent of any order. */
function compensated(backend: Backend, x: View, shape: number[]): number[] {
  const data = hostOf(backend, x);
  const sums = new Map<string, [number, number]>();
  for (const index of indices(x.shape)) {
    const key = index.map((i, axis) => (shape[axis] === 1 ? 0 : i)).join();
    const [sum, lost] = sums.get(key) ?? [0, 0];
    const y = data[place(x, index)] - lost;
    const t = sum + y;
    sums.set(key, [t, t - sum - y]);
  }
  return [...sums.values()].map(([sum]) => sum);
}
