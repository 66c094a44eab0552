/** P37. */
import { assertSameBits, assertWithin } from '@bax/check';
import {
  arange,
  concat,
  crossEntropy,
  grad,
  ones,
  randn,
  reshape,
  setBackend,
  softmax,
  type Tensor,
  tensor,
  zeros,
} from '@bax/core';
import { cpu } from '@bax/cpu';
import { beforeEach, describe, expect, test } from 'vitest';
import { failures } from '../../support/failures.ts';

beforeEach(() => setBackend(cpu()));
const f64 = { dtype: 'f64' } as const;
const list = (t: Tensor): number[] => [...t.peek()!];
const ids = (...values: number[]): Tensor => tensor(values, { dtype: 'i32' });
const logitsOf = (rows: number, classes: number): Tensor =>
  randn([rows, classes], { key: rows, ...f64, requiresGrad: true });

describe('errors', () => {
  failures([
    [
      'crossEntropy: targets [3] do not fit logits [2, 5] = [...targets, classes]',
      () => crossEntropy(ones([2, 5]), ids(0, 1, 2)),
    ],
    [
      'crossEntropy: targets [1] do not fit logits [] = [...targets, classes]',
      () => crossEntropy(tensor(1), ids(0)),
    ],
    [
      "crossEntropy: targets is f32, not i32; indices are integers: targets.cast('i32')",
      () => crossEntropy(ones([2, 5]), ones([2])),
    ],
    [
      "crossEntropy: logits is i32; cast it first: logits.cast('f32')",
      () => crossEntropy(reshape(arange(2), [1, 2]), ids(0)),
    ],
    [
      'crossEntropy: target 5 at position 1 is not one of the 5 classes',
      () => crossEntropy(ones([2, 5]), ids(0, 5)),
    ],
    [
      'crossEntropy: target -1 at position 0 is not one of the 5 classes',
      () => crossEntropy(ones([2, 5]), ids(-1, 0)),
    ],
    [
      'crossEntropy: none of the 2 targets counts: all equal ignoreIndex (-100)',
      () => crossEntropy(ones([2, 5]), ids(-100, -100)),
    ],
    [
      'crossEntropy: none of the 0 targets counts: all equal ignoreIndex (-100)',
      () => crossEntropy(zeros([0, 5]), ids()),
    ],
  ]);
});

test('equal logits: ln V', () => {
  for (const classes of [1, 2, 7, 50257])
    expect(
      Math.abs(list(crossEntropy(zeros([3, classes], f64), ids(0, 0, 0)))[0] - Math.log(classes)),
    ).toBeLessThan(1e-13);
});

test('∂ = (p − onehot) / N; rows sum to 0', () => {
  const logits = logitsOf(4, 5);
  const targets = [1, 0, 4, 4];
  const d = list(grad(crossEntropy(logits, ids(...targets)), [logits])[0]);
  const p = list(softmax(logits));
  assertWithin(d, p.map((x, i) => (x - (targets[Math.floor(i / 5)] === i % 5 ? 1 : 0)) / 4), 1e-16, '∂logits'); // prettier-ignore
  for (let i = 0; i < 4; i++)
    expect(Math.abs(d.slice(5 * i, 5 * i + 5).reduce((a, b) => a + b, 0))).toBeLessThan(1e-15);
});

test.each([-100, 2])(
  'ignored rows (%s) count neither in the loss nor in N; their gradient is exactly 0',
  (ignoreIndex) => {
    const logits = logitsOf(4, 5);
    const loss = crossEntropy(logits, ids(1, ignoreIndex, 0, ignoreIndex), { ignoreIndex });
    const d = list(grad(loss, [logits])[0]);
    const rows = (...which: number[]): Tensor =>
      tensor(Float64Array.from(which.flatMap((i) => list(logits).slice(5 * i, 5 * i + 5))), {
        shape: [which.length, 5],
        requiresGrad: true,
      });
    const few = rows(0, 2);
    const small = crossEntropy(few, ids(1, 0));
    assertWithin(list(loss), list(small), 1e-15, 'loss');
    const want = list(grad(small, [few])[0]);
    assertWithin([...d.slice(0, 5), ...d.slice(10, 15)], want, 1e-16, 'counted rows');
    assertSameBits([...d.slice(5, 10), ...d.slice(15)], new Float64Array(10), 'ignored rows');
  },
);

test('each row twice: the same loss, half the gradient a row', () => {
  const logits = logitsOf(3, 4);
  const twice = concat([logits.detach(), logits.detach()]);
  twice.requiresGrad = true;
  const [one, two] = [crossEntropy(logits, ids(1, 2, 3)), crossEntropy(twice, ids(1, 2, 3, 1, 2, 3))];
  assertWithin(list(two), list(one), 1e-15, 'loss');
  const [d1, d2] = [list(grad(one, [logits])[0]), list(grad(two, [twice])[0])];
  assertWithin(d2, [...d1, ...d1].map((g) => g / 2), 1e-16, 'gradient'); // prettier-ignore
});

test('targets of any rank, as logits without their last axis', () => {
  const logits = randn([2, 3, 4], { key: 1, ...f64 });
  const targets = reshape(ids(0, 1, 2, 3, 0, 1), [2, 3]);
  assertSameBits(
    list(crossEntropy(logits, targets)),
    list(crossEntropy(reshape(logits, [6, 4]), reshape(targets, [6]))),
    'loss',
  );
  expect(list(crossEntropy(tensor([0, 0]), tensor(1, { dtype: 'i32' })))[0]).toBeCloseTo(Math.LN2, 6);
});

test('stays finite where a probability is 0', () => {
  const logits = tensor(Float64Array.of(1000, 0, -1000), { shape: [1, 3], requiresGrad: true });
  const loss = crossEntropy(logits, ids(2));
  expect(list(loss)).toEqual([2000]);
  expect(list(grad(loss, [logits])[0]).map((g) => g + 0)).toEqual([1, 0, -1]);
});

test('where the host cannot see the targets they are not checked, and nothing valid gives NaN', async () => {
  setBackend({ ...cpu(), peek: () => undefined });
  expect(await crossEntropy(zeros([1, 3]), ids(-100)).item()).toBeNaN();
});
