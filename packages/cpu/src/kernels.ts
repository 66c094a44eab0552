/**
 * One loop for each scalar function, over registers: r[o | e] = fn(r[a | e], r[b | e], r[c | e]) for e < n. A register is
 * a block of the register file `r` that begins at a multiple of the block's length, a power of two. Each result is
 * rounded to the file's type when it is stored, so that a fused expression gives the same bits as its parts.
 *
 * The file is a constant of the closures: V8 then knows its address and length, which halves the time of a loop.
 */
import { functions, type expr } from '@bax/core';

export type RegisterFile = Float32Array | Float64Array | Int32Array;
type Kernel = (n: number, o: number, a: number, b: number, c: number) => void;
export type Kernels = Readonly<Record<expr.Fn, Kernel>>;

export const floatKernels = (r: Float32Array | Float64Array): Kernels => ({
  add(n, o, a, b) {
    for (let e = 0; e < n; e++) r[o | e] = r[a | e] + r[b | e];
  },
  sub(n, o, a, b) {
    for (let e = 0; e < n; e++) r[o | e] = r[a | e] - r[b | e];
  },
  mul(n, o, a, b) {
    for (let e = 0; e < n; e++) r[o | e] = r[a | e] * r[b | e];
  },
  div(n, o, a, b) {
    for (let e = 0; e < n; e++) r[o | e] = r[a | e] / r[b | e];
  },
  min(n, o, a, b) {
    for (let e = 0; e < n; e++) r[o | e] = Math.min(r[a | e], r[b | e]);
  },
  max(n, o, a, b) {
    for (let e = 0; e < n; e++) r[o | e] = Math.max(r[a | e], r[b | e]);
  },
  pow(n, o, a, b) {
    for (let e = 0; e < n; e++) r[o | e] = r[a | e] ** r[b | e];
  },
  lt(n, o, a, b) {
    for (let e = 0; e < n; e++) r[o | e] = r[a | e] < r[b | e] ? 1 : 0;
  },
  le(n, o, a, b) {
    for (let e = 0; e < n; e++) r[o | e] = r[a | e] <= r[b | e] ? 1 : 0;
  },
  eq(n, o, a, b) {
    for (let e = 0; e < n; e++) r[o | e] = r[a | e] === r[b | e] ? 1 : 0;
  },
  select(n, o, a, b, c) {
    for (let e = 0; e < n; e++) r[o | e] = r[a | e] !== 0 ? r[b | e] : r[c | e];
  },
  neg(n, o, a) {
    for (let e = 0; e < n; e++) r[o | e] = -r[a | e];
  },
  abs(n, o, a) {
    for (let e = 0; e < n; e++) r[o | e] = Math.abs(r[a | e]);
  },
  floor(n, o, a) {
    for (let e = 0; e < n; e++) r[o | e] = Math.floor(r[a | e]);
  },
  sqrt(n, o, a) {
    for (let e = 0; e < n; e++) r[o | e] = Math.sqrt(r[a | e]);
  },
  exp(n, o, a) {
    for (let e = 0; e < n; e++) r[o | e] = Math.exp(r[a | e]);
  },
  log(n, o, a) {
    for (let e = 0; e < n; e++) r[o | e] = Math.log(r[a | e]);
  },
  tanh(n, o, a) {
    for (let e = 0; e < n; e++) r[o | e] = Math.tanh(r[a | e]);
  },
  sigmoid(n, o, a) {
    for (let e = 0; e < n; e++) r[o | e] = functions.sigmoid(r[a | e]);
  },
  sin(n, o, a) {
    for (let e = 0; e < n; e++) r[o | e] = Math.sin(r[a | e]);
  },
  cos(n, o, a) {
    for (let e = 0; e < n; e++) r[o | e] = Math.cos(r[a | e]);
  },
  erf(n, o, a) {
    for (let e = 0; e < n; e++) r[o | e] = functions.erf(r[a | e]);
  },
  ushr: refuse('ushr', 'floats'),
});

/** i32 arithmetic wraps. What has no meaning in integers is refused. */
export const intKernels = (r: Int32Array): Kernels => ({
  add(n, o, a, b) {
    for (let e = 0; e < n; e++) r[o | e] = r[a | e] + r[b | e];
  },
  sub(n, o, a, b) {
    for (let e = 0; e < n; e++) r[o | e] = r[a | e] - r[b | e];
  },
  mul(n, o, a, b) {
    for (let e = 0; e < n; e++) r[o | e] = Math.imul(r[a | e], r[b | e]);
  },
  min(n, o, a, b) {
    for (let e = 0; e < n; e++) r[o | e] = Math.min(r[a | e], r[b | e]);
  },
  max(n, o, a, b) {
    for (let e = 0; e < n; e++) r[o | e] = Math.max(r[a | e], r[b | e]);
  },
  lt(n, o, a, b) {
    for (let e = 0; e < n; e++) r[o | e] = r[a | e] < r[b | e] ? 1 : 0;
  },
  le(n, o, a, b) {
    for (let e = 0; e < n; e++) r[o | e] = r[a | e] <= r[b | e] ? 1 : 0;
  },
  eq(n, o, a, b) {
    for (let e = 0; e < n; e++) r[o | e] = r[a | e] === r[b | e] ? 1 : 0;
  },
  select(n, o, a, b, c) {
    for (let e = 0; e < n; e++) r[o | e] = r[a | e] !== 0 ? r[b | e] : r[c | e];
  },
  ushr(n, o, a, b) {
    for (let e = 0; e < n; e++) r[o | e] = r[a | e] >>> r[b | e];
  },
  neg(n, o, a) {
    for (let e = 0; e < n; e++) r[o | e] = -r[a | e];
  },
  abs(n, o, a) {
    for (let e = 0; e < n; e++) r[o | e] = Math.abs(r[a | e]);
  },
  floor(n, o, a) {
    for (let e = 0; e < n; e++) r[o | e] = r[a | e];
  },
  div: refuse('div', 'i32'),
  pow: refuse('pow', 'i32'),
  sqrt: refuse('sqrt', 'i32'),
  exp: refuse('exp', 'i32'),
  log: refuse('log', 'i32'),
  tanh: refuse('tanh', 'i32'),
  sigmoid: refuse('sigmoid', 'i32'),
  sin: refuse('sin', 'i32'),
  cos: refuse('cos', 'i32'),
  erf: refuse('erf', 'i32'),
});

function refuse(fn: expr.Fn, type: string): () => never {
  return () => {
    throw new Error(`cpu: ${fn} is not defined for ${type}`);
  };
}
