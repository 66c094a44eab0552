import { sameBits } from '@bax/check';
import {
  arange, eye, full, getBackend, key, normals, ones, positions, rand, randn, setBackend, type Tensor, tensor, uniforms, zeros,
} from '@bax/core'; // prettier-ignore
import { cpu } from '@bax/cpu';
import { beforeEach, describe, expect, test } from 'vitest';

beforeEach(() => setBackend(cpu()));

const values = async (t: Tensor): Promise<number[]> => [...(await t.data())];

describe('tensor', () => {
  test('takes a number, nested arrays or a typed array', async () => {
    expect([tensor(3).shape, await values(tensor(3))]).toEqual([[], [3]]);
    const t = tensor([[1, 2, 3], [4, 5, 6]]); // prettier-ignore
    expect([t.shape, t.dtype, await values(t)]).toEqual([[2, 3], 'f32', [1, 2, 3, 4, 5, 6]]);
    const flat = tensor(Float64Array.of(1, 2, 3, 4), { shape: [2, 2] });
    expect([flat.shape, flat.dtype]).toEqual([[2, 2], 'f64']);
    expect(tensor([]).shape).toEqual([0]);
    expect(tensor([[], []]).shape).toEqual([2, 0]);
    expect(tensor([[[[7]]]]).shape).toEqual([1, 1, 1, 1]);
  });

  test("a typed array's kind is the dtype unless one is named", () => {
    expect(tensor(Float32Array.of(1)).dtype).toBe('f32');
    expect(tensor(Int32Array.of(1)).dtype).toBe('i32');
    expect(tensor(Uint8Array.of(1)).dtype).toBe('f32');
    expect(tensor(Int32Array.of(1), { dtype: 'f64' }).dtype).toBe('f64');
    expect(tensor([1], { dtype: 'i32' }).dtype).toBe('i32');
  });

  test('copies: later changes of the array or the shape do not reach it', async () => {
    const [data, shape] = [Float32Array.of(1, 2), [2, 1]];
    const t = tensor(data, { shape });
    const z = zeros(shape);
    data[0] = 9;
    shape[0] = 5;
    expect([t.shape, z.shape, await values(t)]).toEqual([
      [2, 1],
      [2, 1],
      [1, 2],
    ]);
  });

  test('requiresGrad', () => {
    expect(tensor(1).requiresGrad).toBe(false);
    expect(tensor(1, { requiresGrad: true }).tracked).toBe(true);
  });

  const bad: [make: () => unknown, message: string][] = [
    [() => tensor([[1, 2], [3]]), 'tensor: ragged array: expected [2, 2], an element at depth 1 differs'],
    [() => tensor([1, [2]]), 'tensor: ragged array: expected [2], an element at depth 1 differs'],
    [() => tensor([[1], 2]), 'tensor: ragged array: expected [2, 1], an element at depth 1 differs'],
    [() => tensor([[], [1]]), 'tensor: ragged array: expected [2, 0], an element at depth 1 differs'],
    [() => tensor([1, 2, 3], { shape: [2, 2] }), 'tensor: shape [2, 2] holds 4 values, got 3'],
    [() => tensor([1], { shape: [-1] }), 'tensor: [-1] is not a shape: axis lengths are integers from 0'],
    [() => tensor([1], { shape: [1.5] }), 'tensor: [1.5] is not a shape: axis lengths are integers from 0'],
    [() => tensor(['1' as unknown as number]), 'tensor: value 0 is string, not a number'],
    [() => tensor(undefined as unknown as number), 'tensor: value 0 is undefined, not a number'],
    [
      () => tensor([1, 0.5], { dtype: 'i32' }),
      "tensor: value 1 is 0.5, which i32 cannot hold; pass { dtype: 'f32' }",
    ],
    [
      () => tensor([2 ** 31], { dtype: 'i32' }),
      "tensor: value 0 is 2147483648, which i32 cannot hold; pass { dtype: 'f32' }",
    ],
    [
      () => tensor([1], { dtype: 'i32', requiresGrad: true }),
      "requiresGrad: an i32 tensor has no gradient; pass { dtype: 'f32' }",
    ],
    [() => full([2], 0.5, { dtype: 'i32' }), "full: 0.5 is not what i32 can hold; pass { dtype: 'f32' }"],
    [() => zeros([NaN]), 'full: [NaN] is not a shape: axis lengths are integers from 0'],
    [() => eye(-1), 'eye: [-1, -1] is not a shape: axis lengths are integers from 0'],
    [() => arange(2.5), 'arange: [2.5] is not a shape: axis lengths are integers from 0'],
    [() => randn([-2], { key: 0 }), 'randn: [-2] is not a shape: axis lengths are integers from 0'],
    [() => rand([-2], { key: 0 }), 'rand: [-2] is not a shape: axis lengths are integers from 0'],
    [() => randn([2], { key: -1 }), 'key: the seed must be an integer from 0 to 2^53 - 1, not -1'],
  ];
  test.each(bad.map(([make, message]) => [message, make] as const))('%s', (message, make) => {
    const before = getBackend().memory().live;
    expect(make).toThrow(expect.objectContaining({ name: 'BaxError', message }));
    expect(getBackend().memory().live).toBe(before);
  });
});

test('no backend chosen', async () => {
  const { getBackend: get, setBackend: set } = await import('@bax/core');
  set(undefined as never);
  expect(get).toThrow(
    "no backend: call await device('auto') from 'bax' first, or setBackend(cpu()) with '@bax/cpu'",
  );
});

test('full, zeros, ones, eye, arange', async () => {
  expect(await values(full([2, 2], 1.5))).toEqual([1.5, 1.5, 1.5, 1.5]);
  expect(await values(zeros([3]))).toEqual([0, 0, 0]);
  expect(await values(ones([], { dtype: 'f64' }))).toEqual([1]);
  expect(await values(eye(3))).toEqual([1, 0, 0, 0, 1, 0, 0, 0, 1]);
  const a = arange(4);
  expect([a.dtype, await values(a)]).toEqual(['i32', [0, 1, 2, 3]]);
  expect(arange(2, { dtype: 'f64' }).dtype).toBe('f64');
  expect(zeros([2, 0, 3]).size).toBe(0);
});

describe('random tensors', () => {
  test('are the numbers of their key, scaled; equal keys give equal tensors', async () => {
    const k = key(5);
    expect(await values(randn([2, 3], { key: k, std: 0.5, dtype: 'f64' }))).toEqual(
      [...normals(k, 6)].map((z) => z * 0.5),
    );
    expect(await values(rand([5], { key: k, low: -1, high: 3, dtype: 'f64' }))).toEqual(
      [...uniforms(k, 5)].map((u) => -1 + 4 * u),
    );
    expect(sameBits(await randn([7], { key: 3 }).data(), await randn([7], { key: 3 }).data())).toBe(true);
    expect(sameBits(await randn([7], { key: 3 }).data(), await randn([7], { key: 4 }).data())).toBe(false);
  });

  test('f32 is f64, rounded once', async () => {
    const wide = await values(randn([100], { key: 1, std: 0.02, dtype: 'f64' }));
    expect(await values(randn([100], { key: 1, std: 0.02 }))).toEqual(wide.map(Math.fround));
  });
});

test('positions count along one axis, cost no memory, and grow when more are asked for', async () => {
  const backend = getBackend();
  expect(await values(positions([2, 3], 1, backend))).toEqual([0, 1, 2, 0, 1, 2]);
  const old = positions([2, 3], 0, backend);
  const before = backend.memory().live;
  expect(await values(positions([4, 2], 0, backend))).toEqual([0, 0, 1, 1, 2, 2, 3, 3]);
  expect(backend.memory().live).toBe(before);
  const many = await values(positions([3000], 0, backend));
  expect([many[0], many[2999]]).toEqual([0, 2999]);
  expect(await values(old)).toEqual([0, 0, 0, 1, 1, 1]); // still holds the shorter line
});
