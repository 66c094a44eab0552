import { expr } from '@bax/core';
import { cpu } from '@bax/cpu';
import { describe, expect, it } from 'vitest';
import { make, valuesOf } from './support.ts';

type Unary = (x: expr.Expr) => expr.Expr;

/** f64 results of one function on the CPU. */
function run(f: Unary, xs: number[]): number[] {
  const backend = cpu();
  const x = make(backend, [xs.length], 'f64', (i) => xs[i]);
  backend.map(expr.scalarFn('f64', 1, 0, [f(expr.input(0))]), [x], [x], []);
  return valuesOf(backend, x);
}

// x, erf(x), tanh(x), sigmoid(x), sigmoid(-x): mpmath with 40 digits, rounded to f64.
const table: [number, number, number, number, number][] = [
  [1e-300, 1.1283791670955126e-300, 1e-300, 0.5, 0.5],
  [1e-10, 1.1283791670955126e-10, 1e-10, 0.500000000025, 0.499999999975],
  [1e-5, 1.1283791670579e-5, 9.999999999666668e-6, 0.5000025, 0.49999750000000004],
  [0.1, 0.1124629160182849, 0.09966799462495582, 0.52497918747894, 0.47502081252106],
  [0.5, 0.5204998778130465, 0.46211715726000974, 0.6224593312018546, 0.37754066879814546],
  [0.9, 0.7969082124228322, 0.7162978701990245, 0.710949502625004, 0.28905049737499605],
  [1, 0.8427007929497149, 0.7615941559557649, 0.7310585786300049, 0.2689414213699951],
  [1.5, 0.9661051464753108, 0.9051482536448664, 0.8175744761936437, 0.18242552380635635],
  [1.9999, 0.9953201979070294, 0.964020514312196, 0.8807865782195231, 0.11921342178047689],
  [2, 0.9953222650189527, 0.9640275800758169, 0.8807970779778824, 0.11920292202211756],
  [2.0001, 0.9953243313041966, 0.9640346444772508, 0.8808075769366168, 0.11919242306338321],
  [2.5, 0.999593047982555, 0.9866142981514303, 0.9241418199787564, 0.07585818002124355],
  [3, 0.9999779095030014, 0.9950547536867305, 0.9525741268224333, 0.04742587317756678],
  [4, 0.9999999845827421, 0.999329299739067, 0.9820137900379085, 0.01798620996209156],
  [5.9, 0.9999999999999999, 0.9999849909968058, 0.9972680392369889, 0.002731960763011059],
  [7, 1, 0.9999983369439447, 0.9990889488055994, 0.0009110511944006454],
  [40, 1, 1, 1, 4.248354255291589e-18],
  [700, 1, 1, 1, 9.85967654375977e-305],
];
const xs = table.map(([x]) => x);

const close = (actual: number[], expected: number[], bound: number): void =>
  actual.forEach((y, i) => {
    const error = Math.abs(y - expected[i]) / Math.abs(expected[i]);
    expect(error, `${y} at ${xs[i]}`).toBeLessThanOrEqual(bound);
  });

describe('the scalar functions in f64', () => {
  const column = (i: 1 | 2 | 3 | 4, sign = 1): number[] => table.map((row) => sign * row[i]);
  const minus =
    (f: Unary): Unary =>
    (x) =>
      f(expr.neg(x));

  it('erf', () => {
    close(run(expr.erf, xs), column(1), 1e-15);
    close(run(minus(expr.erf), xs), column(1, -1), 1e-15);
    expect(run(expr.erf, [0, Infinity, -Infinity, NaN])).toEqual([0, 1, -1, NaN]);
  });

  it('erf is continuous where its formula changes', () => {
    const step = 2 ** -40;
    for (const x of [2, 6]) {
      const [below, at] = run(expr.erf, [x - step, x]);
      expect(Math.abs(at - below)).toBeLessThanOrEqual(2 * step * Math.exp(-x * x) + 2 ** -52);
    }
  });

  it('tanh', () => {
    close(run(expr.tanh, xs), column(2), 1e-15);
    close(run(minus(expr.tanh), xs), column(2, -1), 1e-15);
    expect(run(expr.tanh, [0, 1e9, -1e9, Infinity, -Infinity, NaN])).toEqual([0, 1, -1, 1, -1, NaN]);
  });

  it('sigmoid', () => {
    close(run(expr.sigmoid, xs), column(3), 1e-15);
    close(run(minus(expr.sigmoid), xs), column(4), 1e-15);
    expect(run(expr.sigmoid, [0, 1e9, -1e9, Infinity, -Infinity, NaN])).toEqual([0.5, 1, 0, 1, 0, NaN]);
  });

  it('the rest', () => {
    const xs = [0.25, 1, 2];
    expect(run(expr.exp, [0, -Infinity, Infinity])).toEqual([1, 0, Infinity]);
    expect(run(expr.log, [1, 0, -1])).toEqual([0, -Infinity, NaN]);
    expect(run(expr.sqrt, xs)).toEqual([0.5, 1, Math.SQRT2]);
    expect(run((x) => expr.pow(x, 3), xs)).toEqual([1 / 64, 1, 8]);
    expect(run((x) => expr.div(1, x), xs)).toEqual([4, 1, 0.5]);
    expect(run(expr.floor, [-0.5, 1.5, -2])).toEqual([-1, 1, -2]);
    expect(run(expr.abs, [-3, 3, -0])).toEqual([3, 3, 0]);
    const [s, c] = [run(expr.sin, [1])[0], run(expr.cos, [1])[0]];
    expect(s).toBeCloseTo(0.8414709848078965, 15);
    expect(c).toBeCloseTo(0.5403023058681398, 15);
  });
});
