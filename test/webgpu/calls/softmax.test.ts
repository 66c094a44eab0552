import { assertSameBits } from '@bax/check';
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

const axis = { axis: 1 };
const LOWEST = -(2 - 2 ** -23) * 2 ** 127;

/** Inputs such as the op has in a model: of the gradients the second is the op's result. */
const inputsOf = (name: string, shape: readonly number[]): Input[] => {
  if (name === 'softmaxGrad') return [reals(shape), reals(shape, 0.5 / shape[1], 0.5 / shape[1])];
  if (name === 'logSoftmaxGrad') return [reals(shape), reals(shape, 4, -5)];
  return [reals(shape, 8)];
};

onEveryBackend((on) => {
  describe.each(['softmax', 'logSoftmax', 'softmaxGrad', 'logSoftmaxGrad'])('%s', (name) => {
    it('on rows of many lengths', async () => {
      for (const n of LENGTHS) await assertNear(on.backend, name, inputsOf(name, [3, n]), axis);
    });
    it('on more rows than there are workgroups in one dimension', async () => {
      await onNarrowGrids(on.backend, async () => {
        for (const n of [3, 4]) await assertNear(on.backend, name, inputsOf(name, [1000, n]), axis);
      });
    });
    it('gives the same bits again, on used memory too', async () => {
      await assertSteady(on.backend, name, inputsOf(name, [5, 1000]), axis);
      await assertSteady(on.backend, name, inputsOf(name, [65, 7]), axis);
    });
  });

  it('more rows than 65,535 workgroups do', async () => {
    await assertNear(on.backend, 'softmax', inputsOf('softmax', [140_001, 2]), axis);
  });

  const row = (...values: number[]): Input[] => [
    { shape: [1, values.length], data: Float32Array.from(values) },
  ];
  const softmax = async (...values: number[]): Promise<number[]> => [
    ...(await fused(on.backend, 'softmax', row(...values), axis)),
  ];

  it('equal numbers share equally, however large', async () => {
    for (const value of [0, 1e4, -1e4, 3e38, LOWEST])
      for (const n of [1, 4, 8, 64, 1024])
        assertSameBits(
          await softmax(...Array.from({ length: n }, () => value)),
          Array.from({ length: n }, () => 1 / n),
          `${n} times ${value}`,
        );
  });

  it('huge numbers, where e^x alone would overflow or vanish', async () => {
    for (const shift of [1e4, -1e4])
      for (const name of ['softmax', 'logSoftmax']) {
        await assertNear(on.backend, name, [reals([4, 300], 5, shift)], axis);
        await assertNear(on.backend, name, [reals([4, 301], 5, shift)], axis);
      }
    assertSameBits(await softmax(1e4, -1e4, 1e4, 0), [0.5, 0, 0.5, 0], 'far apart');
  });

  it('what is masked gets exactly 0, by the lowest number or by minus infinity', async () => {
    for (const mask of [LOWEST, -1e30, -Infinity]) {
      assertSameBits(await softmax(mask, 2, mask, 2), [0, 0.5, 0, 0.5], `${mask}, four`);
      assertSameBits(await softmax(mask, mask, 2), [0, 0, 1], `${mask}, three`);
      const long = Array.from({ length: 1000 }, (_, i) => (i === 900 ? -1e4 : mask));
      expect((await softmax(...long)).flatMap((y, i) => (y === 0 ? [] : [[i, y]]))).toEqual([[900, 1]]);
    }
  });

  it('NaN spoils its row and no other', async () => {
    const data = Float32Array.of(1, NaN, 0, 0, 1, 1, 1, 1);
    const y = await fused(on.backend, 'softmax', [{ shape: [2, 4], data }], axis);
    expect([...y]).toEqual([NaN, NaN, NaN, NaN, 0.25, 0.25, 0.25, 0.25]);
  });
}, gpuCases);
