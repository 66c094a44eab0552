import {
  add,
  attention,
  explain,
  grad,
  linear,
  matmul,
  mul,
  ones,
  relu,
  setBackend,
  softmax,
  sum,
  tapeOf,
  tensor,
  within,
} from '@bax/core';
import { cpu } from '@bax/cpu';
import { beforeEach, expect, test } from 'vitest';

beforeEach(() => setBackend(cpu()));
const w = (shape: number[]) => ones(shape, { requiresGrad: true });

test('a line a call, in the order of the program, with shapes, sources and module paths', () => {
  const x = ones([2, 3]);
  const weight = w([3, 4]);
  const h = within('mlp.fc', () => relu(matmul(x, weight)));
  expect(explain(sum(mul(h, h)))).toBe(
    [
      '%0 = matmul(constant [2, 3], parameter [3, 4]) -> [2, 4]  mlp.fc',
      '%1 = relu(%0 [2, 4]) -> [2, 4]  mlp.fc',
      '%2 = mul(%1 [2, 4], %1 [2, 4]) -> [2, 4]',
      '%3 = sum(%2 [2, 4]) -> [1, 1]',
      '%4 = reshape(%3 [1, 1]) -> []',
    ].join('\n'),
  );
});

test('an op with a rule is one line, however it was computed', () => {
  const q = w([1, 1, 2, 2]);
  expect(explain(attention(q, q, q))).toBe(
    '%0 = attention(parameter [1, 1, 2, 2], parameter [1, 1, 2, 2], parameter [1, 1, 2, 2]) -> [1, 1, 2, 2]',
  );
  expect(explain(softmax(linear(ones([1, 2]), w([3, 2]), ones([3]))))).toBe(
    '%0 = linear(constant [1, 2], parameter [3, 2], constant [3]) -> [1, 3]\n%1 = softmax(%0 [1, 3]) -> [1, 3]',
  );
});

test('without a tape', () => {
  const nothing = 'no tape: nothing that requires a gradient led here, or grad() consumed it';
  expect(explain(ones([2]))).toBe(nothing);
  const x = w([2]);
  const loss = sum(x);
  grad(loss, [x]);
  expect(explain(loss)).toBe(nothing);
});

test('tapeOf lists each record once, in the order in which they were made', () => {
  const x = tensor([1], { requiresGrad: true });
  const [a, b] = [mul(x, 2), mul(x, 3)];
  const c = add(b, a);
  const ids = tapeOf(mul(c, c)).map((r) => r.id);
  expect(ids).toHaveLength(4);
  expect(ids).toEqual(ids.toSorted((p, q) => p - q));
});
