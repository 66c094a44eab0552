import {
  alias,
  type Backend,
  BaxError,
  debugMemory,
  expand,
  isTensor,
  keep,
  permute,
  setBackend,
  slice,
  type Tensor,
  tensor,
  zeros,
} from '@bax/core';
import { cpu } from '@bax/cpu';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';

const backend = cpu();
beforeEach(() => setBackend(backend));
afterEach(() => vi.restoreAllMocks());

const x = (): Tensor => tensor([[1, 2, 3], [4, 5, 6]]); // prettier-ignore

test('shape, rank, size, bytes, backend', () => {
  const t = zeros([2, 3], { dtype: 'f64' });
  expect([t.shape, t.rank, t.size, t.bytes, t.backend, t.freed, t.tracked]).toEqual([
    [2, 3],
    2,
    6,
    48,
    backend,
    false,
    false,
  ]);
});

describe('data', () => {
  test('is row-major for any view', async () => {
    expect([...(await permute(x(), [1, 0]).data())]).toEqual([1, 4, 2, 5, 3, 6]);
    expect([...(await slice(x(), 1, 1, 2).data())]).toEqual([2, 5]);
    expect([...(await expand(slice(x(), 0, 1), [2, 2, 3]).data())]).toEqual([
      4, 5, 6, 4, 5, 6, 4, 5, 6, 4, 5, 6,
    ]);
    expect([...(await zeros([2, 0]).data())]).toEqual([]);
  });
  test('is a copy', async () => {
    const t = x();
    (await t.data())[0] = 99;
    t.peek()![1] = 99;
    expect([...(await t.data())]).toEqual([1, 2, 3, 4, 5, 6]);
  });
});

test('item is the one number', async () => {
  expect(await tensor([[7]]).item()).toBe(7);
  await expect(x().item()).rejects.toThrow(new BaxError('item: needs one element, this tensor is [2, 3]'));
});

describe('showing', () => {
  test('prints dtype, shape, backend and values', async () => {
    expect(String(x())).toBe('Tensor f32 [2, 3] on cpu [[1, 2, 3],\n [4, 5, 6]]');
    expect(String(tensor(0.5))).toBe('Tensor f32 [] on cpu 0.5000');
    expect(String(tensor([1 / 3, NaN, -Infinity, 1e9]))).toBe(
      'Tensor f32 [4] on cpu [0.3333, NaN, -Infinity, 1.000e+9]',
    );
    expect(String(tensor(Float32Array.from({ length: 10 }, (_, i) => i)))).toBe(
      'Tensor f32 [10] on cpu [0, 1, 2, 3, …, 6, 7, 8, 9]',
    );
    expect(String(zeros([2, 0]))).toBe('Tensor f32 [2, 0] on cpu [[],\n []]');
    const log = vi.spyOn(console, 'log').mockReturnValue();
    await tensor([1, 2], { dtype: 'i32' }).print();
    expect(log).toHaveBeenCalledWith('Tensor i32 [2] on cpu [1, 2]');
  });
  test('says what it can of a freed tensor, and without values where the host cannot see them', () => {
    const t = x();
    t.dispose();
    expect(String(t)).toBe('Tensor f32 [2, 3] on cpu freed by dispose()');
    const far: Backend = { ...cpu(), name: 'far', peek: () => undefined };
    expect(String(zeros([2], { backend: far }))).toBe('Tensor f32 [2] on far');
  });
  test('console.log shows the same', async () => {
    const { inspect } = await import('node:util');
    expect(inspect(tensor([1]))).toBe('Tensor f32 [1] on cpu [1]');
  });
});

describe('a freed tensor', () => {
  test('says who freed it, and to whom', async () => {
    const t = x();
    t.dispose();
    expect(t.freed).toBe(true);
    expect(() => t.add(1)).toThrow('add: this tensor was freed by dispose()');
    expect(() => x().matmul(t)).toThrow('matmul: this tensor was freed by dispose()');
    await expect(t.data()).rejects.toThrow('data: this tensor was freed by dispose()');
    expect(() => keep(t)).toThrow('keep: this tensor was freed by dispose()');
    expect(t.peek()).toBeUndefined();
    t.dispose(); // again: no error
  });
  test('its views live on, and the memory is given back with the last of them', () => {
    const before = backend.memory();
    const t = x();
    const view = slice(t, 0, 1);
    t.dispose();
    expect(view.peek()).toEqual(Float32Array.of(4, 5, 6));
    expect(backend.memory().live).toBe(before.live + 24);
    view.dispose();
    expect(backend.memory().live).toBe(before.live);
    expect(backend.memory().buffers).toBe(before.buffers);
  });
});

test('using frees at the end of the block', () => {
  const before = backend.memory().live;
  {
    using t = x();
    using total = t.sum(); // also what sum needed on the way
    expect(total.peek()).toEqual(Float32Array.of(21));
  }
  expect(backend.memory().live).toBe(before);
});

test('isTensor knows tensors of other copies of bax by their brand', () => {
  expect([x(), { [Symbol.for('bax.tensor')]: true }, {}, null, undefined, 1, 'x'].map(isTensor)).toEqual([
    true,
    true,
    false,
    false,
    false,
    false,
    false,
  ]);
});

test('alias is another tensor on the same memory', () => {
  const t = tensor([1, 2], { requiresGrad: true });
  const other = alias(t);
  expect([other.requiresGrad, other.view]).toEqual([false, t.view]);
});

test('in debug mode a tensor remembers where it was made', () => {
  debugMemory(true);
  try {
    expect(x().hold.origin).toMatch(/tensor\.test\.ts/);
  } finally {
    debugMemory(false);
  }
  expect(x().hold.origin).toBeUndefined();
});
