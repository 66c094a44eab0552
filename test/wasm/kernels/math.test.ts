/** P58: the functions of kernels/math.ts against f64, in units in the last place, over all of f32. */
import {
  type Backend,
  type BufferRef,
  type Expr,
  expr,
  functions,
  gelu,
  geluExact,
  hostArray,
  tensor,
} from '@bax/core';
import { wasm } from '@bax/wasm';
import { beforeAll, describe, expect, it } from 'vitest';

/** erf by Simpson's rule on its integral: another way than core's series, whose f64 values are the oracle below. */
function erfByIntegral(x: number): number {
  const n = 4000;
  let sum = 1 + Math.exp(-x * x);
  for (let i = 1; i < n; i++) sum += (i % 2 ? 4 : 2) * Math.exp(-(((x * i) / n) ** 2));
  return ((2 / Math.sqrt(Math.PI)) * (x / n) * sum) / 3;
}

/** What is measured, and the largest errors of the table in kernels/math.ts: with fused multiply-add, without. */
interface Case {
  readonly name: 'exp' | 'log' | 'tanh' | 'sigmoid' | 'erf';
  readonly exact: (x: number) => number;
  readonly bounds: readonly [fused: number, plain: number];
  /** Where the formula changes or the result does: every float near these is measured. */
  readonly edges: readonly number[];
  /** Values that are not to be missed by a bit, not even by the sign of zero. */
  readonly values: readonly (readonly [x: number, y: number])[];
}
const functionsOf = {
  exp: expr.exp, log: expr.log, tanh: expr.tanh, sigmoid: expr.sigmoid, erf: expr.erf,
  sin: expr.sin, cos: expr.cos, sqrt: expr.sqrt, floor: expr.floor, abs: expr.abs,
} as const; // prettier-ignore
const MIN = 2 ** -149;
const { log, exp, tanh } = Math;
const oddEnds = (y: number): Case['values'] => [
  [0, 0], [-0, -0], [Infinity, y], [-Infinity, -y], [3e38, y], [-3e38, -y], [MIN, MIN], [-MIN, -MIN],
]; // prettier-ignore
const cases: readonly Case[] = [
  {
    name: 'exp',
    exact: exp,
    bounds: [1, 1],
    edges: [-104, -103.97208, -103.28, -87.33654, -log(2) / 2, log(2) / 2, 1, 88.376, 88.72283, 89],
    values: [
      [0, 1], [-0, 1], [MIN, 1], [-MIN, 1], [Infinity, Infinity], [-Infinity, 0], [88.73, Infinity], [1e9, Infinity],
      [-103.9, MIN], [-103.98, 0], [-104, 0], [-105, 0], [-1e9, 0],
    ],
  },
  {
    name: 'log',
    exact: log,
    bounds: [0.9, 0.9],
    edges: [MIN * 8192, 2 ** -126, Math.SQRT1_2, 1, Math.SQRT2, 2, 3.4e38],
    values: [
      [1, 0], [0, -Infinity], [-0, -Infinity], [Infinity, Infinity], [-Infinity, NaN], [-1, NaN], [-MIN, NaN],
      [MIN, Math.fround(log(MIN))], [2 ** -126, Math.fround(log(2 ** -126))],
    ],
  },
  {
    name: 'tanh',
    exact: tanh,
    bounds: [1.4, 1.4],
    edges: [-0.6, 0.0004, 0.5493, 0.6, 7.90531, 9.01, 10],
    values: [...oddEnds(1), [9.02, 1], [-9.02, -1], [10, 1]],
  },
  {
    name: 'sigmoid',
    exact: functions.sigmoid,
    bounds: [2.5, 2.5],
    edges: [-104, -88.7, -87.33654, -1, 1, 16.6, 17.4],
    values: [[0, 0.5], [-0, 0.5], [Infinity, 1], [-Infinity, 0], [40, 1], [-103.9, MIN], [-104, 0], [-3e38, 0], [3e38, 1]],
  },
  {
    name: 'erf',
    exact: functions.erf,
    bounds: [1.1, 1.3],
    edges: [-1, 0.5, 1, 2, 3.83, 4, 6],
    values: [...oddEnds(1).slice(0, 6), [MIN, MIN], [4, 1], [-4, -1], [5, 1]],
  },
]; // prettier-ignore

const CHUNK = 2 ** 16;
/** A prime, so that the floats measured fall into all residues: more than a million of the 2^32. */
const STEP = 3989;
const bits = new Uint32Array(CHUNK);
const points = new Float32Array(bits.buffer);
/** Runs of floats: 2^32 / STEP of all, and the 4,096 nearest to each edge. In `points`, of which `n` are to be used. */
function* sweep(edges: readonly number[]): Generator<number> {
  for (let at = 0; at < 2 ** 32; at += CHUNK * STEP) {
    const n = Math.min(CHUNK, Math.ceil((2 ** 32 - at) / STEP));
    for (let i = 0; i < n; i++) bits[i] = at + i * STEP;
    yield n;
  }
  for (const edge of edges) {
    points[0] = edge;
    const at = bits[0] - 2048;
    for (let i = 0; i < 4096; i++) bits[i] = at + i;
    yield 4096;
  }
}

const wide = new Float64Array(1);
const words = new Uint32Array(wide.buffer);
/** The distance between neighbouring floats where the number lies. */
function ulp(y: number): number {
  wide[0] = y;
  return 2 ** (Math.max(((words[1]! >>> 20) & 0x7ff) - 1023, -126) - 23);
}

/** Computes f of up to CHUNK numbers of a type at a time by the backend's `map`. The result is overwritten by the next. */
function mapper(backend: Backend, type: 'f32' | 'f64') {
  const [x, y] = [backend.alloc(CHUNK, type), backend.alloc(CHUNK, type)];
  return (f: (x: Expr) => Expr, xs: ArrayLike<number>): ArrayLike<number> => {
    const view = (buffer: BufferRef) => ({ buffer, shape: [xs.length], strides: [1], offset: 0 });
    const data = hostArray(type, xs.length);
    data.set(xs);
    backend.write(x, data);
    backend.map(expr.scalarFn(type, 1, 0, [f(expr.input(0))]), [view(x)], [view(y)], []);
    return backend.peek!(y)!.subarray(0, xs.length);
  };
}

/** The exact functions' own formulas. */
const geluCases = [
  {
    name: 'gelu = ½ x (1 + tanh(√(2/π) (x + 0.044715 x³)))',
    op: gelu,
    exact: (x: number) => 0.5 * x * (1 + tanh(Math.sqrt(2 / Math.PI) * (x + 0.044715 * x ** 3))),
    bound: 2,
  },
  {
    name: 'geluExact = ½ x (1 + erf(x / √2))',
    op: geluExact,
    exact: (x: number) => 0.5 * x * (1 + functions.erf(x / Math.SQRT2)),
    bound: 2,
  },
];

it('the oracle of erf is right', () => {
  for (let x = 2 ** -20; x < 6; x = x * 1.07 + 0.001) {
    const y = erfByIntegral(x);
    expect(Math.abs(functions.erf(x) - y) / y, `erf ${x}`).toBeLessThan(4e-14);
  }
});

const targets = [
  { name: 'with fused multiply-add', fma: true },
  { name: 'without', fma: false },
];
describe.each(targets)('$name', ({ fma }) => {
  let backend: Backend;
  let f32: ReturnType<typeof mapper>;
  beforeAll(async () => {
    backend = await wasm({ threads: 1, fma });
    f32 = mapper(backend, 'f32');
  });

  it.each(cases)('$name over all of f32', ({ name, exact, bounds, edges }) => {
    let [worst, at, measured] = [0, 0, 0];
    const wrong: string[] = [];
    for (const n of sweep(edges)) {
      const xs = points.subarray(0, n);
      const ys = f32(functionsOf[name], xs);
      measured += n;
      for (let i = 0; i < n; i++) {
        const [x, y, truth] = [xs[i], ys[i], exact(xs[i])];
        if (Object.is(y, Math.fround(truth))) continue; // NaN, infinities and zeros too, with their signs
        const error = Math.abs(y - truth) / ulp(truth);
        if (error > worst) [worst, at] = [error, x];
        if (!Number.isFinite(error) || (y === 0) !== (Math.fround(truth) === 0)) wrong.push(`${x}: ${y}`);
      }
    }
    expect(wrong.slice(0, 5)).toEqual([]);
    expect(measured).toBeGreaterThan(10 ** 6);
    expect(worst, `at ${at}`).toBeLessThanOrEqual(bounds[fma ? 0 : 1]);
    expect(worst, `at ${at}`).toBeGreaterThan(0.75 * bounds[fma ? 0 : 1]); // else the table says too much
  });

  it.each(cases)('$name at its special values', ({ name, values }) => {
    const xs = values.map(([x]) => x);
    expect(Array.from(f32(functionsOf[name], xs))).toEqual(values.map(([, y]) => y)); // toEqual tells −0 from 0
    // Whatever lies in the vector's other lanes, and in the last one of a row.
    for (const [x, y] of [...values, [NaN, NaN]])
      expect(Array.from(f32(functionsOf[name], [NaN, x, NaN, NaN, x]))).toEqual([NaN, y, NaN, NaN, y]);
  });

  it.each(['tanh', 'erf'] as const)('%s is odd in every bit', (name) => {
    for (const n of sweep([])) {
      const xs = points.slice(0, n);
      const ys = Array.from(f32(functionsOf[name], xs));
      const mirrored = f32((x) => expr.neg(functionsOf[name](expr.neg(x))), xs);
      for (let i = 0; i < n; i++) if (!Object.is(ys[i], mirrored[i])) expect.fail(`${name} ${xs[i]}`);
    }
  });

  it('sin, cos and pow of f32 are the host’s, rounded', () => {
    const xs = Float32Array.from([0, -0, 1, -2.5, 1e5, 3e38, MIN, Infinity, NaN, 0.7, 12.25]);
    const host = (f: (x: number) => number) => Array.from(xs, (x) => Math.fround(f(x)));
    expect(Array.from(f32(expr.sin, xs))).toEqual(host(Math.sin));
    expect(Array.from(f32(expr.cos, xs))).toEqual(host(Math.cos));
    for (const power of [0, 1, 2, 3, -1, 0.5, 2.25])
      expect(Array.from(f32((x) => expr.pow(x, power), xs))).toEqual(host((x) => x ** power));
  });

  it('all functions of f64 are the host’s', () => {
    const f64 = mapper(backend, 'f64');
    const xs = [
      0,
      -0,
      1,
      -1,
      0.3,
      -0.3,
      2.5,
      -2.5,
      7,
      30,
      -30,
      710,
      -745,
      1e300,
      5e-324,
      Infinity,
      -Infinity,
      NaN,
      0.1,
    ];
    const { sigmoid, erf } = functions;
    const host: Partial<Record<expr.Fn, (x: number) => number>> = {
      exp, log, tanh, sqrt: Math.sqrt, floor: Math.floor, abs: Math.abs, sin: Math.sin, cos: Math.cos, sigmoid, erf,
    }; // prettier-ignore
    for (const [name, f] of Object.entries(host))
      expect(Array.from(f64(functionsOf[name as 'exp'], xs)), name).toEqual(xs.map(f));
    expect(Array.from(f64((x) => expr.pow(x, 1.5), xs))).toEqual(xs.map((x) => x ** 1.5));
  });

  /** Errors in units of u·|x|: where 1 + tanh cancels, no formula of this form is better. */
  it.each(geluCases)('$name', async ({ op, exact, bound }) => {
    let [worst, at] = [0, 0];
    for (const n of sweep([-5.5, -1, -0.75, 0, 0.5, 1, 4])) {
      const x = tensor(points.slice(0, n), { backend });
      const y = op(x);
      const ys = await y.data();
      x.dispose();
      y.dispose();
      for (let i = 0; i < n; i++) {
        const [x, y] = [points[i], ys[i]];
        if (Object.is(y, Math.fround(exact(x))) || Number.isNaN(x)) continue;
        const error = Math.abs(y - exact(x)) / Math.max(Math.abs(x) * 2 ** -24, MIN);
        if (!(error <= worst)) [worst, at] = [error, x];
      }
    }
    expect(worst, `at ${at}`).toBeLessThanOrEqual(bound);
  });
});
