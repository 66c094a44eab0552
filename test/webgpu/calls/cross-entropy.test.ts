import { assertSameBits, assertWithin } from '@bax/check';
import { add, crossEntropy, fromHost, grad, scope, sizeOf, type Tensor } from '@bax/core';
import { webgpu } from '@bax/webgpu';
import { describe, expect, it } from 'vitest';
import { anyAdapter, onEveryBackend } from '../../support/backends.ts';
import {
  assertNear,
  assertSteady,
  exact,
  fused,
  gpuCases,
  type Input,
  LENGTHS,
  onNarrowGrids,
  reals,
} from '../support/fused.ts';

const attrs = { ignoreIndex: -100 };
/** Targets i · 7 mod n, every third ignored unless that is the first. */
const targets = (rows: number, n: number): Input => ({
  shape: [rows],
  data: Int32Array.from({ length: rows }, (_, i) => (i % 3 === 2 ? -100 : (i * 7) % n)),
});
const everyClass: Input = { shape: [30], data: Int32Array.from({ length: 30 }, (_, i) => i % 8) };
const g: Input = { shape: [], data: Float32Array.of(-1.5) };
const inputsOf = (name: string, rows: number, n: number, shift = 0): Input[] => [
  ...(name === 'crossEntropyGrad' ? [g] : []),
  reals([rows, n], 5, shift),
  targets(rows, n),
];
/** A tensor that the device made, of which the host knows nothing. */
const made = (t: Tensor): Tensor => add(t, fromHost(Int32Array.of(0), [1], 'i32', { backend: t.backend }));

onEveryBackend((on) => {
  describe.each(['crossEntropy', 'crossEntropyGrad'])('%s', (name) => {
    it('of many numbers of classes', async () => {
      for (const n of LENGTHS) await assertNear(on.backend, name, inputsOf(name, 7, n), attrs);
    });
    it('of many rows', async () => {
      for (const rows of [1, 63, 64, 65, 255, 256, 257, 5000])
        await assertNear(on.backend, name, inputsOf(name, rows, 5), attrs);
    });
    it('on more rows than there are workgroups in one dimension', async () => {
      await onNarrowGrids(on.backend, async () => {
        for (const n of [3, 4]) await assertNear(on.backend, name, inputsOf(name, 1000, n), attrs);
      });
    });
    it('without the class that is to be ignored', async () => {
      for (const ignoreIndex of [0, 3]) await assertNear(on.backend, name, inputsOf(name, 30, 8).with(-1, everyClass), { ignoreIndex }); // prettier-ignore
    });
    it('of huge logits', async () => {
      for (const shift of [1e4, -1e4])
        for (const n of [300, 301]) await assertNear(on.backend, name, inputsOf(name, 4, n, shift), attrs);
    });
    it('of targets that the device made', async () => {
      const inputs = inputsOf(name, 100, 10);
      const labels = inputs.at(-1)!;
      const known = await fused(on.backend, name, inputs, attrs);
      assertSameBits(await unseen(inputs), known, 'as if the host had written them');

      // One of them is no class: it counts, and no class is its own.
      for (const strange of [10, -1, 2 ** 30]) {
        const off = inputs.with(-1, { ...labels, data: Int32Array.from(labels.data).fill(strange, 0, 1) });
        const without = inputs.with(-1, { ...labels, data: Int32Array.from(labels.data).fill(-100, 0, 1) });
        const count = Array.from(labels.data).filter((t) => t !== -100).length;
        const expected =
          name === 'crossEntropyGrad'
            ? await exact(name, off, attrs)
            : (await exact(name, without, attrs)).map((loss) => (loss * (count - 1)) / count);
        assertWithin(await unseen(off), expected, 2 ** -17 * 5, `${strange} is no class`);
      }
    });
    /** The kernel's result for targets that come out of another one. */
    const unseen = async (inputs: readonly Input[]): Promise<Float32Array> => {
      const { backend } = on;
      const tensors = inputs.map(({ shape, data }) =>
        data instanceof Int32Array
          ? made(fromHost(data, shape, 'i32', { backend }))
          : fromHost(data, shape, 'f32', { backend }),
      );
      const shape = name === 'crossEntropy' ? [] : [100, 10];
      const out = fromHost(new Float32Array(sizeOf(shape)), shape, 'f32', { backend });
      expect(
        backend.fused![name](
          tensors.map((t) => t.view),
          [out.view],
          attrs,
        ),
      ).toBe(true);
      return (await out.data()) as Float32Array;
    };
    it('gives the same bits again, on used memory too', async () => {
      await assertSteady(on.backend, name, inputsOf(name, 5, 1000), attrs);
      await assertSteady(on.backend, name, inputsOf(name, 65, 7), attrs);
    });
    it('does not look at ignored rows, whatever they hold', async () => {
      for (const n of [5, 8, 1000]) {
        const inputs = inputsOf(name, 6, n);
        const logits = inputs.at(-2)!;
        const clean = await fused(on.backend, name, inputs, attrs);
        for (const value of [NaN, Infinity, -Infinity, 3e38]) {
          const data = logits.data.slice();
          for (const row of [2, 5]) data.fill(value, row * n, (row + 1) * n);
          const y = await fused(on.backend, name, inputs.with(-2, { ...logits, data }), attrs);
          assertSameBits(y, clean, `${value} in ignored rows of ${n}`);
        }
        if (name === 'crossEntropyGrad')
          for (const row of [2, 5])
            expect(clean.subarray(row * n, (row + 1) * n).every((d) => d === 0)).toBe(true);
      }
    });
  });

  it('equal logits cost log n', async () => {
    for (const n of [1, 4, 7, 1000]) {
      const logits = { shape: [2, n], data: new Float32Array(2 * n).fill(1e4) };
      const labels = { shape: [2], data: Int32Array.of(0, n - 1) };
      const [loss] = await fused(on.backend, 'crossEntropy', [logits, labels], attrs);
      expect(loss).toBeCloseTo(Math.log(n), 5);
    }
  });

  it('no target counts: NaN, as it is composed', async () => {
    const { backend } = on;
    const logits = fromHost(new Float32Array(6), [2, 3], 'f32', { backend });
    const none = made(fromHost(Int32Array.of(-100, -100), [2], 'i32', { backend }));
    expect(await crossEntropy(logits, none).data()).toEqual(Float32Array.of(NaN));
  });
}, gpuCases);

it('keeps no second copy of the logits', async () => {
  const backend = await webgpu(anyAdapter);
  const [rows, n] = [200, 5000];
  const logits = fromHost(reals([rows, n]).data, [rows, n], 'f32', { backend, requiresGrad: true });
  const labels = fromHost(targets(rows, n).data, [rows], 'i32', { backend });
  const { live } = backend.memory();
  const [loss, dx] = scope(() => {
    const y = crossEntropy(logits, labels);
    expect(backend.memory().peak - live).toBeLessThan(10_000);
    return [y.detach(), ...grad(y, [logits])];
  });
  expect(backend.memory().peak - live).toBeLessThan(rows * n * 4 * 1.25 + 10_000);
  for (const t of [loss, dx]) await t.data();
  backend.close();
});
