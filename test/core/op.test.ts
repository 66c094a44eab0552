import {
  add,
  apply,
  type Backend,
  BaxError,
  defineOp,
  exp,
  type FusedKernel,
  matmul,
  observe,
  ones,
  setBackend,
  showShape,
  softmax,
  sum,
  tensor,
  within,
  grad,
  type View,
} from '@bax/core';
import { cpu } from '@bax/cpu';
import { beforeEach, describe, expect, test, vi } from 'vitest';

beforeEach(() => setBackend(cpu()));

test('inputs on two backends are refused', () => {
  const far: Backend = { ...cpu(), name: 'far' };
  expect(() => add(ones([2]), ones([2], { backend: far }))).toThrow(
    new BaxError('add: inputs live on different backends, cpu and far; move one with to()'),
  );
});

test('to() moves', async () => {
  const far: Backend = { ...cpu(), name: 'far' };
  const x = await tensor([[1, 2], [3, 4]], { requiresGrad: true }).transpose().to(far); // prettier-ignore
  expect([x.backend.name, x.tracked, [...(await x.data())]]).toEqual(['far', false, [1, 3, 2, 4]]);
  expect((await ones([1], { requiresGrad: true }).to(far)).requiresGrad).toBe(true);
});

test('observe sees every call that reaches the device, with its module; views and compositions are none', () => {
  const seen: string[] = [];
  const x = ones([2, 3]);
  observe((op, inputs, outputs, path) => seen.push(`${path} ${op} ${[...inputs, ...outputs].map((t) => showShape(t.shape)).join(' ')}`), () =>
    within('m', () => softmax(x.transpose())),
  ); // prettier-ignore
  expect(seen).toEqual([
    'm max [3, 2] [3, 1]',
    'm sub [3, 2] [3, 1] [3, 2]',
    'm exp [3, 2] [3, 2]',
    'm sum [3, 2] [3, 1]',
    'm div [3, 2] [3, 1] [3, 2]',
  ]);
  exp(x);
  expect(seen).toHaveLength(5);
});

test('the backend is told op and module before each call, backward too', () => {
  const label = vi.fn<(op: string, path: string) => void>();
  const w = ones([2, 2], { backend: { ...cpu(), label }, requiresGrad: true });
  const y = within('layer', () => matmul(w, w));
  expect(label).toHaveBeenLastCalledWith('matmul', 'layer');
  label.mockClear();
  grad(sum(y), [w]);
  expect(label).toHaveBeenCalledWith('matmul', 'layer');
});

describe('a fused kernel', () => {
  const withKernel = (kernel: FusedKernel): Backend => ({ ...cpu(), fused: { softmax: kernel } });

  test('runs in place of the composition, on the tape too', () => {
    const kernel = vi.fn<FusedKernel>((inputs: readonly View[], outputs: readonly View[]) => {
      backend.write(outputs[0].buffer, new Float32Array(3).fill(inputs.length));
      return true;
    });
    const backend = withKernel(kernel);
    const x = tensor([1, 2, 3], { backend, requiresGrad: true });
    const seen: string[] = [];
    const y = observe((op) => seen.push(op), () => softmax(x)); // prettier-ignore
    expect([[...y.peek()!], seen, y.record?.op.name]).toEqual([[1, 1, 1], ['softmax'], 'softmax']);
    expect(kernel.mock.calls[0][2]).toEqual({ axis: 0 });
  });

  test('that does not take the case leaves it to the composition, and leaks nothing', () => {
    const backend = withKernel(() => false);
    const x = tensor([0, 0], { backend });
    const before = backend.memory().live;
    const y = softmax(x);
    expect([...y.peek()!]).toEqual([0.5, 0.5]);
    expect(backend.memory().live).toBe(before + 8);
  });
});

test('a composition that gives one of its inputs back gives a tensor of its own', () => {
  const same = defineOp<object>({
    name: 'same',
    domain: () => ({ inputs: [{ shape: [] }], attrs: {} }),
    out: ([x]) => [{ shape: x.shape, dtype: x.dtype }],
    compose: ([x]) => x,
    vjp: ({ g }) => g,
  });
  const x = tensor([1], { requiresGrad: true });
  const y = apply(same, [x], {});
  expect(y).not.toBe(x);
  y.dispose();
  expect(x.freed).toBe(false);
});
