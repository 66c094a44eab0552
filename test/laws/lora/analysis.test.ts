import { key, normals, type Backend } from '@bax/core';
import { cpu } from '@bax/cpu';
import {
  amplification, amplificationsOf, attachLora, linalg, planLora, projectionMetric, randomProjection, randomSimilarity, matricesOf, similaritiesOf,
  similarityGrid, spectraOf, subspaceSimilarity, type Matrix,
} from '@bax/nn'; // prettier-ignore
import fc from 'fast-check';
import { beforeAll, describe, expect, it } from 'vitest';
import { failure } from '../../nn/files/support.ts';
import { diagonal, matrices, minus, U53 } from '../../nn/linalg/support.ts';
import { randomAdapter, tinyGpt2 } from '../../nn/support/gpt2.ts';
import { bigRows, exactRank } from '../../nn/support/host.ts';
import { backendCases } from '../../support/backends.ts';
import { runs } from '../../support/runs.ts';
import { adapted, deltaOf, instances, productOf, type Instance } from './support.ts';

const {
  firstColumns,
  frobenius,
  matrix,
  qr,
  rowsOf,
  scaled,
  singularValues,
  svd,
  svdOfProduct,
  times,
  turned,
} = linalg;

/** P30's tolerance. */
const near = (k: number): number => 64 * k * U53;
const gaussian = (rows: number, columns: number, seed: number): Matrix =>
  matrix(rows, columns, normals(key(seed), rows * columns));
const orthogonal = (n: number, seed: number): Matrix => qr(gaussian(n, n, seed)).Q;

const size = fc.integer({ min: 1, max: 9 });
/** Two matrices with directions of one length, now and then of one another's. */
const pairs = fc
  .record({ r: size, s: size, k: size, seed: fc.nat(), alike: fc.boolean() })
  .map(({ r, s, k, seed, alike }) => {
    const A = gaussian(r, k, seed);
    return { A, B: alike ? times(gaussian(s, r, seed + 1), A) : gaussian(s, k, seed + 2), k };
  });

describe('P30: φ(A, B, i, j) = ‖U_Aⁱᵀ U_Bʲ‖_F² / min(i, j), LoRA equation 4', () => {
  it('is 1 of A with itself, lies in [0, 1] and is symmetric', () => {
    fc.assert(
      fc.property(pairs, ({ A, B, k }) => {
        const [own, one, other] = [similarityGrid(A, A), similarityGrid(A, B), similarityGrid(B, A)];
        own.values.forEach((row, i) => expect(Math.abs(row[i]! - 1)).toBeLessThanOrEqual(near(k)));
        one.values.forEach((row, i) =>
          row.forEach((phi, j) => {
            if (phi === undefined) expect(other.values[j]![i]).toBeUndefined();
            else {
              expect(phi).toBeGreaterThanOrEqual(0);
              expect(phi).toBeLessThanOrEqual(1);
              expect(Math.abs(other.values[j]![i]! - phi)).toBeLessThanOrEqual(near(k));
            }
          }),
        );
      }),
      runs(200),
    );
  });

  it('by the formula, for each i and j: the squared cosines of the principal angles, averaged', () => {
    fc.assert(
      fc.property(pairs, ({ A, B, k }) => {
        const [a, b] = [svd(A), svd(B)];
        similarityGrid(A, B).values.forEach((row, i) =>
          row.forEach((phi, j) => {
            if (phi === undefined) return;
            const C = times(turned(firstColumns(a.V, i + 1)), firstColumns(b.V, j + 1));
            const cosines = singularValues(C);
            const mean = cosines.reduce((sum, c) => sum + c * c, 0) / cosines.length;
            expect(Math.abs(phi - mean)).toBeLessThanOrEqual(near(k));
            expect(subspaceSimilarity(A, B, i + 1, j + 1)).toBe(phi);
            const p = cosines.length;
            const d = Math.sqrt(Math.max(0, p - cosines.reduce((sum, c) => sum + c * c, 0)));
            const metric = projectionMetric(A, B, i + 1, j + 1)!;
            expect(Math.abs(metric ** 2 - d ** 2)).toBeLessThanOrEqual(near(k) * p);
            expect(metric).toBeLessThanOrEqual(Math.sqrt(p));
          }),
        );
      }),
      runs(60),
    );
  });

  it('exactly, along axes', () => {
    const A = matrix(2, 4, [3, 0, 0, 0, 0, 2, 0, 0]); // e1, e2
    const B = matrix(3, 4, [0, 5, 0, 0, 0, 0, 4, 0, 1, 0, 0, 0]); // e2, e3, e1
    expect(similarityGrid(A, B).values).toEqual([
      [0, 0, 1],
      [1, 0.5, 1],
    ]);
    expect(projectionMetric(A, B, 1, 1)).toBe(1);
    expect(projectionMetric(A, B, 2, 2)).toBe(1);
    expect(projectionMetric(A, B, 2, 3)).toBe(0);
  });

  it('d² = ‖P_A − P_B‖_F² / 2 for i = j: a distance of the subspaces, whatever spans them', () => {
    for (const [r, k, seed] of [[1, 5, 1], [3, 8, 2], [4, 4, 3], [6, 20, 4]] as const) {
      const [A, B] = [gaussian(r, k, seed), gaussian(r, k, seed + 10)];
      const projector = (M: Matrix): Matrix => times(qr(turned(M)).Q, turned(qr(turned(M)).Q));
      const d2 = frobenius(minus(projector(A), projector(B))) ** 2 / 2;
      expect(Math.abs(projectionMetric(A, B, r, r)! ** 2 - d2)).toBeLessThanOrEqual(near(k) * r);
    } // prettier-ignore
  });

  it('rows of A mixed by any rotation change nothing; mixed by any invertible matrix, nothing at i = r, but much before', () => {
    let most = 0;
    fc.assert(
      fc.property(fc.integer({ min: 2, max: 6 }), fc.integer({ min: 8, max: 20 }), fc.nat(), (r, k, seed) => {
        const [A, B] = [gaussian(r, k, seed), gaussian(4, k, seed + 1)];
        const before = similarityGrid(A, B).values;
        const turnedA = similarityGrid(times(orthogonal(r, seed + 2), A), B).values;
        const { S } = svd(A);
        before.forEach((row, i) => {
          const gap = (S[i]! - (S[i + 1] ?? 0)) / S[0]!;
          row.forEach((phi, j) =>
            expect(Math.abs(turnedA[i]![j]! - phi!)).toBeLessThanOrEqual(near(k) / gap),
          );
        });
        const mix = gaussian(r, r, seed + 3);
        const condition = svd(mix).S[0]! / svd(mix).S[r - 1]!;
        const mixed = similarityGrid(times(mix, A), B).values;
        before[r - 1]!.forEach((phi, j) =>
          expect(Math.abs(mixed[r - 1]![j]! - phi!)).toBeLessThanOrEqual(near(k) * condition * 10),
        );
        most = Math.max(most, Math.abs(mixed[0]![0]! - before[0]![0]!));
      }),
      runs(100),
    );
    expect(most, 'the negative control').toBeGreaterThan(0.3);
  });

  it('is undefined where directions are not determined: of zero, beyond the rank, among equal singular values', () => {
    const B = gaussian(3, 8, 1);
    const grid = (A: Matrix): string[] =>
      similarityGrid(A, B).values.map((row) => row.map((phi) => (phi === undefined ? '-' : 'x')).join(''));
    expect(grid(matrix(3, 8, () => 0))).toEqual(['---', '---', '---']);
    expect(
      subspaceSimilarity(
        matrix(2, 8, () => 0),
        matrix(2, 8, () => 0),
        2,
        2,
      ),
    ).toBeUndefined();
    expect(
      projectionMetric(
        matrix(2, 8, () => 0),
        B,
        2,
        2,
      ),
    ).toBeUndefined();
    expect(grid(times(gaussian(4, 2, 2), gaussian(2, 8, 3)))).toEqual(['xxx', 'xxx', '---', '---']);
    const rotation = turned(firstColumns(orthogonal(8, 4), 3));
    expect(grid(times(diagonal([5, 2, 2]), rotation)), 'σ₂ = σ₃').toEqual(['xxx', '---', 'xxx']);
    expect(grid(rotation)).toEqual(['---', '---', 'xxx']);
    expect(grid(gaussian(8, 8, 5)).at(-1), 'all directions there are').toBe('xxx');
    // what f32 rounds to is no direction either, if it is said that it is f32
    const rounded = times(gaussian(4, 2, 2), gaussian(2, 8, 3));
    rounded.data.forEach((x, i) => (rounded.data[i] = Math.fround(x)));
    expect(subspaceSimilarity(rounded, B, 3, 1)).toBeDefined();
    expect(subspaceSimilarity(rounded, B, 3, 1, { roundoff: 2 ** -24 })).toBeUndefined();
    expect(subspaceSimilarity(rounded, B, 2, 1, { roundoff: 2 ** -24 })).toBeDefined();
  });

  it('E φ = max(i, j) / k for independent Gaussian matrices, for all i and j', () => {
    const [k, draws] = [64, 300];
    const sums = Array.from({ length: 4 }, () => new Float64Array(16));
    const squares = sums.map(() => new Float64Array(16));
    for (let n = 0; n < draws; n++)
      similarityGrid(gaussian(4, k, 2 * n), gaussian(16, k, 2 * n + 1)).values.forEach((row, i) =>
        row.forEach((phi, j) => {
          sums[i]![j]! += phi!;
          squares[i]![j]! += phi! ** 2;
        }),
      );
    sums.forEach((row, i) =>
      row.forEach((sum, j) => {
        const mean = sum / draws;
        const deviation = Math.sqrt((squares[i]![j]! / draws - mean ** 2) / draws);
        expect(Math.abs(mean - randomSimilarity(i + 1, j + 1, k))).toBeLessThan(5 * deviation);
        expect(deviation).toBeLessThan(0.005);
      }),
    );
    expect(randomSimilarity(64, 8, 12288)).toBeCloseTo(0.0052, 4); // GPT-3's baseline
    expect(randomSimilarity(2, 16, 256)).toBe(0.0625);
    expect(similarityGrid(gaussian(2, 64, 1), gaussian(64, 64, 2)).values[1]![63], 'all of a small model').toBeCloseTo(1, 12); // prettier-ignore
  });

  it('takes an SVD as it takes the matrix, and left directions when it is turned', () => {
    const [B, A, other] = [gaussian(7, 3, 1), gaussian(3, 9, 2), gaussian(7, 9, 3)];
    const dense = similarityGrid(times(B, A), other).values.slice(0, 3);
    similarityGrid(svdOfProduct(B, A), other).values.forEach((row, i) =>
      row.forEach((phi, j) => expect(Math.abs(phi! - dense[i]![j]!)).toBeLessThan(1e-12)),
    );
    const left = subspaceSimilarity(turned(times(B, A)), turned(other), 3, 2)!;
    const { U } = svd(other);
    const direct = frobenius(times(turned(qr(B).Q), firstColumns(U, 2))) ** 2 / 2; // B's columns span ΔW's
    expect(Math.abs(left - direct)).toBeLessThan(1e-12);
  });

  it('refuses what has no meaning, and prints what has', async () => {
    const [A, B] = [gaussian(2, 8, 1), gaussian(5, 8, 2)];
    expect(await failure(() => similarityGrid(A, gaussian(2, 7, 1)))).toBe(
      'similarity: directions of length 8 and 7 cannot be compared',
    );
    for (const i of [0, 3, 1.5])
      expect(await failure(() => subspaceSimilarity(A, B, i, 1))).toBe(
        `subspaceSimilarity: i is ${i}; it counts directions, of which there are 2`,
      );
    expect(await failure(() => subspaceSimilarity(A, B, 1, 6))).toMatch(/: j is 6; .* there are 5$/);
    expect(await failure(() => randomSimilarity(1, 9, 8))).toBe(
      'randomSimilarity: there are no 9 directions among 8',
    );
    const C = matrix(2, 4, [3, 0, 0, 0, 0, 2, 0, 0]);
    const D = matrix(3, 4, [0, 5, 0, 0, 0, 0, 4, 0, 0, 0, 0, 0]);
    expect(String(similarityGrid(C, D))).toBe(
      [
        'φ(i, j) in percent (– is undefined), and in brackets what random matrices share',
        'i \\ j          1          2          3',
        '    1     0 (25)     0 (50)     – (75)',
        '    2   100 (50)    50 (50)     – (75)',
      ].join('\n'),
    );
  });
});

describe('P30: the amplification factor ‖ΔW‖_F / ‖Uᵀ W V‖_F, LoRA table 7', () => {
  const drawn = fc.record({ d: size, k: size, seed: fc.nat() });

  it('of c ΔW is |c| times that of ΔW; the projections stay', () => {
    fc.assert(
      fc.property(drawn, fc.constantFrom(2, -0.5, 1e6, -3), ({ d, k, seed }, c) => {
        const [W, D] = [gaussian(d, k, seed), gaussian(d, k, seed + 1)];
        const r = 1 + (seed % Math.min(d, k));
        const [one, other] = [amplification(W, D, r), amplification(W, scaled(D, c), r)];
        expect(Math.abs(other.factor! / one.factor! - Math.abs(c))).toBeLessThan(1e-9 * Math.abs(c));
        expect(other.projected.random).toBe(one.projected.random);
        expect(other.projected.ofWeight).toBe(one.projected.ofWeight);
      }),
      runs(100),
    );
  });

  it('of W by itself, along all its directions, is 1; along fewer, ‖W‖ / √Σ σ²', () => {
    fc.assert(
      fc.property(matrices(), (W) => {
        fc.pre(frobenius(W) > 0);
        const { S } = svd(W);
        S.forEach((_, i) => {
          const { factor, weight, projected } = amplification(W, W, i + 1);
          const kept = Math.hypot(...S.slice(0, i + 1));
          expect(Math.abs(projected.ofWeight / kept - 1)).toBeLessThan(1e-12);
          if (factor === undefined) return;
          expect(Math.abs(factor - weight / kept)).toBeLessThan(1e-12 * factor);
          if (i + 1 === S.length) expect(Math.abs(factor - 1)).toBeLessThan(1e-12);
        });
      }),
      runs(100),
    );
  });

  it('by entries: with U and V along axes the projection is a block of W', () => {
    const W = matrix(3, 4, [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]);
    const D = matrix(3, 4, (i, j) => (i === 2 && j === 1 ? -7 : i === 0 && j === 3 ? 6 : 0));
    const { projected, factor, factorUnscaled, delta, deltaUnscaled } = amplification(W, D, 2, { scale: 4 });
    expect(projected.ofDelta).toBeCloseTo(Math.hypot(10, 12, 2, 4), 12);
    expect(delta).toBeCloseTo(Math.hypot(7, 6), 12);
    expect(deltaUnscaled).toBeCloseTo(Math.hypot(7, 6) / 4, 12);
    expect(factor).toBeCloseTo(Math.sqrt(85) / Math.sqrt(264), 12);
    expect(factorUnscaled).toBeCloseTo(Math.sqrt(85) / Math.sqrt(264) / 4, 12);
    expect(amplification(W, D, 1).projected.ofDelta).toBeCloseTo(10, 12);
  });

  it('E ‖Uᵀ W V‖² of random directions is r² ‖W‖² / (d k)', () => {
    const [d, k, draws] = [12, 20, 400];
    for (const [W, r] of [[gaussian(d, k, 1), 3], [diagonal([5, 1], d, k), 1], [gaussian(d, k, 2), 12]] as const) {
      const squares = Array.from({ length: draws }, (_, n) => amplification(W, W, r, { key: key(n) }).projected.random ** 2);
      const mean = squares.reduce((a, b) => a + b) / draws;
      const deviation = Math.sqrt(squares.reduce((sum, x) => sum + (x - mean) ** 2, 0)) / draws;
      const expected = amplification(W, W, r).projected.randomExpected ** 2;
      expect(Math.abs(mean - expected)).toBeLessThan(4 * deviation + 1e-12 * mean);
      expect(deviation).toBeLessThan(0.15 * mean);
    } // prettier-ignore
  });

  it("the paper's own numbers: 21.6 and 1.88 of table 7's norms, and its random column by the closed form", () => {
    // ‖ΔW‖, ‖UᵀWV‖ with ΔW's directions, ‖W‖, r; 12,288 wide there, and as wide here as it must be
    for (const [delta, seen, r, factor] of [[6.91, 0.32, 4, 21.6], [3.57, 1.9, 64, 1.88]] as const) {
      const n = r + 1;
      const part = seen / Math.sqrt(r);
      const W = diagonal(Array.from({ length: n }, (_, i) => (i < r ? part : Math.sqrt(61.95 ** 2 - seen ** 2))));
      const D = diagonal(Array.from({ length: n }, (_, i) => (i < r ? delta / Math.sqrt(r) : 0)));
      const table = amplification(W, D, r);
      expect(table.weight).toBeCloseTo(61.95, 10);
      expect(table.delta).toBeCloseTo(delta, 10);
      expect(table.projected.ofDelta).toBeCloseTo(seen, 10);
      expect(Number(table.factor!.toPrecision(3))).toBe(factor);
    } // prettier-ignore
    expect(randomProjection(61.95, 4, 12288, 12288)).toBeCloseTo(0.0202, 4); // the paper: 0.02
    expect(randomProjection(61.95, 64, 12288, 12288)).toBeCloseTo(0.3227, 4); // 0.33
  });

  it('is undefined of ΔW = 0 and beyond its rank, and refuses what does not fit', async () => {
    const W = gaussian(4, 5, 1);
    const nothing = amplification(
      W,
      matrix(4, 5, () => 0),
      2,
    );
    expect([nothing.factor, nothing.factorUnscaled, nothing.projected.ofDelta]).toEqual(Array(3).fill(undefined)); // prettier-ignore
    expect(String(nothing)).toContain('amplification undefined (without α/r undefined)');
    const one = times(gaussian(4, 1, 2), gaussian(1, 5, 3));
    expect(amplification(W, one, 1).factor).toBeDefined();
    expect(amplification(W, one, 2).factor).toBeUndefined();
    expect(
      amplification(
        matrix(4, 5, () => 0),
        one,
        1,
      ).factor,
    ).toBe(Infinity);
    expect(await failure(() => amplification(W, turned(one), 1))).toBe(
      'amplification: W is [4, 5] and ΔW [5, 4]; they must be alike',
    );
    for (const r of [0, 5, 1.5])
      expect(await failure(() => amplification(W, one, r))).toBe(
        `amplification: r is ${r}; it counts ΔW's directions, of which there are 4`,
      );
    expect(await failure(() => amplification(W, one, 1, { scale: 0 }))).toMatch(/: scale is 0; /);
  });
});

describe.each(backendCases)('on $name', (device) => {
  let backend: Backend;
  beforeAll(async () => void (backend = await device.make()));

  it('P4, P30: what is read of an adapter is A, B, α/r, W; the spectrum is that of s B A, of rank at most r', async () => {
    const law = async (instance: Instance): Promise<void> => {
      const { W, s, parts } = instance;
      const before = backend.memory().live;
      const lora = adapted(instance, { backend });
      const live = backend.memory().live;
      const [read, spectra] = [await matricesOf(lora), await spectraOf(lora)];
      expect([...read.keys()].sort()).toEqual(parts.map((p) => (p.name ? `proj.${p.name}` : 'proj')).sort());
      for (const part of parts) {
        const path = part.name ? `proj.${part.name}` : 'proj';
        const { A, B, scale, delta, weight } = read.get(path)!;
        expect([A, B, scale]).toEqual([part.A, part.B, s]);
        expect(await weight()).toEqual(rowsOf(W, part.start, part.length));
        const whole = deltaOf({ ...instance, parts: [part] });
        const dense = rowsOf(whole, part.start, part.length);
        const product = times(times(delta.U, diagonal(delta.S)), turned(delta.V));
        const unit = frobenius(A) * frobenius(B) * s * near(W.rows + W.columns);
        expect(frobenius(minus(product, dense))).toBeLessThanOrEqual(unit);
        const { values, rank } = spectra.get(path)!;
        expect(rank).toBe(exactRank(bigRows(productOf(part, W.rows))));
        expect(rank).toBeLessThanOrEqual(instance.r);
        svd(dense).S.slice(0, values.length).forEach((x, i) => expect(Math.abs(x - values[i]!)).toBeLessThanOrEqual(unit)); // prettier-ignore
      }
      expect(backend.memory().live, 'reading leaves nothing on the device').toBe(live);
      for (const t of lora.parameters().values()) t.dispose();
      lora.base.dispose();
      expect(backend.memory().live).toBe(before);
    };
    await fc.assert(fc.asyncProperty(instances('int'), law), runs(40));
  });

  it('P30: of adapters: similarity of the As target by target, amplification of W by ΔW', async () => {
    const law = async (instance: Instance): Promise<void> => {
      const { W, s, parts } = instance;
      const lora = adapted(instance, { backend });
      const grids = await similaritiesOf(lora, lora);
      const tables = await amplificationsOf(lora, { key: key(3) });
      for (const part of parts) {
        const path = part.name ? `proj.${part.name}` : 'proj';
        expect(grids.get(path)!.values).toEqual(similarityGrid(part.A, part.A).values);
        const table = tables.get(path)!;
        const dense = rowsOf(deltaOf({ ...instance, parts: [part] }), part.start, part.length);
        const direct = amplification(rowsOf(W, part.start, part.length), dense, instance.r, { scale: s, key: key(3) }); // prettier-ignore
        expect(table.projected.random).toBe(direct.projected.random);
        expect(Math.abs(table.delta - direct.delta)).toBeLessThanOrEqual(1e-12 * direct.delta);
        if (direct.factor === undefined || table.factor === undefined) continue;
        if (direct.factor === Infinity) {
          expect(table.factor, 'nothing of W lies along ΔW').toBe(Infinity);
          continue;
        }
        // Directions turn by rounding / (σ_r − σ_{r+1}), and UᵀWV by as much of W.
        const { S } = svd(dense);
        const turn = S[0]! / (S[instance.r - 1]! - (S[instance.r] ?? 0));
        const tolerance = (2 ** -46 * turn * direct.weight) / direct.projected.ofDelta!;
        expect(Math.abs(table.factor / direct.factor - 1)).toBeLessThan(tolerance);
        expect(Math.abs(table.factorUnscaled! * s - table.factor)).toBeLessThan(1e-12 * table.factor);
      }
    };
    await fc.assert(fc.asyncProperty(instances('real', { size: 8 }), law), runs(20));
  });
});

describe('P30: of two adapters', () => {
  const model = tinyGpt2({ backend: cpu() });
  it('of different ranks: one grid a target that both have', async () => {
    const one = randomAdapter(model, { r: 2, targets: ['q', 'c_fc'] });
    const other = randomAdapter(model, { r: 4, targets: ['q', 'v'] }, { seed: 1 });
    const grids = await similaritiesOf(one, other);
    expect([...grids.keys()]).toEqual([0, 1].map((i) => `transformer.h.${i}.attn.c_attn.q`));
    const [mine, others] = [await matricesOf(one), await matricesOf(other)];
    for (const [path, { values, width }] of grids) {
      expect([values.length, values[0]!.length, width]).toEqual([2, 4, 8]);
      expect(values).toEqual(similarityGrid(mine.get(path)!.A, others.get(path)!.A).values);
    }
    const [first] = (await amplificationsOf(one, { r: 1 })).values();
    expect(first!.r).toBe(1);
  });
  it('of a new one nothing is said: B = 0', async () => {
    const lora = await attachLora(model, planLora(model, { r: 2, targets: ['v'] }), { key: key(1) });
    for (const { rank, effectiveRank, stableRank } of (await spectraOf(lora)).values())
      expect([rank, effectiveRank, stableRank]).toEqual([0, undefined, undefined]);
    for (const { factor } of (await amplificationsOf(lora)).values()) expect(factor).toBeUndefined();
  });
  it('without a target in common they are refused', async () => {
    const [one, other] = [['q'], ['v']].map((targets) => randomAdapter(model, { r: 1, targets }));
    expect(await failure(() => similaritiesOf(one!, other!))).toBe(
      'similaritiesOf: the adapters have no target in common: transformer.h.0.attn.c_attn.q, transformer.h.1.attn.c_attn.q; and transformer.h.0.attn.c_attn.v, transformer.h.1.attn.c_attn.v',
    );
  });
  it('of models of different widths they are refused, and the layer is named', async () => {
    const [one, other] = [8, 12].map((n_embd) =>
      randomAdapter(tinyGpt2({ backend: cpu(), config: { n_embd } }), { r: 1, targets: ['q'] }),
    );
    expect(await failure(() => similaritiesOf(one!, other!))).toBe(
      'similaritiesOf: transformer.h.0.attn.c_attn.q has 8 inputs in one model and 12 in the other',
    );
  });
});
