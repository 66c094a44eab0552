/** The scalar functions, against the host's in f64. */
import { expr, type Expr } from '@bax/core';
import type { Check } from '../run.ts';
import { check, set } from './lab.ts';
import { reals } from './numbers.ts';
import { plain } from './strided.ts';

const { add, input, mul } = expr;

/** Functions, the interval on which they are checked, and their errors in units of roundoff: relative, and absolute. */
const smooth: [name: string, f: (x: number) => number, y: Expr, from: number, to: number, relative: number, absolute: number][] = [
  ['exp', Math.exp, expr.exp(input(0)), -20, 20, 64, 0],
  ['log', Math.log, expr.log(input(0)), 0.01, 100, 64, 8],
  ['sqrt', Math.sqrt, expr.sqrt(input(0)), 0, 1000, 8, 0],
  ['tanh', Math.tanh, expr.tanh(input(0)), -12, 12, 16, 128],
  ['sigmoid', (x) => 1 / (1 + Math.exp(-x)), expr.sigmoid(input(0)), -20, 20, 64, 2],
  ['sin', Math.sin, expr.sin(input(0)), -3, 3, 4, 2 ** 13],
  ['cos', Math.cos, expr.cos(input(0)), -3, 3, 4, 2 ** 13],
  ['pow', (x) => x ** 1.7, expr.pow(input(0), 1.7), 0.05, 20, 256, 0],
  ['x / 3', (x) => x / 3, expr.div(input(0), 3), -100, 100, 8, 0],
  ['1 / x', (x) => 1 / x, expr.div(1, input(0)), 0.01, 100, 8, 0],
  ['erf', erf, expr.erf(input(0)), -5, 5, 64, 16],
]; // prettier-ignore

/** By Simpson's rule: slow, and written by nobody else. */
function erf(x: number): number {
  const n = 400;
  let sum = 1 + Math.exp(-x * x);
  for (let i = 1; i < n; i++) sum += (i % 2 ? 4 : 2) * Math.exp(-(((x * i) / n) ** 2));
  return ((2 / Math.sqrt(Math.PI)) * sum * x) / (3 * n);
}

export const functionChecks: readonly Check[] = [
  check('map: scalar functions within their bounds (P31)', async (lab) => {
    const n = 999;
    await lab.forEach(smooth, async ([name, f, y, from, to, relative, absolute]) => {
      const value = (i: number): number => from + ((to - from) * (i + 0.5)) / n;
      const x = lab.input('x', plain([n]), 'f32', value);
      const out = lab.output(name, plain([n]), 'f32');
      x.data.forEach((v, i) => set(out, i, f(v), (relative * Math.abs(f(v)) + absolute) * lab.u + 2 ** -100));
      lab.backend.map(expr.scalarFn('f32', 1, 0, [y]), [x.view], [out.view], []);
      await lab.expect(x, out);
    });
    const [x, y] = [lab.input('x', plain([n]), 'f32', reals(1)), lab.input('y', plain([n]), 'f32', reals(2))];
    const out = lab.output('x y + x', plain([n]), 'f32');
    out.data.forEach((_, i) => {
      const [a, b] = [x.data[i], y.data[i]];
      set(out, i, a * b + a, 2.01 * lab.u * (Math.abs(a * b) + Math.abs(a)));
    });
    lab.backend.map(expr.scalarFn('f32', 2, 0, [add(mul(input(0), input(1)), input(0))]), [x.view, y.view], [out.view], []);
    await lab.expect(out);
  }), // prettier-ignore
];
