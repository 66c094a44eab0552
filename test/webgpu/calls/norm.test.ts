import { describe, expect, it } from 'vitest';
import { onEveryBackend } from '../../support/backends.ts';
import {
  assertNear,
  assertSteady,
  fused,
  gpuCases,
  type Input,
  LENGTHS,
  onNarrowGrids,
  reals,
} from '../support/fused.ts';

const inputsOf = (name: string, shape: readonly number[], scale = 2, shift = 1): Input[] => {
  const [x, line] = [reals(shape, scale, shift), reals(shape.slice(-1))];
  if (name.endsWith('GradWeight')) return [reals(shape), x];
  if (name.endsWith('Grad')) return [reals(shape), x, line];
  return name === 'layerNorm' ? [x, line, reals(shape.slice(-1), 3, 1)] : [x, line];
};
const eps = { eps: 1e-5 };

onEveryBackend((on) => {
  describe.each(['layerNorm', 'layerNormGrad', 'layerNormGradWeight', 'rmsNorm', 'rmsNormGrad', 'rmsNormGradWeight'])('%s', (name) => {
    it('on rows of many lengths', async () => {
      for (const n of LENGTHS) await assertNear(on.backend, name, inputsOf(name, [3, n]), eps);
    });
    it('on many rows', async () => {
      for (const rows of [1, 2, 63, 64, 65, 127, 128, 129, 1000])
        await assertNear(on.backend, name, inputsOf(name, [rows, 12]), eps);
    });
    it('on more rows than there are workgroups in one dimension', async () => {
      await onNarrowGrids(on.backend, async () => {
        for (const n of [3, 4]) await assertNear(on.backend, name, inputsOf(name, [1000, n]), { eps: 1e-2 });
      });
    });
    it('adds eps to the variance, under the root', async () => {
      for (const scale of [1e-3, 1e-2, 1])
        for (const e of [1e-6, 1e-5, 1e-2, 1])
          await assertNear(on.backend, name, inputsOf(name, [4, 20], scale, 0), { eps: e });
    });
    it('gives the same bits again, on used memory too', async () => {
      await assertSteady(on.backend, name, inputsOf(name, [5, 1000]), eps);
      await assertSteady(on.backend, name, inputsOf(name, [65, 7]), eps);
    });
  }); // prettier-ignore

  it('layerNorm of numbers far from 0 loses nothing', async () => {
    for (const name of ['layerNorm', 'layerNormGrad', 'layerNormGradWeight'])
      for (const [n, shift] of [
        [1000, 1000],
        [4, 1000],
        [7, -300],
        [2048, 1e4],
      ])
        // prettier-ignore
        await assertNear(on.backend, name, inputsOf(name, [6, n], 1, shift), eps);
  });

  it('layerNorm of equal numbers is the bias', async () => {
    for (const value of [0, 0.1, 1000.1, -1e4])
      for (const n of [1, 3, 64, 1000]) {
        const x = { shape: [1, n], data: new Float32Array(n).fill(value) };
        const [weight, bias] = [reals([n]), reals([n], 3)];
        const y = await fused(on.backend, 'layerNorm', [x, weight, bias], eps);
        const furthest = y.reduce((most, v, i) => Math.max(most, Math.abs(v - bias.data[i])), 0);
        expect(furthest, `${n} times ${value}`).toBeLessThan(1e-4);
      }
  });

  it('rmsNorm does not centre', async () => {
    const ones = (shape: number[], value: number): Input => ({
      shape,
      data: new Float32Array(shape.at(-1)!).fill(value),
    });
    const y = await fused(on.backend, 'rmsNorm', [ones([1, 8], 3), ones([8], 2)], { eps: 0 });
    for (const value of y) expect(value).toBeCloseTo(2, 5);
  });
}, gpuCases);
