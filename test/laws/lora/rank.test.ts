import { assertSameBits, gamma } from '@bax/check';
import { matmul, noGrad, type Backend } from '@bax/core';
import fc from 'fast-check';
import { beforeAll, describe, expect, it, test } from 'vitest';
import {
  bigRows,
  exactRank,
  matrix,
  frobenius,
  plus,
  scaled,
  singularValues,
  times,
  type Matrix,
} from '../../nn/support/host.ts';
import { backendCases } from '../../support/backends.ts';
import { adapted, deltaOf, factorsOf, instances, weightOf, type Instance } from './support.ts';
import { runs } from '../../support/runs.ts';

/** What merging added: Ŵ' − W, which is exact in int mode. */
async function added(instance: Instance, backend: Backend): Promise<Matrix> {
  const { W } = instance;
  const { model } = await adapted(instance, { backend }).merge();
  const merged = matrix(W.rows, W.columns, await weightOf(model));
  return plus(merged, scaled(W, -1));
}

describe('the tools', () => {
  test('exactRank: of products of unimodular matrices with as many ones as the rank', () => {
    const square = (n: number): fc.Arbitrary<Matrix> =>
      fc
        .array(fc.integer({ min: -2, max: 2 }), { minLength: n * n, maxLength: n * n })
        .map((v) => matrix(n, n, (i, j) => (i === j ? 1 : i > j ? v[i * n + j]! : 0)));
    fc.assert(
      fc.property(square(6), square(6), fc.nat(6), (L, R, rank) => {
        const middle = matrix(6, 6, (i, j) => (i === j && i < rank ? 1 : 0));
        expect(
          exactRank(
            bigRows(
              times(
                times(L, middle),
                matrix(6, 6, (i, j) => R.data[j * 6 + i]!),
              ),
            ),
          ),
        ).toBe(rank);
      }),
      runs(100),
    );
  });
  test('singularValues: of a known matrix, also the tiny ones', () => {
    const [c, s] = [Math.cos(0.7), Math.sin(0.7)];
    const turn = matrix(3, 3, [c, -s, 0, s, c, 0, 0, 0, 1]);
    const values = [3, 1e-3, 1e-9];
    const found = singularValues(
      times(
        times(
          turn,
          matrix(3, 3, (i, j) => (i === j ? values[i]! : 0)),
        ),
        matrix(3, 3, [1, 0, 0, 0, c, -s, 0, s, c]),
      ),
    );
    found.forEach((v, i) => expect(Math.abs(v - values[i]!)).toBeLessThan(1e-15));
    expect(singularValues(matrix(2, 3, [1, 2, 3, 2, 4, 6]))[1]).toBeLessThan(1e-15);
  });
});

describe.each(backendCases)('on $name', (device) => {
  let backend: Backend;
  beforeAll(async () => void (backend = await device.make()));

  it('P4: the rank of ΔW is at most r, exactly, by elimination in whole numbers', async () => {
    let attained = 0;
    const law = async (instance: Instance): Promise<void> => {
      const { r, parts, W } = instance;
      const rank = exactRank(bigRows(await added(instance, backend)));
      expect(rank).toBeLessThanOrEqual(Math.min(r * parts.length, W.rows, W.columns));
      expect(rank).toBe(exactRank(bigRows(deltaOf(instance))));
      if (rank === r * parts.length) attained++;
    };
    await fc.assert(fc.asyncProperty(instances('int'), law), runs(100));
    expect(attained).toBeGreaterThan(30); // r is used: an adapter of rank 1 whatever r is would pass otherwise
  });

  it('P4: in real mode σ_{r+1}(fl(B A)) is rounding; but W + ΔW − W has full rank, since adding to W rounds', async () => {
    const u = backend.info.roundoff;
    let full = 0;
    const law = async (instance: Instance): Promise<void> => {
      const { r, parts: [part], W } = instance; // prettier-ignore
      fc.pre(r < Math.min(W.rows, W.columns));
      const { A, B } = factorsOf(adapted(instance, { backend }), part!);
      const BA = matrix(W.rows, W.columns, await noGrad(() => matmul(B, A)).data());
      const rest = singularValues(BA)[r]!;
      expect(rest).toBeLessThanOrEqual(gamma(r, u) * frobenius(part!.A) * frobenius(part!.B));
      const difference = singularValues(await added(instance, backend));
      if (difference[r]! > rest) full++;
    };
    await fc.assert(fc.asyncProperty(instances('real', { slices: false }), law), runs(80));
    expect(full, 'the negative control').toBeGreaterThan(20);
  });

  it('P15: with r = min(out, in) every ΔW is attained, B = ΔW/s and A = I (or the other way round)', async () => {
    const law = async (instance: Instance, target: number[]): Promise<void> => {
      const { W, s } = instance;
      const r = Math.min(W.rows, W.columns);
      const T = matrix(W.rows, W.columns, (i, j) => target[(i * W.columns + j) % target.length]!);
      const eye = matrix(r, r, (i, j) => (i === j ? 1 : 0));
      const [A, B] = r === W.columns ? [eye, scaled(T, 1 / s)] : [scaled(T, 1 / s), eye];
      fc.pre(Number.isInteger(Math.log2(s)));
      const wide = { ...instance, r, alpha: s * r, parts: [{ ...instance.parts[0]!, A, B }] };
      assertSameBits((await added(wide, backend)).data, T.data, 'ΔW = T');
    };
    const numbers = fc.array(fc.integer({ min: -9, max: 9 }), { minLength: 3, maxLength: 40 });
    await fc.assert(fc.asyncProperty(instances('int', { slices: false }), numbers, law), runs(60));
  });
});

test('P15, the converse: no adapter of rank r comes nearer to T than the singular values beyond r', () => {
  const law = (instance: Instance, target: number[]): void => {
    const { W, r } = instance;
    const T = matrix(W.rows, W.columns, (i, j) => target[(i * W.columns + j) % target.length]!);
    const rest = singularValues(T).slice(r);
    const distance = frobenius(plus(T, scaled(deltaOf(instance), -1)));
    expect(distance).toBeGreaterThanOrEqual(
      Math.sqrt(rest.reduce((sum, v) => sum + v * v, 0)) - 1e-12 * frobenius(T),
    );
  };
  const numbers = fc.array(fc.integer({ min: -9, max: 9 }), { minLength: 3, maxLength: 40 });
  fc.assert(fc.property(instances('int', { slices: false }), numbers, law), runs(200));
});
