/**
 * One loop for each scalar function: o[p + e] = fn(a[i + e], b[j + e], c[k + e]) for e < n. Each result is rounded to
 * the array's type when it is stored, so that a fused expression gives the same bits as its parts.
 * The loops are written out: V8 specialises a loop for the arrays it has met, and these meet one type in most programs.
 */
import type { expr } from '@bax/core';
import { erf, sigmoid } from './functions.ts';

export type Block = Float32Array | Float64Array | Int32Array;
type Kernel<B> = (o: B, p: number, n: number, a: B, i: number, b: B, j: number, c: B, k: number) => void;
export type Kernels<B> = Readonly<Record<expr.Fn, Kernel<B>>>;

export const floatKernels: Kernels<Float32Array | Float64Array> = {
  add(o, p, n, a, i, b, j) {
    for (let e = 0; e < n; e++) o[p + e] = a[i + e] + b[j + e];
  },
  sub(o, p, n, a, i, b, j) {
    for (let e = 0; e < n; e++) o[p + e] = a[i + e] - b[j + e];
  },
  mul(o, p, n, a, i, b, j) {
    for (let e = 0; e < n; e++) o[p + e] = a[i + e] * b[j + e];
  },
  div(o, p, n, a, i, b, j) {
    for (let e = 0; e < n; e++) o[p + e] = a[i + e] / b[j + e];
  },
  min(o, p, n, a, i, b, j) {
    for (let e = 0; e < n; e++) o[p + e] = Math.min(a[i + e], b[j + e]);
  },
  max(o, p, n, a, i, b, j) {
    for (let e = 0; e < n; e++) o[p + e] = Math.max(a[i + e], b[j + e]);
  },
  pow(o, p, n, a, i, b, j) {
    for (let e = 0; e < n; e++) o[p + e] = a[i + e] ** b[j + e];
  },
  lt(o, p, n, a, i, b, j) {
    for (let e = 0; e < n; e++) o[p + e] = a[i + e] < b[j + e] ? 1 : 0;
  },
  le(o, p, n, a, i, b, j) {
    for (let e = 0; e < n; e++) o[p + e] = a[i + e] <= b[j + e] ? 1 : 0;
  },
  eq(o, p, n, a, i, b, j) {
    for (let e = 0; e < n; e++) o[p + e] = a[i + e] === b[j + e] ? 1 : 0;
  },
  select(o, p, n, a, i, b, j, c, k) {
    for (let e = 0; e < n; e++) o[p + e] = a[i + e] !== 0 ? b[j + e] : c[k + e];
  },
  neg(o, p, n, a, i) {
    for (let e = 0; e < n; e++) o[p + e] = -a[i + e];
  },
  abs(o, p, n, a, i) {
    for (let e = 0; e < n; e++) o[p + e] = Math.abs(a[i + e]);
  },
  floor(o, p, n, a, i) {
    for (let e = 0; e < n; e++) o[p + e] = Math.floor(a[i + e]);
  },
  sqrt(o, p, n, a, i) {
    for (let e = 0; e < n; e++) o[p + e] = Math.sqrt(a[i + e]);
  },
  exp(o, p, n, a, i) {
    for (let e = 0; e < n; e++) o[p + e] = Math.exp(a[i + e]);
  },
  log(o, p, n, a, i) {
    for (let e = 0; e < n; e++) o[p + e] = Math.log(a[i + e]);
  },
  tanh(o, p, n, a, i) {
    for (let e = 0; e < n; e++) o[p + e] = Math.tanh(a[i + e]);
  },
  sigmoid(o, p, n, a, i) {
    for (let e = 0; e < n; e++) o[p + e] = sigmoid(a[i + e]);
  },
  sin(o, p, n, a, i) {
    for (let e = 0; e < n; e++) o[p + e] = Math.sin(a[i + e]);
  },
  cos(o, p, n, a, i) {
    for (let e = 0; e < n; e++) o[p + e] = Math.cos(a[i + e]);
  },
  erf(o, p, n, a, i) {
    for (let e = 0; e < n; e++) o[p + e] = erf(a[i + e]);
  },
  ushr: refuse('ushr', 'floats'),
};

/** i32 arithmetic wraps. What has no meaning in integers is refused. */
export const intKernels: Kernels<Int32Array> = {
  add(o, p, n, a, i, b, j) {
    for (let e = 0; e < n; e++) o[p + e] = a[i + e] + b[j + e];
  },
  sub(o, p, n, a, i, b, j) {
    for (let e = 0; e < n; e++) o[p + e] = a[i + e] - b[j + e];
  },
  mul(o, p, n, a, i, b, j) {
    for (let e = 0; e < n; e++) o[p + e] = Math.imul(a[i + e], b[j + e]);
  },
  min(o, p, n, a, i, b, j) {
    for (let e = 0; e < n; e++) o[p + e] = Math.min(a[i + e], b[j + e]);
  },
  max(o, p, n, a, i, b, j) {
    for (let e = 0; e < n; e++) o[p + e] = Math.max(a[i + e], b[j + e]);
  },
  lt(o, p, n, a, i, b, j) {
    for (let e = 0; e < n; e++) o[p + e] = a[i + e] < b[j + e] ? 1 : 0;
  },
  le(o, p, n, a, i, b, j) {
    for (let e = 0; e < n; e++) o[p + e] = a[i + e] <= b[j + e] ? 1 : 0;
  },
  eq(o, p, n, a, i, b, j) {
    for (let e = 0; e < n; e++) o[p + e] = a[i + e] === b[j + e] ? 1 : 0;
  },
  select(o, p, n, a, i, b, j, c, k) {
    for (let e = 0; e < n; e++) o[p + e] = a[i + e] !== 0 ? b[j + e] : c[k + e];
  },
  ushr(o, p, n, a, i, b, j) {
    for (let e = 0; e < n; e++) o[p + e] = a[i + e] >>> b[j + e];
  },
  neg(o, p, n, a, i) {
    for (let e = 0; e < n; e++) o[p + e] = -a[i + e];
  },
  abs(o, p, n, a, i) {
    for (let e = 0; e < n; e++) o[p + e] = Math.abs(a[i + e]);
  },
  floor(o, p, n, a, i) {
    for (let e = 0; e < n; e++) o[p + e] = a[i + e];
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
};

function refuse(fn: expr.Fn, type: string): () => never {
  return () => {
    throw new Error(`cpu: ${fn} is not defined for ${type}`);
  };
}
