import {
  arange,
  concat,
  contiguous,
  expand,
  grad,
  mul,
  ones,
  pad,
  permute,
  reshape,
  setBackend,
  slice,
  stack,
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
const m = (): Tensor => reshape(arange(6, { dtype: 'f32' }), [2, 3]);

describe('errors', () => {
  failures([
    ['reshape: [2, 3] has 6 elements and cannot become [4]', () => reshape(m(), [4])],
    ['reshape: [2, 3] has 6 elements and cannot become [-1, -1]', () => reshape(m(), [-1, -1])],
    ['reshape: [2, 3] has 6 elements and cannot become [4, -1]', () => reshape(m(), [4, -1])],
    ['reshape: [2, 3] has 6 elements and cannot become [-2, -3]', () => reshape(m(), [-2, -3])],
    ['reshape: [0] has 0 elements and cannot become [0, -1]', () => reshape(zeros([0]), [0, -1])],
    ['permute: [0, 0] does not name each axis of [2, 3] once', () => permute(m(), [0, 0])],
    ['permute: [1] does not name each axis of [2, 3] once', () => permute(m(), [1])],
    ['permute: there is no axis 2 in a tensor of rank 2', () => permute(m(), [0, 2])],
    ['transpose: there is no axis -2 in a tensor of rank 1', () => transpose(ones([3]))],
    ['expand: [2, 3] cannot be repeated to [3, 3]', () => expand(m(), [3, 3])],
    ['expand: [2, 3] cannot be repeated to [3]', () => expand(m(), [3])],
    ['expand: [-1] is not a shape: axis lengths are integers from 0', () => expand(ones([1]), [-1])],
    ['expand: [1.5] is not a shape: axis lengths are integers from 0', () => expand(ones([1]), [1.5])],
    ['slice: 1 to 4 is not a range within axis 1 of [2, 3]', () => slice(m(), 1, 1, 4)],
    ['slice: 2 to 1 is not a range within axis 1 of [2, 3]', () => slice(m(), 1, 2, 1)],
    ['slice: -4 to 3 is not a range within axis 1 of [2, 3]', () => slice(m(), 1, -4)],
    ['slice: 0.5 to 3 is not a range within axis 1 of [2, 3]', () => slice(m(), 1, 0.5)],
    ['slice: there is no axis 2 in a tensor of rank 2', () => slice(m(), 2, 0)],
    ['concat: needs at least one tensor', () => concat([])],
    ['concat: ranks differ: [2, 3] and [3]', () => concat([m(), ones([3])])],
    ['concat: shapes differ beside axis 0: [2, 3] and [2, 2]', () => concat([m(), ones([2, 2])])],
    ['concat: dtypes differ: f32 [2, 3] and i32 [2, 3]; cast one of them', () => concat([m(), reshape(arange(6), [2, 3])])],
    ['concat: there is no axis 2 in a tensor of rank 2', () => concat([m()], 2)],
    ['stack: needs at least one tensor', () => stack([])],
    ['stack: there is no axis 3 in a tensor of rank 3', () => stack([m()], 3)],
    ['pad: -1 is not a number of elements to pad with', () => pad(m(), 0, -1, 0)],
    ['pad: 0.5 is not a number of elements to pad with', () => pad(m(), 0, 0, 0.5)],
    ['pad: there is no axis 2 in a tensor of rank 2', () => pad(m(), 2, 1, 0)],
  ]); // prettier-ignore
});

test('concat and stack lay side by side, along any axis, whatever the strides', () => {
  expect(list(concat([m(), m()], 0))).toEqual([0, 1, 2, 3, 4, 5, 0, 1, 2, 3, 4, 5]);
  expect(list(concat([m(), slice(m(), 1, 2)], -1))).toEqual([0, 1, 2, 2, 3, 4, 5, 5]);
  expect(list(concat([transpose(m()), zeros([3, 0]), transpose(m())], 1))).toEqual([
    0, 3, 0, 3, 1, 4, 1, 4, 2, 5, 2, 5,
  ]);
  const s = stack([m(), mul(m(), 10)], 1);
  expect([s.shape, list(s)]).toEqual([
    [2, 2, 3],
    [0, 1, 2, 0, 10, 20, 3, 4, 5, 30, 40, 50],
  ]);
  expect(stack([m(), m(), m()], -1).shape).toEqual([2, 3, 3]);
  expect(concat([m()]).view.buffer).not.toBe(m().view.buffer);
});

test('three pieces of a concat each get their part of the gradient', () => {
  const parts = [1, 2, 3].map((n) => ones([n, 2], { requiresGrad: true }));
  const y = concat(parts);
  const grads = grad(y, parts, { cotangent: reshape(arange(12, { dtype: 'f32' }), [6, 2]) });
  expect(grads.map(list)).toEqual([
    [0, 1],
    [2, 3, 4, 5],
    [6, 7, 8, 9, 10, 11],
  ]);
});

test('pad puts `before` before and `after` after', () => {
  expect(list(pad(m(), 1, 1, 2, 9))).toEqual([9, 0, 1, 2, 9, 9, 9, 3, 4, 5, 9, 9]);
  expect(list(pad(m(), 0, 1, 0))).toEqual([0, 0, 0, 0, 1, 2, 3, 4, 5]);
  expect(list(pad(zeros([0]), 0, 1, 1, 7))).toEqual([7, 7]);
  const x = m();
  expect(pad(x, 0, 0, 0)).toBe(x);
  expect(list(pad(arange(2), 0, 0, 1, -3))).toEqual([0, 1, -3]);
});

test('what changes nothing is x itself; views share memory', () => {
  const x = m();
  for (const same of [reshape(x, [2, 3]), expand(x, [2, 3]), slice(x, 0, 0), contiguous(x)])
    expect(same).toBe(x);
  for (const view of [reshape(x, [6]), transpose(x), slice(x, 1, 1), expand(x, [4, 2, 3])])
    expect(view.view.buffer).toBe(x.view.buffer);
  expect(contiguous(transpose(x)).view.buffer).not.toBe(x.view.buffer);
});

test('the shape that was asked for is copied', () => {
  const shape = [4, 2, 3];
  const x = expand(m(), shape);
  const y = reshape(m(), [3, 2]);
  shape[0] = 9;
  expect([x.shape, y.shape]).toEqual([
    [4, 2, 3],
    [3, 2],
  ]);
});

test('the gradient of a slice is zero elsewhere', () => {
  const x = tensor([1, 2, 3, 4], { requiresGrad: true });
  expect(list(grad(sum(mul(slice(x, 0, -3, -1), 5)), [x])[0])).toEqual([0, 5, 5, 0]);
});
