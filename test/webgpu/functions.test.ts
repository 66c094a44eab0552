/**
 * P58: each scalar function of f32 on the device against f64, over its domain. The bounds are what WGSL allows, or better
 * where a function is written out (functions.ts); in units in the last place of the result, and absolute.
 */
import { expr, type Expr, fromHost, functions, geluExact, setBackend, type Tensor } from '@bax/core';
import { webgpu, type WebGpuBackend } from '@bax/webgpu';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { anyAdapter } from '../support/backends.ts';

const N = 2 ** 20;
const x0 = expr.input(0);
/** Units in the last place of f32 at y. */
const ulp = (y: number): number => 2 ** (Math.floor(Math.log2(Math.max(Math.abs(y), 2 ** -126))) - 23);

const cases: [name: string, y: Expr, f: (x: number) => number, from: number, to: number, ulps: (x: number) => number, absolute: number][] = [
  ['exp', expr.exp(x0), Math.exp, -80, 80, (x) => 4 + 2 * Math.abs(x), 0],
  ['log', expr.log(x0), Math.log, 2 ** -100, 2 ** 60, () => 4, 2 ** -20],
  ['log near 1', expr.log(x0), Math.log, 0.4, 2.5, () => 4, 2 ** -20],
  ['sqrt', expr.sqrt(x0), Math.sqrt, 0, 2 ** 40, () => 4, 0],
  ['tanh', expr.tanh(x0), Math.tanh, -20, 20, () => 24, 0],
  ['tanh near 0', expr.tanh(x0), Math.tanh, -0.7, 0.7, () => 8, 0],
  ['sigmoid', expr.sigmoid(x0), functions.sigmoid, -40, 40, (x) => 12 + 2 * Math.abs(x), 0],
  ['erf', expr.erf(x0), functions.erf, -6, 6, () => 24, 0],
  ['sin', expr.sin(x0), Math.sin, -100, 100, () => 4, 2 ** -20],
  ['cos', expr.cos(x0), Math.cos, -100, 100, () => 4, 2 ** -20],
  ['pow(x, 1.7)', expr.pow(x0, 1.7), (x) => x ** 1.7, 2 ** -10, 2 ** 10, (x) => 64 + 16 * Math.abs(Math.log2(x)), 0],
  ['pow(x, 3)', expr.pow(x0, 3), (x) => x ** 3, -100, 100, () => 4, 0],
  ['pow(x, 11), of both signs', expr.pow(x0, 11), (x) => x ** 11, -8, 8, (x) => 128 + 64 * Math.abs(Math.log2(Math.abs(x) + 1e-30)), 1e-30],
  ['1 / x', expr.div(1, x0), (x) => 1 / x, 2 ** -60, 2 ** 60, () => 3, 0],
]; // prettier-ignore

let backend: WebGpuBackend;
beforeAll(async () => setBackend((backend = await webgpu(anyAdapter))));
afterAll(() => backend.close());

/** Over a positive range of many octaves by ratio, else evenly. */
function domain(low: number, high: number): Float32Array {
  const byRatio = low > 0 && high / low > 100;
  return Float32Array.from({ length: N }, (_, i) => {
    const t = (i + 0.5) / N;
    return byRatio ? low * (high / low) ** t : low + (high - low) * t;
  });
}

it.each(cases)('%s is within its bound of f64', async (name, y, f, low, high, ulps, absolute) => {
  const values = domain(low, high);
  const x = fromHost(values, [N], 'f32');
  const out = fromHost(new Float32Array(N), [N], 'f32');
  backend.map(expr.scalarFn('f32', 1, 0, [y]), [x.view], [out.view], []);
  const got = await out.data();
  let [worst, at] = [0, 0];
  for (let i = 0; i < N; i++) {
    const exact = f(values[i]);
    const error = Math.abs(got[i] - exact) / (ulps(values[i]) * ulp(exact) + absolute + 2 ** -120);
    if (!(error <= worst)) [worst, at] = [error, i];
  }
  console.log(`${name}: ${worst.toFixed(2)} of its bound, at ${values[at]}`);
  expect(worst).toBeLessThanOrEqual(1);
  for (const t of [x, out]) t.dispose();
});

it("geluExact is erf's formula within 2^-20 of |x|", async () => {
  const values = domain(-12, 12);
  const x: Tensor = fromHost(values, [N], 'f32');
  const y = await geluExact(x).data();
  values.forEach((v, i) => {
    const exact = 0.5 * v * (1 + functions.erf(v / Math.SQRT2));
    if (!(Math.abs(y[i] - exact) <= 2 ** -20 * Math.abs(v))) expect([v, y[i]]).toEqual([v, exact]);
  });
});
