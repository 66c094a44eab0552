import {
  arange,
  assign,
  BaxError,
  expand,
  expr as e,
  exp,
  mul,
  permute,
  reshape,
  setBackend,
  slice,
  type Tensor,
  tensor,
  update,
  zeros,
} from '@bax/core';
import { cpu } from '@bax/cpu';
import { beforeEach, describe, expect, test } from 'vitest';

beforeEach(() => setBackend(cpu()));
const list = (t: Tensor): number[] => [...t.peek()!];

describe('assign', () => {
  test('changes the target, whatever its strides and those of the source', () => {
    const x = zeros([2, 3]);
    const back = assign(permute(x, [1, 0]), reshape(tensor([1, 2, 3, 4, 5, 6]), [3, 2]));
    expect([list(x), back.shape]).toEqual([
      [1, 3, 5, 2, 4, 6],
      [3, 2],
    ]);
    assign(slice(x, 1, 1, 2), expand(tensor(9), [2, 1]));
    expect(list(x)).toEqual([1, 9, 5, 2, 9, 6]);
    expect(x.hold.memory.version).toBe(2);
  });

  test('a cache moves up by one, in either direction', () => {
    for (const n of [5, 3000]) {
      const up = arange(n);
      assign(slice(up, 0, 1), slice(up, 0, 0, n - 1));
      expect(list(up)).toEqual(Array.from({ length: n }, (_, i) => Math.max(0, i - 1)));
      const down = arange(n);
      assign(slice(down, 0, 0, n - 1), slice(down, 0, 1));
      expect(list(down)).toEqual(Array.from({ length: n }, (_, i) => Math.min(n - 1, i + 1)));
    }
  });

  test('leaves the source alone', () => {
    const [x, source] = [zeros([2]), tensor([1, 2])];
    assign(x, source);
    assign(x, zeros([2]));
    expect([list(source), source.hold.memory.version]).toEqual([[1, 2], 0]);
  });

  const x = (): Tensor => tensor([1, 2]);
  const freed = (): Tensor => {
    const t = x();
    t.dispose();
    return t;
  };
  test.each<[string, () => unknown]>([
    ['assign: target [2] and source [3] differ in shape', () => assign(x(), zeros([3]))],
    ['assign: target [2] and source [] differ in shape', () => assign(x(), tensor(1))],
    ['assign: target is f32, source f64; cast the source', () => assign(x(), zeros([2], { dtype: 'f64' }))],
    [
      'assign: target lives on cpu, source on cpu; move one with to()',
      () => assign(x(), zeros([2], { backend: cpu() })),
    ],
    [
      'assign: the target is the result of a recorded op; assign to a parameter or a detached tensor',
      () => assign(exp(tensor([1, 2], { requiresGrad: true })), x()),
    ],
    [
      'assign: the target repeats its elements (it was expanded); change what it was made of, or a copy()',
      () => assign(expand(tensor(1), [2]), x()),
    ],
    ['assign: this tensor was freed by dispose()', () => assign(freed(), x())],
    ['assign: this tensor was freed by dispose()', () => assign(x(), freed())],
    [
      'update: target [2] and source [3] differ in shape',
      () => update([e.input(0)], [zeros([3])], [x()], []),
    ],
    [
      'update: the target is the result of a recorded op; assign to a parameter or a detached tensor',
      () => update([e.constant(0)], [], [exp(tensor([1, 2], { requiresGrad: true }))], []),
    ],
    ['update: this tensor was freed by dispose()', () => update([e.constant(0)], [freed()], [x()], [])],
  ])('%s', (message, f) => {
    expect(f).toThrow(new BaxError(message));
  });

  test('axes of length 1 repeat nothing', () => {
    expect(list(assign(expand(tensor([1]), [1, 1]), tensor([[5]])))).toEqual([5]);
  });
});

describe('update', () => {
  test('is one map with several results, in place, from old values alone', () => {
    const [w, m, g] = [tensor([1, 2]), tensor([10, 20]), tensor([100, 200])];
    // Heavy ball: m ← μ m + g; w ← w − η m. Both read the old m.
    const [W, M, G] = [e.input(0), e.input(1), e.input(2)];
    const momentum = e.add(e.mul(e.scalar(0), M), G);
    update([e.sub(W, e.mul(e.scalar(1), momentum)), momentum], [w, m, g], [w, m], [0.5, 0.25]);
    expect([list(m), list(w)]).toEqual([
      [105, 210],
      [1 - 26.25, 2 - 52.5],
    ]);
    expect([w, m, g].map((t) => t.hold.memory.version)).toEqual([1, 1, 0]);
    expect(list(mul(w, 1))).toEqual(list(w));
  });
});
