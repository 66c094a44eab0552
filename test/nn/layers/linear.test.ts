import { assertSameBits } from '@bax/check';
import { ones, setBackend, tensor, transpose } from '@bax/core';
import { cpu } from '@bax/cpu';
import { Conv1D, Linear } from '@bax/nn';
import { expect, test } from 'vitest';
import { failure } from '../files/support.ts';

setBackend(cpu());

test('Linear is x Wᵀ + b, Conv1D the same with W stored the other way round', async () => {
  const [W, b, x] = [tensor([[1, 2, 3], [4, 5, 6]]), tensor([10, 20]), tensor([[[1, 0, -1]], [[2, 2, 2]]])]; // prettier-ignore
  const linear = new Linear(W, b);
  const conv1d = new Conv1D(tensor([[1, 4], [2, 5], [3, 6]]), b); // prettier-ignore
  for (const layer of [linear, conv1d]) {
    expect([layer.inFeatures, layer.outFeatures, layer.matrix.shape]).toEqual([3, 2, [2, 3]]);
    const y = layer.forward(x);
    expect(y.shape).toEqual([2, 1, 2]);
    expect(Array.from(await y.data())).toEqual([8, 18, 22, 50]);
  }
  expect(Array.from(await new Linear(W).forward(x).data())).toEqual([-2, -2, 12, 30]);
  assertSameBits(await conv1d.matrix.data(), await W.data(), 'matrix');
  assertSameBits(await transpose(conv1d.weight).data(), await W.data(), 'stored');
});

test('what does not fit is refused', async () => {
  expect(await failure(() => new Linear(ones([2])))).toBe('Linear: weight [2] is not a matrix');
  expect(await failure(() => new Linear(ones([2, 3]), ones([3])))).toBe(
    'Linear: bias [3] does not fit 2 outputs',
  );
  expect(await failure(() => new Conv1D(ones([2, 3]), ones([2])))).toBe(
    'Linear: bias [2] does not fit 3 outputs',
  );
  expect(await failure(() => new Linear(ones([2, 3]), ones([2, 1])))).toBe(
    'Linear: bias [2, 1] does not fit 2 outputs',
  );
});
