import {
  abs, add, arange, cast, copy, div, eq, exp, expr as e, ge, gelu, geluExact, grad, gt, le, log, lt, maximum, minimum, mul, ne, neg, ones, ops, pow,
  relu, setBackend, sigmoid, silu, sub, sum, tanh, type Tensor, tensor, transpose, update, ushr, where, zeros,
} from '@bax/core'; // prettier-ignore
import { cpu } from '@bax/cpu';
import { beforeEach, describe, expect, test } from 'vitest';
import { failures } from '../../support/failures.ts';

beforeEach(() => setBackend(cpu()));
const list = (t: Tensor): number[] => [...t.peek()!];
const f64 = (...values: number[]): Tensor => tensor(Float64Array.from(values), { requiresGrad: true });
const i32 = (...values: number[]): Tensor => tensor(values, { dtype: 'i32' });

describe('errors', () => {
  failures([
    [
      'add: shapes do not broadcast: [2, 3] with [2]; two lengths must be equal, or one of them 1',
      () => add(ones([2, 3]), ones([2])),
    ],
    [
      'where: shapes do not broadcast: [2] with [3] with [1]; two lengths must be equal, or one of them 1',
      () => where(i32(1, 1), ones([3]), ones([1])),
    ],
    [
      'mul: dtypes differ: f32 [2] and f64 [2]; cast one of them',
      () => mul(ones([2]), ones([2], { dtype: 'f64' })),
    ],
    ['add: dtypes differ: f32 [2] and i32 [2]; cast one of them', () => add(ones([2]), i32(1, 2))],
    ["div: x is i32; cast it first: x.cast('f32')", () => div(i32(1), i32(2))],
    ["exp: x is i32; cast it first: x.cast('f32')", () => exp(i32(1))],
    [
      "add: the number 0.5 is not an integer, and the tensor is i32; cast it first: x.cast('f32')",
      () => add(i32(1), 0.5),
    ],
    ['add: needs at least one tensor; wrap a number in tensor()', () => add(1, 2)],
    ['add: string is neither a tensor nor a number', () => add(ones([1]), '2' as unknown as number)],
    [
      'where: dtypes differ: f32 [2] and f64 [2]; cast one of them',
      () => where(i32(1, 0), ones([2]), ones([2], { dtype: 'f64' })),
    ],
  ]);
});

test('numbers on either side, and their gradients', () => {
  const x = f64(2, 4);
  expect([add(x, 1), add(1, x), sub(1, x), sub(x, 1), div(8, x), pow(x, 2), pow(2, x), maximum(x, 3), minimum(3, x)].map(list)).toEqual([
    [3, 5], [3, 5], [-1, -3], [1, 3], [4, 2], [4, 16], [4, 16], [3, 4], [2, 3],
  ]); // prettier-ignore
  expect(list(grad(sum(div(8, x)), [x])[0])).toEqual([-2, -0.5]);
  expect(list(grad(sum(sub(1, x)), [x])[0])).toEqual([-1, -1]);
  expect(list(grad(sum(pow(x, 3)), [x])[0])).toEqual([12, 48]);
  expect(list(grad(sum(pow(2, x)), [x])[0])).toEqual([4 * Math.LN2, 16 * Math.LN2]);
});

test('changing a number makes no new kernel', () => {
  const x = ones([2]);
  const keys = new Set<string>();
  const backend = cpu();
  const spy = {
    ...backend,
    map: (...args: Parameters<typeof backend.map>) => (keys.add(args[0].key), backend.map(...args)),
  };
  for (const rate of [0.1, 0.2, 1, 0]) mul(tensor([1, 2], { backend: spy }), rate);
  expect(keys.size).toBe(1);
  expect(list(x)).toEqual([1, 1]);
});

test('comparisons are i32, NaN is unequal to all', () => {
  const [a, b] = [tensor([1, 2, 3, NaN]), tensor([2, 2, 2, NaN])];
  const all = [lt, le, gt, ge, eq, ne].map((f) => f(a, b));
  expect(all.every((t) => t.dtype === 'i32')).toBe(true);
  expect(all.map(list)).toEqual([[1, 0, 0, 0], [1, 1, 0, 0], [0, 0, 1, 0], [0, 1, 1, 0], [0, 1, 0, 0], [1, 0, 1, 1]]); // prettier-ignore
  expect(list(gt(i32(3, 1), 2))).toEqual([1, 0]);
});

test('where takes what is chosen; the condition broadcasts; numbers may stand on either side', () => {
  expect(list(where(i32(1, 0), tensor([[1, 2], [3, 4]]), 0))).toEqual([1, 0, 3, 0]); // prettier-ignore
  expect(list(where(tensor([[1], [0]], { dtype: 'i32' }), tensor([1, 2]), tensor([8, 9])))).toEqual([
    1, 2, 8, 9,
  ]);
  expect(where(i32(1, 0), i32(5, 6), i32(7, 8)).dtype).toBe('i32');
  expect(list(where(i32(-3, 0), tensor([1, 2]), -1))).toEqual([1, -1]); // any number but 0 is yes
});

test('derivatives at kinks: abs and relu 0, maximum and minimum half and half', () => {
  const x = f64(-1, 0, 2);
  expect(list(grad(sum(abs(x)), [x])[0])).toEqual([-1, 0, 1]);
  expect(list(grad(sum(relu(x)), [x])[0])).toEqual([0, 0, 1]);
  const y = f64(1, 0, 1);
  expect(grad(sum(maximum(x, y)), [x, y]).map(list)).toEqual([[0, 0.5, 1], [1, 0.5, 0]]); // prettier-ignore
  expect(grad(sum(minimum(x, y)), [x, y]).map(list)).toEqual([[1, 0.5, 0], [0, 0.5, 1]]); // prettier-ignore
});

test('a NaN is not hidden', () => {
  const x = f64(NaN);
  for (const f of [
    relu,
    abs,
    neg,
    exp,
    log,
    tanh,
    sigmoid,
    silu,
    gelu,
    geluExact,
    (t: Tensor) => maximum(t, 0),
    (t: Tensor) => minimum(0, t),
  ])
    expect(list(f(x))).toEqual([NaN]);
});

test('far out the activations stay finite, and so do their gradients', () => {
  const x = f64(-1e4, -100, 100, 1e4);
  for (const f of [sigmoid, tanh, silu, gelu, geluExact, relu]) {
    const y = f(x);
    expect(list(y).every(Number.isFinite)).toBe(true);
    expect(list(grad(sum(y), [x])[0]).every(Number.isFinite)).toBe(true);
  }
  expect(list(silu(f64(1e4)))).toEqual([1e4]);
  expect(list(gelu(f64(1e4, -1e4))).map((v) => v + 0)).toEqual([1e4, 0]);
});

describe('cast', () => {
  test('cuts towards zero on the way to i32, rounds once to f32; x itself where nothing changes', () => {
    const x = f64(1.9, -1.9, 0.1);
    expect(list(cast(x, 'i32'))).toEqual([1, -1, 0]);
    expect(list(cast(x, 'f32'))).toEqual([1.9, -1.9, 0.1].map(Math.fround));
    expect(cast(x, 'f64')).toBe(x);
    expect(list(cast(i32(3), 'f64'))).toEqual([3]);
    expect([cast(x, 'i32').tracked, cast(x, 'f32').tracked]).toEqual([false, true]);
  });
  test('its three ops have names of their own in the registry', () => {
    expect(['castF32', 'castF64', 'castI32'].map((name) => ops.get(name)?.discrete)).toEqual([
      false,
      false,
      true,
    ]);
  });
});

test('integers wrap and stay integers', () => {
  expect(list(add(i32(2 ** 31 - 1), 1))).toEqual([-(2 ** 31)]);
  expect(list(mul(i32(65537, -3), i32(65537, 5)))).toEqual([131073, -15]);
  expect(list(ushr(i32(-1, 256), 8))).toEqual([2 ** 24 - 1, 1]);
  expect([abs(i32(-3)), neg(i32(3)), relu(i32(-3)), maximum(i32(1), 2)].map((t) => [t.dtype, ...list(t)])).toEqual([['i32', 3], ['i32', -3], ['i32', 0], ['i32', 2]]); // prettier-ignore
});

test('copy is row-major, in memory of its own', () => {
  const x = arange(6).reshape([2, 3]);
  const y = copy(transpose(x));
  expect([y.view.strides, list(y)]).toEqual([
    [2, 1],
    [0, 3, 1, 4, 2, 5],
  ]);
  update([e.constant(7)], [], [y], []);
  expect(list(x)).toEqual([0, 1, 2, 3, 4, 5]);
});

test('tensors without elements', () => {
  expect([add(zeros([0]), 1).shape, add(zeros([2, 0]), zeros([1])).shape, exp(zeros([0, 3])).shape]).toEqual([
    [0],
    [2, 0],
    [0, 3],
  ]);
  const x = tensor([], { requiresGrad: true });
  expect(grad(sum(exp(x)), [x])[0].shape).toEqual([0]);
});

test('every method is its function', () => {
  const x = f64(0.5, 2);
  const same: [Tensor, Tensor][] = [
    [x.add(1), add(x, 1)], [x.sub(1), sub(x, 1)], [x.mul(3), mul(x, 3)], [x.div(3), div(x, 3)], [x.pow(3), pow(x, 3)], [x.neg(), neg(x)],
    [x.abs(), abs(x)], [x.exp(), exp(x)], [x.log(), log(x)], [x.tanh(), tanh(x)], [x.sigmoid(), sigmoid(x)], [x.relu(), relu(x)],
    [x.gelu(), gelu(x)], [x.silu(), silu(x)], [x.sqrt(), pow(x, 0.5)], [x.cast('f32'), cast(x, 'f32')], [x.sum(), sum(x)],
  ]; // prettier-ignore
  for (const [method, f] of same) list(f).forEach((v, i) => expect(list(method)[i]).toBeCloseTo(v, 14));
  const m = arange(6, { dtype: 'f64' }).reshape([2, 3]);
  expect([m.mean(), m.max(0), m.min(1), m.argmax(1), m.transpose(), m.permute([1, 0]), m.slice(1, 1), m.expand([1, 2, 3]), m.matmul(m.transpose()), m.detach()].map(list)).toEqual([
    [2.5], [3, 4, 5], [0, 3], [2, 2], [0, 3, 1, 4, 2, 5], [0, 3, 1, 4, 2, 5], [1, 2, 4, 5], [0, 1, 2, 3, 4, 5], [5, 14, 14, 50], [0, 1, 2, 3, 4, 5],
  ]); // prettier-ignore
  list(m.softmax(0)).forEach((v, i) => expect(Math.log(v)).toBeCloseTo(list(m.logSoftmax(0))[i], 12));
});
