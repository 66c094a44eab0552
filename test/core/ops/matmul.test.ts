import {
  arange,
  expand,
  grad,
  linear,
  matmul,
  ones,
  reshape,
  setBackend,
  sum,
  type Tensor,
  tensor,
  transpose,
  zeros,
} from '@bax/core';
import { cpu } from '@bax/cpu';
import { beforeEach, describe, expect, test } from 'vitest';
import { failures } from '../../support/failures.ts';

beforeEach(() => setBackend(cpu()));
const list = (t: Tensor): number[] => [...t.peek()!];
const counted = (shape: number[]): Tensor => reshape(arange(shape.reduce((n, k) => n * k, 1), { dtype: 'f32' }), shape); // prettier-ignore

describe('errors', () => {
  failures([
    [
      'matmul: inner dimensions differ: a [2, 3] x b [4, 5]  (3 != 4)',
      () => matmul(ones([2, 3]), ones([4, 5])),
    ],
    [
      'matmul: needs matrices: a [3] x b [3, 2]; reshape a vector to [1, k] or [k, 1]',
      () => matmul(ones([3]), ones([3, 2])),
    ],
    [
      'matmul: batch dimensions do not broadcast: a [2, 1, 3] x b [3, 3, 1]',
      () => matmul(ones([2, 1, 3]), ones([3, 3, 1])),
    ],
    [
      'matmul: dtypes differ: f32 [1, 1] and f64 [1, 1]; cast one of them',
      () => matmul(ones([1, 1]), ones([1, 1], { dtype: 'f64' })),
    ],
    [
      'linear: x [2, 3] does not fit weight [4, 5] = [out, in]  (3 != 5)',
      () => linear(ones([2, 3]), ones([4, 5])),
    ],
    ['linear: weight [3] is not a matrix [out, in]', () => linear(ones([2, 3]), ones([3]))],
    ['linear: x is a scalar; it needs a last axis of length in', () => linear(tensor(1), ones([1, 1]))],
    ['linear: bias [3] is not [out] = [4]', () => linear(ones([2, 3]), ones([4, 3]), ones([3]))],
    [
      'linear: dtypes differ: f32 [2, 3] and i32 [3]; cast one of them',
      () => linear(ones([2, 3]), ones([3, 3]), arange(3)),
    ],
  ]);
});

test('by hand', () => {
  expect(list(matmul(tensor([[1, 2], [3, 4]]), tensor([[5, 6], [7, 8]])))).toEqual([19, 22, 43, 50]); // prettier-ignore
  expect(list(linear(tensor([1, 2]), tensor([[3, 4], [5, 6], [7, 8]]), tensor([10, 20, 30])))).toEqual([21, 37, 53]); // prettier-ignore
});

test('leading axes broadcast', () => {
  expect(matmul(ones([4, 1, 2, 3]), ones([5, 3, 6])).shape).toEqual([4, 5, 2, 6]);
  const [a, b] = [counted([2, 2, 3]), counted([3, 1])];
  expect(list(matmul(a, b))).toEqual([5, 14, 23, 32]);
  b.requiresGrad = true;
  const batch = grad(sum(matmul(a, b)), [b])[0];
  expect([batch.shape, list(batch)]).toEqual([
    [3, 1],
    [18, 22, 26],
  ]);
});

test('linear of any strides and any number of leading axes, in one product where the rows allow it', () => {
  const w = counted([4, 3]);
  const x = counted([2, 5, 3]);
  const plain = list(linear(x, w));
  expect(list(linear(reshape(x, [10, 3]), w))).toEqual(plain);
  const turned = transpose(reshape(transpose(x), [2, 3, 5])); // rows with a stride of 1, columns of 5
  expect(list(linear(turned, w))).toEqual(plain);
  expect(list(linear(turned, w, ones([4])))).toEqual(plain.map((y) => y + 1));
  expect(linear(expand(ones([3]), [2, 2, 3]), w).shape).toEqual([2, 2, 4]);
  expect(list(linear(expand(ones([3]), [2, 3]), w, ones([4])))).toEqual([4, 13, 22, 31, 4, 13, 22, 31]);
});

test('nothing times nothing', () => {
  expect(list(matmul(zeros([2, 0]), zeros([0, 2])))).toEqual([0, 0, 0, 0]);
  expect(list(linear(zeros([2, 0]), zeros([3, 0]), ones([3])))).toEqual([1, 1, 1, 1, 1, 1]);
  expect([matmul(zeros([0, 2]), ones([2, 3])).shape, linear(zeros([0, 2]), ones([3, 2])).shape]).toEqual([
    [0, 3],
    [0, 3],
  ]);
  const x = zeros([0, 2], { requiresGrad: true });
  const w = ones([3, 2], { requiresGrad: true });
  expect(grad(sum(linear(x, w)), [x, w]).map((g) => [g.shape, list(g)])).toEqual([[[0, 2], []], [[3, 2], [0, 0, 0, 0, 0, 0]]]); // prettier-ignore
});
