import {
  arange,
  assign,
  gather,
  grad,
  matmul,
  ones,
  permute,
  reshape,
  scatterAdd,
  setBackend,
  slice,
  sum,
  type Tensor,
  tensor,
  zeros,
} from '@bax/core';
import { cpu } from '@bax/cpu';
import { beforeEach, describe, expect, test } from 'vitest';
import { failures } from '../../support/failures.ts';

beforeEach(() => setBackend(cpu()));
const list = (t: Tensor): number[] => [...t.peek()!];
const i32 = (values: number[], shape: number[] = [values.length]): Tensor =>
  tensor(values, { dtype: 'i32', shape });
const table = (): Tensor => reshape(arange(8, { dtype: 'f32' }), [4, 2]);

describe('errors', () => {
  failures([
    [
      "gather: index is f32, not i32; indices are integers: index.cast('i32')",
      () => gather(table(), ones([2])),
    ],
    ['gather: the table is a scalar and has no rows', () => gather(tensor(1), i32([0]))],
    ["gather: index 4 at position 1 is outside the table's 4 rows", () => gather(table(), i32([0, 4]))],
    ["gather: index -1 at position 0 is outside the table's 4 rows", () => gather(table(), i32([-1]))],
    [
      "scatterAdd: index is f32, not i32; indices are integers: index.cast('i32')",
      () => scatterAdd(3, ones([2]), ones([2])),
    ],
    [
      'scatterAdd: values [3] do not start with the shape of index [2]',
      () => scatterAdd(3, i32([0, 1]), ones([3])),
    ],
    [
      "scatterAdd: index 3 at position 0 is outside the table's 3 rows",
      () => scatterAdd(3, i32([3]), ones([1])),
    ],
    [
      'scatterAdd: [-1] is not a shape: axis lengths are integers from 0',
      () => scatterAdd(-1, i32([0]), ones([1])),
    ],
  ]);
});

test('rows by number, in any shape of numbers', () => {
  const y = gather(table(), i32([3, 0, 0, 2, 1, 3], [2, 3]));
  expect([y.shape, list(y)]).toEqual([
    [2, 3, 2],
    [6, 7, 0, 1, 0, 1, 4, 5, 2, 3, 6, 7],
  ]);
  expect(gather(table(), tensor(2, { dtype: 'i32' })).shape).toEqual([2]);
  expect(gather(table(), i32([])).shape).toEqual([0, 2]);
  expect(list(gather(i32([5, 6, 7]), i32([2, 0])))).toEqual([7, 5]);
});

test('= one-hot · table, for strided tables and indices too', () => {
  const wide = permute(reshape(arange(8, { dtype: 'f32' }), [2, 4]), [1, 0]);
  const index = slice(i32([9, 3, 1, 1, 9]), 0, 1, 4);
  const oneHot = tensor([[0, 0, 0, 1], [0, 1, 0, 0], [0, 1, 0, 0]]); // prettier-ignore
  expect(list(gather(wide, index))).toEqual(list(matmul(oneHot, wide)));
});

test('repeated indices add up: in scatterAdd and in the gradient of gather', () => {
  expect(list(scatterAdd(3, i32([2, 0, 2]), tensor([[1, 2], [3, 4], [5, 6]])))).toEqual([3, 4, 0, 0, 6, 8]); // prettier-ignore
  const w = tensor([[1, 2], [3, 4]], { requiresGrad: true }); // prettier-ignore
  const y = gather(w, i32([1, 1, 1]));
  expect(list(grad(y, [w], { cotangent: tensor([[1, 2], [3, 4], [5, 6]]) })[0])).toEqual([0, 0, 9, 12]); // prettier-ignore
});

test('scatterAdd begins with zeros, also where memory is used again', () => {
  const backend = cpu();
  const old = ones([3], { backend });
  old.dispose();
  const values = zeros([1], { backend });
  expect(
    list(scatterAdd(3, tensor([1], { dtype: 'i32', backend }), assign(values, ones([1], { backend })))),
  ).toEqual([0, 1, 0]);
  expect(list(sum(scatterAdd(2, tensor([], { dtype: 'i32' }), zeros([0]))))).toEqual([0]);
});
