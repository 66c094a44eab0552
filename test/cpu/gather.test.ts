import { cpu } from '@bax/cpu';
import type { Backend, Storage, View } from '@bax/core';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { bits, hostOf, indices, ints, layouts, make, place, plain, shapes, valuesOf } from './views.ts';
import type { Layout } from './views.ts';

interface Case {
  rows: number;
  type: 'f32' | 'f64' | 'i32';
  table: Layout;
  index: Layout;
  out: Layout;
}
const cases = (repeats: boolean): fc.Arbitrary<Case> =>
  fc
    .tuple(
      fc.integer({ min: 1, max: 5 }),
      shapes(2, 4, 0),
      fc.oneof(shapes(2, 4, 0), fc.constantFrom([31], [33], [3, 40])),
    )
    .chain(([rows, at, rest]) =>
      fc.record({
        rows: fc.constant(rows),
        type: fc.constantFrom('f32', 'f64', 'i32'),
        table: layouts([rows, ...rest], repeats),
        index: layouts(at, true),
        out: layouts([...at, ...rest]),
      }),
    );

const indexOf = (backend: Backend, at: Layout, rows: number): View =>
  make(backend, at, 'i32', (i) => Math.abs(ints(5, 999)(i)) % rows);

/** The table's row for each element of index. */
const rowAt = (backend: Backend, index: View, at: number[]): number =>
  hostOf(backend, index)[place(index, at)];

describe('gather', () => {
  it('takes rows of any views', () => {
    const run = fc.property(cases(true), ({ rows, type, table, index, out }) => {
      const backend = cpu();
      const [x, i, y] = [
        make(backend, table, type, ints(1)),
        indexOf(backend, index, rows),
        make(backend, out, type, () => 77),
      ];
      backend.gather(x, i, y);
      const rank = index.shape.length;
      const expected = Array.from(indices(out.shape), (at) => {
        const row = rowAt(backend, i, at.slice(0, rank));
        return hostOf(backend, x)[place(x, [row, ...at.slice(rank)])];
      });
      expect(bits(valuesOf(backend, y))).toEqual(bits(expected));
      const rest = Array.from(hostOf(backend, y));
      for (const at of indices(out.shape)) rest[place(y, at)] = 77;
      expect(rest.every((v) => v === 77)).toBe(true);
    });
    fc.assert(run, { numRuns: 400 });
  });

  it.each<[Storage, number[], number[]]>([
    ['f16', [0x3c00, 0xc000, 0x3800], [1, -2, 0.5]],
    ['bf16', [0x3f80, 0xc000, 0x3f00], [1, -2, 0.5]],
    ['u8', [1, 200, 3], [1, 200, 3]],
  ])('widens %s', (type, raw, values) => {
    const backend = cpu();
    for (const width of [1, 40]) {
      const table = make(backend, plain([3, width]), type, (i) => raw[Math.floor(i / width)]);
      const index = make(backend, plain([4]), 'i32', (i) => [2, 0, 1, 2][i]);
      const out = make(backend, plain([4, width]), 'f32', () => 0);
      backend.gather(table, index, out);
      const expected = [2, 0, 1, 2].flatMap((row) => new Array<number>(width).fill(values[row]));
      expect(valuesOf(backend, out)).toEqual(expected);
    }
  });

  it('names the index that is out of bounds', () => {
    const backend = cpu();
    const table = make(backend, plain([1024, 2]), 'f32', () => 0);
    const out = make(backend, plain([5, 2]), 'f32', () => 9);
    const index = (bad: number): View => make(backend, plain([5]), 'i32', (i) => (i === 3 ? bad : i));
    const message = (bad: number, op = 'gather'): string =>
      `${op}: index ${bad} at position 3 is outside the table's 1024 rows`;
    for (const bad of [1030, 1024, -1]) {
      expect(() => backend.gather(table, index(bad), out)).toThrow(message(bad));
      expect(() => backend.scatterAdd(index(bad), out, table)).toThrow(message(bad, 'scatterAdd'));
    }
    // Nothing was written.
    expect(valuesOf(backend, out).every((v) => v === 9)).toBe(true);
    expect(valuesOf(backend, table).every((v) => v === 0)).toBe(true);
  });
});

describe('scatterAdd', () => {
  it('adds rows into any views, repeated indices too', () => {
    const run = fc.property(cases(false), ({ rows, type, table, index, out }) => {
      const backend = cpu();
      const [x, i, g] = [
        make(backend, table, type, ints(1)),
        indexOf(backend, index, rows),
        make(backend, out, type, ints(2)),
      ];
      const expected = Array.from(hostOf(backend, x));
      const rank = index.shape.length;
      for (const at of indices(out.shape)) {
        const row = rowAt(backend, i, at.slice(0, rank));
        expected[place(x, [row, ...at.slice(rank)])] += hostOf(backend, g)[place(g, at)];
      }
      backend.scatterAdd(i, g, x);
      expect(bits(hostOf(backend, x))).toEqual(bits(expected));
    });
    fc.assert(run, { numRuns: 400 });
  });

  it('adds in the order of the indices', () => {
    const backend = cpu();
    const table = make(backend, plain([1, 1]), 'f32', () => 0);
    const index = make(backend, plain([3]), 'i32', () => 0);
    backend.scatterAdd(
      index,
      make(backend, plain([3, 1]), 'f32', (i) => [2 ** 24, 1, -(2 ** 24)][i]),
      table,
    );
    expect(valuesOf(backend, table)).toEqual([0]);
  });
});
