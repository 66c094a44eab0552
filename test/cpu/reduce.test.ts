import { cpu } from '@bax/cpu';
import { expect, it } from 'vitest';
import { ints, make, valuesOf } from './support.ts';

const n = 100_000;

/** The sums along some axes of [rows, columns], by Kahan's method: twice the precision, independent of any order. */
function sums(data: number[], columns: number, [rowKept, columnKept]: boolean[]): number[] {
  const results = new Map<number, [sum: number, lost: number]>();
  data.forEach((v, i) => {
    const key = (rowKept ? Math.floor(i / columns) * columns : 0) + (columnKept ? i % columns : 0);
    const [sum, lost] = results.get(key) ?? [0, 0];
    const t = sum + (v - lost);
    results.set(key, [t, t - sum - (v - lost)]);
  });
  return [...results.values()].map(([sum]) => sum);
}

it.each([
  [1, n],
  [n / 100, 100],
  [100, n / 100],
])('reduce sums f32 [%i, %i] with one rounding and f64 within a few units', (rows, columns) => {
  for (const kept of [
    [false, false],
    [true, false],
    [false, true],
  ]) {
    if (rows === 1 && kept[1]) continue; // nothing to sum
    const backend = cpu();
    const shape = [rows, columns];
    const out = shape.map((length, axis) => (kept[axis] ? length : 1));
    const narrow = make(backend, shape, 'f32', (i) => ints(1, 32767)(i) / 32768 + 1.5);
    const values = valuesOf(backend, narrow);
    const wide = make(backend, shape, 'f64', (i) => values[i] / 3);
    const [y32, y64] = [make(backend, out, 'f32', () => 0), make(backend, out, 'f64', () => 0)];
    backend.reduce('sum', narrow, y32);
    backend.reduce('sum', wide, y64);
    // Exact: all are multiples of 2^-15 below 2^18.
    expect(valuesOf(backend, y32)).toEqual(sums(values, columns, kept).map(Math.fround));
    const exact = sums(valuesOf(backend, wide), columns, kept);
    valuesOf(backend, y64).forEach((y, i) =>
      expect(Math.abs(y - exact[i]) / exact[i]).toBeLessThan(20 * 2 ** -53),
    );
  }
});
