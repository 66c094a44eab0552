/** How tensors become rows: whatever their strides, beside what else is in their buffers, and where they are too large. */
import { assertWithin } from '@bax/check';
import { alias, type Backend, expand, fromHost, permute, rowMajor, sizeOf, sliceView, softmax, type Tensor, type View } from '@bax/core'; // prettier-ignore
import { webgpu } from '@bax/webgpu';
import { describe, expect, it } from 'vitest';
import { anyAdapter, onEveryBackend } from '../../support/backends.ts';
import { assertNear, gpuCases, numbers, reals } from '../support/fused.ts';

type Layout = (t: Tensor) => Tensor;
const part =
  (axis: number, start: number, length: number, step = 1): Layout =>
  (t) =>
    alias(t, sliceView(t.view, axis, start, length, step));
/** Backwards along an axis. */
const flipped =
  (axis: number): Layout =>
  (t) => {
    const { shape, strides, offset } = t.view;
    return alias(t, { ...t.view, strides: strides.with(axis, -strides[axis]), offset: offset + (shape[axis] - 1) * strides[axis] }); // prettier-ignore
  };

const layouts: Record<string, { shape: number[]; as: Layout }> = {
  'rows of a wider tensor': { shape: [6, 20], as: part(1, 4, 12) },
  '… that begin at odd places': { shape: [6, 21], as: part(1, 5, 12) },
  '… that are an odd number apart': { shape: [6, 21], as: part(1, 4, 12) },
  'every second row': { shape: [12, 12], as: part(0, 1, 6, 2) },
  'rows from the last to the first': { shape: [6, 12], as: flipped(0) },
  'backwards along the rows': { shape: [6, 12], as: flipped(1) },
  'every second column': { shape: [6, 24], as: part(1, 1, 12, 2) },
  transposed: { shape: [12, 6], as: (t) => permute(t, [1, 0]) },
  'one row for all': { shape: [1, 12], as: (t) => expand(t, [6, 12]) },
  'one number along each row': { shape: [6, 1], as: (t) => expand(t, [6, 12]) },
  'some rows further on': { shape: [9, 12], as: part(0, 3, 6) },
};

onEveryBackend((on) => {
  describe.each(Object.entries(layouts))('%s', (_, { shape, as }) => {
    it('as any input', async () => {
      const x = { ...reals(shape, 3), as };
      const g = reals([6, 12]);
      const line = reals([12]);
      await assertNear(on.backend, 'softmax', [x], { axis: 1 });
      await assertNear(on.backend, 'softmaxGrad', [x, g], { axis: 1 });
      await assertNear(on.backend, 'softmaxGrad', [g, x], { axis: 1 });
      await assertNear(on.backend, 'layerNorm', [x, line, line], { eps: 1e-2 });
      await assertNear(on.backend, 'layerNormGrad', [g, x, line], { eps: 1e-2 });
      await assertNear(on.backend, 'layerNormGradWeight', [x, g], { eps: 1e-2 });
      const targets = { shape: [6], data: Int32Array.of(0, 11, 4, 5, 6, -100) };
      await assertNear(on.backend, 'crossEntropy', [x, targets], { ignoreIndex: -100 });
      const one = { shape: [], data: Float32Array.of(1) };
      await assertNear(on.backend, 'crossEntropyGrad', [one, x, targets], { ignoreIndex: -100 });
    });
  });

  it('weights that are repeated or lie apart, targets that do', async () => {
    const x = reals([3, 8], 2);
    for (const as of [part(0, 1, 8, 2), part(0, 3, 8)])
      await assertNear(on.backend, 'layerNorm', [x, { ...reals([20]), as }, { ...reals([20], 2), as }], { eps: 1e-5 }); // prettier-ignore
    for (const as of [part(0, 1, 8, 2), part(0, 3, 8)])
      await assertNear(on.backend, 'layerNormGrad', [x, reals([3, 8]), { ...reals([20]), as }], { eps: 1e-5 }); // prettier-ignore
    const one = { ...reals([1]), as: (t: Tensor) => expand(t, [8]) };
    await assertNear(on.backend, 'rmsNorm', [x, one], { eps: 1e-5 });
    for (const as of [part(0, 1, 3, 2), part(0, 3, 3)]) {
      const targets = { shape: [6], data: Int32Array.of(0, 1, 2, 3, 4, 7), as };
      await assertNear(on.backend, 'crossEntropy', [x, targets], { ignoreIndex: -100 });
    }
  });

  const outputs: Record<string, Omit<View, 'buffer'>> = {
    'side by side': { shape: [5, 8], strides: [8, 1], offset: 4 },
    'at an odd place': { shape: [5, 8], strides: [8, 1], offset: 3 },
    'rows apart': { shape: [5, 8], strides: [12, 1], offset: 4 },
    'columns apart': { shape: [5, 8], strides: [16, 2], offset: 1 },
    transposed: { shape: [5, 8], strides: [1, 5], offset: 2 },
  };
  it.each(Object.entries(outputs))('a result that lies %s in a larger buffer', async (_, out) => {
    const { backend } = on;
    const data = numbers(40);
    const x = onDevice(backend, data, [5, 8]);
    const [apart, within] = [new Float32Array(100).fill(7), new Float32Array(100).fill(7)];
    place(within, out, data);
    const plain = fromHost(new Float32Array(40), [5, 8], 'f32', { backend });
    backend.fused!.softmax([x], [plain.view], { axis: 1 });
    const y = (await plain.data()) as Float32Array;
    for (const [all, input] of [
      [apart, x],
      [within, undefined],
    ] as const) {
      // prettier-ignore
      const buffer = backend.alloc(100, 'f32');
      backend.write(buffer, all);
      const view = { ...out, buffer };
      expect(backend.fused!.softmax([input ?? view], [view], { axis: 1 })).toBe(true);
      place(all, out, y);
      assertWithin(await backend.read(buffer), all, 2 ** -20, input ? 'apart' : 'in place');
      backend.free(buffer);
    }
  });

  it('nothing of what the kernels borrow stays', async () => {
    const { backend } = on;
    const { live, buffers } = backend.memory();
    await assertNear(backend, 'layerNormGradWeight', [{ ...reals([8, 9]), as: flipped(1) }, reals([8, 9])], { eps: 1e-5 }); // prettier-ignore
    const targets = { shape: [6], data: Int32Array.of(0, 1, 2, 3, 4, 5), as: part(0, 0, 3, 2) };
    await assertNear(backend, 'crossEntropy', [{ ...reals([3, 9]), as: flipped(1) }, targets], { ignoreIndex: -100 }); // prettier-ignore
    expect(backend.memory()).toMatchObject({ live, buffers });
  });
}, gpuCases);

it('what is larger than a binding may be is left to the composition', async () => {
  const backend = await webgpu({ ...anyAdapter, pretend: { maxBinding: 4096 } });
  const x = fromHost(numbers(4000), [40, 100], 'f32', { backend });
  const y = fromHost(new Float32Array(4000), [40, 100], 'f32', { backend });
  expect(backend.fused!.softmax([x.view], [y.view], { axis: 1 })).toBe(false);
  const sums = new Float32Array(40);
  ((await softmax(x).data()) as Float32Array).forEach((v, i) => (sums[Math.floor(i / 100)] += v));
  assertWithin(sums, new Float32Array(40).fill(1), 1e-5, 'sums of rows');
  // What is known of each row is more than short rows are.
  const [short, line] = [
    { ...x.view, shape: [300, 1], strides: [1, 1] },
    { ...y.view, shape: [1], strides: [1] },
  ];
  expect(backend.fused!.layerNormGradWeight([short, short], [line], { eps: 1 })).toBe(false);
  // A row of it is not.
  const row = { ...x.view, shape: [1, 100], offset: 1500 };
  const to = { ...y.view, shape: [1, 100], offset: 1500 };
  expect(backend.fused!.softmax([row], [to], { axis: 1 })).toBe(true);
  const [part1, whole] = [await y.data(), await softmax(x).data()];
  assertWithin(part1.slice(1500, 1600), whole.slice(1500, 1600) as Float32Array, 2 ** -20, 'a row');
  backend.close();
});

function onDevice(backend: Backend, data: Float32Array, shape: number[]): View {
  const buffer = backend.alloc(sizeOf(shape), 'f32');
  backend.write(buffer, data);
  return { buffer, shape, strides: rowMajor(shape), offset: 0 };
}
function place(all: Float32Array, { shape: [rows, n], strides, offset }: Omit<View, 'buffer'>, values: Float32Array): void {
  for (let i = 0; i < rows; i++)
    for (let j = 0; j < n; j++) all[offset + i * strides[0] + j * strides[1]] = values[i * n + j];
} // prettier-ignore
