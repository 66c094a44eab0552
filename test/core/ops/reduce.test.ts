import {
  argmax,
  arange,
  expand,
  grad,
  logSumExp,
  max,
  mean,
  min,
  ones,
  reshape,
  setBackend,
  sum,
  type Tensor,
  tensor,
  transpose,
  variance,
  zeros,
} from '@bax/core';
import { cpu } from '@bax/cpu';
import { beforeEach, describe, expect, test } from 'vitest';
import { failures } from '../../support/failures.ts';

beforeEach(() => setBackend(cpu()));
const list = (t: Tensor): number[] => [...t.peek()!];
const x = (): Tensor => tensor(Float64Array.of(3, 1, 4, 1, 5, 9), { shape: [2, 3], requiresGrad: true });

describe('errors', () => {
  failures([
    ['sum: there is no axis 2 in a tensor of rank 2', () => sum(x(), 2)],
    ['sum: there is no axis -3 in a tensor of rank 2', () => sum(x(), -3)],
    ['sum: there is no axis 0.5 in a tensor of rank 2', () => sum(x(), 0.5)],
    ['max: an axis is named twice in [1, 1]', () => max(x(), [1, -1])],
    ['max: the maximum of nothing: x is [2, 0]', () => max(zeros([2, 0]), 1)],
    ['argmax: the maximum of nothing: x is [2, 0]', () => argmax(zeros([2, 0]))],
    ['argmax: there is no axis -1 in a tensor of rank 0', () => argmax(tensor(1))],
    ['mean: the mean of nothing: x is [0]', () => mean(zeros([0]))],
    ["mean: x is i32; cast it first: x.cast('f32')", () => mean(arange(3))],
    ["logSumExp: x is i32; cast it first: x.cast('f32')", () => logSumExp(arange(3))],
    ['variance: 1 elements leave nothing after a correction of 1: x is [1]', () => variance(ones([1]))],
    ["variance: x is i32; cast it first: x.cast('f32')", () => variance(arange(3))],
  ]);
});

test('axes: one, several, from the end, none named = all; kept or dropped', () => {
  expect([sum(x()), sum(x(), 0), sum(x(), -1), sum(x(), [1, 0]), sum(x(), [])].map((t) => [t.shape, list(t)])).toEqual([
    [[], [23]], [[3], [4, 6, 13]], [[2], [8, 15]], [[], [23]], [[2, 3], [3, 1, 4, 1, 5, 9]],
  ]); // prettier-ignore
  expect([
    sum(x(), 0, { keepDims: true }).shape,
    max(x(), undefined, { keepDims: true }).shape,
    argmax(x(), 0, { keepDims: true }).shape,
  ]).toEqual([
    [1, 3],
    [1, 1],
    [1, 3],
  ]);
});

test('values', () => {
  expect([max(x(), 1), min(x(), 0), mean(x(), 1), argmax(x(), 1), argmax(x(), 0)].map(list)).toEqual([[4, 9], [1, 1, 4], [8 / 3, 5], [2, 2], [0, 1, 1]]); // prettier-ignore
  expect(list(logSumExp(x()))[0]).toBeCloseTo(
    Math.log([3, 1, 4, 1, 5, 9].reduce((s, v) => s + Math.exp(v), 0)),
    13,
  );
  expect([list(variance(x(), 1))[1], list(variance(x(), 1, { correction: 0 }))[1]]).toEqual([16, 32 / 3]);
});

test('argmax is the first of equal ones', () => {
  expect(list(argmax(tensor([[1, 3, 3], [2, 2, 2], [-5, -5, -9]])))).toEqual([1, 0, 0]); // prettier-ignore
  expect(list(argmax(tensor([4, 7, 7], { dtype: 'i32' })))).toEqual([1]);
});

test('equal maxima share the gradient, those of min too', () => {
  const t = tensor(Float64Array.of(5, 5, 1, 5), { requiresGrad: true });
  expect(list(grad(max(t), [t])[0])).toEqual([1 / 3, 1 / 3, 0, 1 / 3]);
  expect(list(grad(min(t), [t])[0]).map((v) => v + 0)).toEqual([0, 0, 1, 0]);
});

test('logSumExp neither overflows nor loses small ones', () => {
  expect(list(logSumExp(tensor(Float64Array.of(1000, 1000))))[0]).toBeCloseTo(1000 + Math.LN2, 12);
  expect(list(logSumExp(tensor(Float64Array.of(-1000, -1000))))[0]).toBeCloseTo(-1000 + Math.LN2, 12);
});

test('sums of integers, of expanded views, of nothing', () => {
  expect([sum(arange(5)).dtype, ...list(sum(arange(5)))]).toEqual(['i32', 10]);
  expect(list(sum(expand(tensor(2), [3, 4])))).toEqual([24]);
  expect(list(sum(transpose(reshape(arange(6), [2, 3])), 0))).toEqual([3, 12]);
  expect([list(sum(zeros([0]))), list(sum(zeros([2, 0]), 1)), list(max(zeros([0, 3]), 1))]).toEqual([
    [0],
    [0, 0],
    [],
  ]);
});
