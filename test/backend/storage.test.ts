/** Weights held in f16 and bf16 in the layers' own ops, where each kernel's tiles end, forward and backward. */
import { assertSameBits } from '@bax/check';
import {
  copy, grad, linear, loraLinear, mul, type HalfFloat, scope, sum, type Tensor, tensor, transpose, type Backend,
} from '@bax/core'; // prettier-ignore
import { webgpu, type WebGpuBackend } from '@bax/webgpu';
import { describe, expect, test } from 'vitest';
import { anyAdapter, onEveryBackend } from '../support/backends.ts';
import { free } from '../support/calls.ts';

const halves: readonly HalfFloat[] = ['f16', 'bf16'];
const small = (n: number, seed: number): Float32Array =>
  Float32Array.from({ length: n }, (_, i) => ((i * 7 + seed * 5 + (i >> 3)) % 9) - 4);

/** rows, in, out, r: one row and a few (generation), whole tiles of the GPU's kernels and one more or less, odd vectors. */
const sizes = [
  [1, 20, 36, 2], [4, 68, 44, 3], [5, 36, 12, 4], [15, 12, 31, 1], [16, 64, 32, 8], [17, 36, 33, 3], [63, 17, 65, 2], [65, 20, 68, 5], [64, 64, 64, 8],
] as const; // prettier-ignore

/** y, ∂x and, with an adapter, ∂A and ∂B of Σ y ∘ c for a weight as it is. */
function results(
  weight: Tensor,
  [m, k, n, r]: readonly [number, number, number, number],
  kind: 'plain' | 'biased' | 'lora' | 'slices',
  backend: Backend,
): Tensor[] {
  const make = (shape: number[], seed: number): Tensor => tensor(small(shape.reduce((a, b) => a * b, 1), seed), { shape, backend }); // prettier-ignore
  return scope(() => {
    const x = make([m, k], 1);
    const bias = make([n], 2);
    const part = kind === 'slices' ? Math.floor(n / 3) : n;
    const [A, B] = [make([r, k], 3), make([part, r], 4)];
    const trained = kind === 'plain' || kind === 'biased' ? [x] : [x, A, B];
    for (const t of trained) t.requiresGrad = true;
    const branch = { z: x, A, B, scale: 0.5, start: kind === 'slices' ? n - part : 0 };
    const y =
      kind === 'plain' ? linear(x, weight) : kind === 'biased' ? linear(x, weight, bias) : loraLinear(x, weight, bias, [branch]); // prettier-ignore
    return [y.detach(), ...grad(sum(mul(y, make([m, n], 5))), trained, { retain: true })];
  });
}

onEveryBackend((on) => {
  describe.each(halves)('a weight held in %s', (storage) => {
    test.each(['plain', 'biased', 'lora', 'slices'] as const)(
      'P31, P45: %s, the bits of the wide weight, at every edge, as [out, in] and as [in, out]',
      async (kind) => {
        for (const size of sizes) {
          const [, k, n] = size;
          for (const turned of [false, true]) {
            const shape = turned ? [k, n] : [n, k];
            const held = tensor(small(k * n, 6), { shape, storage, backend: on.backend });
            const wide = copy(held);
            const matrix = (t: Tensor): Tensor => (turned ? transpose(t) : t);
            const [ours, theirs] = [held, wide].map((t) => results(matrix(t), size, kind, on.backend));
            for (const [i, y] of ours!.entries())
              assertSameBits(await y.data(), await theirs![i]!.data(), `${kind} ${size.join()}, ${i === 0 ? 'y' : `gradient ${i - 1}`}`); // prettier-ignore
            free(held, wide, ...ours!, ...theirs!);
          }
        }
      },
    );

    test('lives in half the memory, and moves between backends as it is', async () => {
      const { backend } = on;
      const raw = Uint16Array.from({ length: 2 ** 18 }, (_, i) => i & 0x3fff);
      const live = (make: () => Tensor): number => {
        const before = backend.memory().live;
        const t = make();
        const bytes = backend.memory().live - before;
        t.dispose();
        return bytes;
      };
      const narrow = live(() => tensor(raw, { storage, backend }));
      expect(live(() => tensor(Float32Array.from(raw), { backend }))).toBe(2 * narrow);
      const there = await tensor(raw, { storage, backend }).to(backend);
      expect(there.storage).toBe(storage);
      assertSameBits(await there.held(), raw, 'the patterns');
      there.dispose();
    });
  });
});

describe.each([true, false])('webgpu, with the kernels for software: %s', (software) => {
  test('a narrow weight takes no dispatch more than a wide one: nothing is copied', async () => {
    const backend: WebGpuBackend = await webgpu({ ...anyAdapter, pretend: { software } });
    for (const size of [
      [1, 64, 96, 4],
      [4, 64, 96, 4],
      [33, 64, 96, 4],
    ] as const)
      for (const kind of ['plain', 'biased', 'lora', 'slices'] as const)
        for (const turned of [false, true]) {
          const [, k, n] = size;
          // The first call of all makes a constant, which stays.
          const [, ...dispatches] = (['f32', 'f32', 'f16', 'bf16'] as const).map((storage) => {
            const w = tensor(small(k * n, 6), { shape: turned ? [k, n] : [n, k], storage, backend });
            const before = backend.counts().dispatches;
            free(...results(turned ? transpose(w) : w, size, kind, backend), w);
            return backend.counts().dispatches - before;
          });
          expect(dispatches, `${kind} ${size.join()}`).toEqual(dispatches.map(() => dispatches[0]));
        }
    backend.close();
  });
});
