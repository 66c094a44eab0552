import { setBackend, tensor } from '@bax/core';
import { cpu } from '@bax/cpu';
import { beforeEach, expect, it } from 'vitest';
import { leavesOf, sameLeaves } from '../../../packages/nn/src/train/batch-leaves.ts';

beforeEach(() => setBackend(cpu()));
const alike = (a: unknown, b: unknown): boolean => sameLeaves(leavesOf(a), leavesOf(b));

it('batches are alike if the same lies under the same names, whatever the elements and the count of tokens are', () => {
  const [x, y] = [tensor([1, 2]), tensor([3, 4])];
  expect(alike({ x, n: 1, validTokens: 2 }, { x: y, n: 1, validTokens: 5 })).toBe(true);
  expect(alike([x, new Map([['a', y]])], [y, new Map([['a', x]])])).toBe(true);
  expect(alike({ n: NaN, s: null }, { n: NaN, s: null })).toBe(true);
});

it('a recording is not fed with tensors of the same shapes in other places', () => {
  const [x, y] = [tensor([1, 2]), tensor([3, 4])];
  expect(alike({ ids: x, targets: y }, { targets: x, ids: y })).toBe(false);
  expect(alike(new Map([['a', x]]), new Map([['b', x]]))).toBe(false);
  expect(alike([[x], y], [x, [y]])).toBe(false);
});

it('other shapes, dtypes, values or what can change inside are not alike', () => {
  const x = tensor([1, 2]);
  expect(alike({ x }, { x: tensor([1]) })).toBe(false);
  expect(alike({ x }, { x: tensor([1, 2], { dtype: 'f64' }) })).toBe(false);
  expect(alike({ x }, { x: 1 })).toBe(false);
  expect(alike({ n: 1 }, { n: 2 })).toBe(false);
  expect(alike({ n: 1 }, { n: 1, m: 2 })).toBe(false);
  const own = new Uint8Array(1);
  expect(alike({ own }, { own })).toBe(false);
});
