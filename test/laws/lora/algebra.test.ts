/** Sums, multiples and compressions of adapters, against ΔW = Σ w s B A in f64. */
import { assertSameBits, assertWithin, gamma } from '@bax/check';
import { key } from '@bax/core';
import { cpu } from '@bax/cpu';
import {
  type Adapter, compressAdapter, createAdapter, loadAdapter, LoraModel, memoryFolder, negateAdapter, planLora, saveAdapter, sumAdapters,
} from '@bax/nn'; // prettier-ignore
import fc from 'fast-check';
import { expect, it } from 'vitest';
import { failure } from '../../nn/files/support.ts';
import { tinyGpt2 } from '../../nn/support/gpt2.ts';
import { hashes } from '../../nn/support/hash.ts';
import { absolute, at, bigRows, exactRank, frobenius, matrix, type Matrix, plus, scaled, times, turned } from '../../nn/support/host.ts'; // prettier-ignore
import { onEveryBackend } from '../../support/backends.ts';
import { runs } from '../../support/runs.ts';
import {
  adapterOf, deltaOfAll, inputOf, mergedOfAll, productOf, several, type Several, singleOf, type Single,
} from './support.ts'; // prettier-ignore

/** ΔW of an adapter of the one layer: [out, in]. */
async function deltaOf(adapter: Adapter, { rows, columns }: Matrix): Promise<Matrix> {
  let sum = matrix(rows, columns, () => 0);
  for (const branch of adapter.branches.values())
    for (const { A, B, scale } of branch.products(1)) {
      const [a, b] = [matrix(A.shape[0]!, columns, await A.data()), matrix(B.shape[0]!, B.shape[1]!, await B.data())]; // prettier-ignore
      const part = { name: undefined, start: branch.start, length: branch.length, A: a, B: b };
      sum = plus(sum, scaled(productOf(part, rows), scale));
    }
  return sum;
}
/** The base with one adapter. */
function withOnly(base: Single, adapter: Adapter, name = 'only'): LoraModel<Single> {
  const lora = new LoraModel(base);
  lora.add(name, adapter);
  lora.activate(name);
  return lora;
}
const weighted = (all: Several, adapters: readonly Adapter[]): { adapter: Adapter; weight: number }[] =>
  all.members.map(({ weight }, i) => ({ adapter: adapters[i]!, weight }));
const magnitudeOf = (all: Several): Matrix =>
  deltaOfAll({
    ...all,
    members: all.members.map((m) => ({
      ...m,
      weight: Math.abs(m.weight),
      parts: m.parts.map((p) => ({ ...p, A: absolute(p.A), B: absolute(p.B) })),
    })),
  });
/** The eigenvalues of a symmetric matrix, largest first, by Jacobi's rotations: an oracle of its own. */
function eigenvalues(S: Matrix): number[] {
  const n = S.rows;
  const m = Array.from({ length: n }, (_, i) => Array.from({ length: n }, (_, j) => at(S, i, j)));
  for (let sweep = 0; sweep < 40; sweep++)
    for (let p = 0; p < n; p++)
      for (let q = p + 1; q < n; q++) {
        if (m[p]![q] === 0) continue;
        const angle = 0.5 * Math.atan2(2 * m[p]![q]!, m[q]![q]! - m[p]![p]!);
        const [c, s] = [Math.cos(angle), Math.sin(angle)];
        for (let k = 0; k < n; k++) [m[k]![p], m[k]![q]] = [c * m[k]![p]! - s * m[k]![q]!, s * m[k]![p]! + c * m[k]![q]!]; // prettier-ignore
        for (let k = 0; k < n; k++) [m[p]![k], m[q]![k]] = [c * m[p]![k]! - s * m[q]![k]!, s * m[p]![k]! + c * m[q]![k]!]; // prettier-ignore
      }
  return m.map((row, i) => row[i]!).sort((a, b) => b - a);
}

onEveryBackend((on) => {
  const made = (all: Several): { base: Single; adapters: Adapter[] } => {
    const base = singleOf(all, on.f32);
    return { base, adapters: all.members.map((m) => adapterOf(m, base, on.f32)) };
  };

  it('P9: in whole numbers the sum is Σ w s B A to the bit, in any order, of rank at most Σ r, and trains nothing of its terms', async () => {
    const law = async (all: Several): Promise<void> => {
      const { base, adapters } = made(all);
      const bits = await Promise.all(adapters.map(async (a) => hashes(a.tensors())));
      const sum = sumAdapters(weighted(all, adapters));
      const delta = await deltaOf(sum, all.W);
      assertSameBits(delta.data, deltaOfAll(all).data, 'ΔW of the sum');
      const turned = await deltaOf(sumAdapters(weighted(all, adapters).toReversed()), all.W);
      assertSameBits(turned.data, delta.data, 'the other way round');
      const ranks = all.members.reduce((n, m) => n + m.r * m.parts.length, 0);
      expect(exactRank(bigRows(delta))).toBeLessThanOrEqual(ranks);
      const lora = withOnly(base, sum);
      const x = inputOf(all, on.f32);
      const { model } = await lora.merge();
      assertSameBits(await model.weights(), mergedOfAll(all).data, 'merged');
      assertSameBits(await lora.model.forward(x).data(), await model.forward(x).data(), 'output');
      const folder = memoryFolder();
      await saveAdapter(lora, folder);
      const { lora: again } = await loadAdapter(base, folder);
      assertSameBits(await again.model.forward(x).data(), await model.forward(x).data(), 'read back');
      const shared = new Set(adapters.flatMap((a) => [...a.tensors().values()]));
      for (const t of sum.tensors().values()) expect(shared.has(t)).toBe(false);
      sum.dispose();
      expect(await Promise.all(adapters.map(async (a) => hashes(a.tensors())))).toEqual(bits);
    };
    await fc.assert(fc.asyncProperty(several('int'), law), runs(on.runs(60)));
  });

  it('P9: in real numbers it is within γ_{Σr + n + 1}', async () => {
    const law = async (all: Several): Promise<void> => {
      const delta = await deltaOf(sumAdapters(weighted(all, made(all).adapters)), all.W);
      const ranks = all.members.reduce((n, m) => n + m.r * m.parts.length, 0);
      const g = gamma(ranks + all.members.length + 1, on.backend.info.roundoff);
      const terms = magnitudeOf(all).data;
      assertWithin(delta.data, deltaOfAll(all).data, (i) => g * terms[i]! + 2 ** -100, 'ΔW of the sum');
    };
    await fc.assert(fc.asyncProperty(several('real'), law), runs(on.runs(40)));
  });

  it('P9: combine([a], [1]) has the bits of a, −1 those of −a; twice negated is a; in real numbers too', async () => {
    const law = async (all: Several): Promise<void> => {
      const { base, adapters } = made(all);
      const [own] = adapters as [Adapter];
      const x = inputOf(all, on.f32);
      const y = await withOnly(base, own).model.forward(x).data();
      const delta = (await deltaOf(own, all.W)).data;
      for (const same of [sumAdapters([{ adapter: own }]), negateAdapter(negateAdapter(own))]) {
        assertSameBits((await deltaOf(same, all.W)).data, delta, 'ΔW');
        assertSameBits(await withOnly(base, same).model.forward(x).data(), y, 'output');
      }
      const minus = negateAdapter(own);
      assertSameBits((await deltaOf(minus, all.W)).data, delta.map((v) => -v), '−ΔW'); // prettier-ignore
    };
    await fc.assert(fc.asyncProperty(several('real'), law), runs(on.runs(30)));
  });

  it('P9: a + (−a) = 0 in whole numbers; in real ones within the bound', async () => {
    const law = async (all: Several, mode: 'int' | 'real'): Promise<void> => {
      const [own] = made(all).adapters as [Adapter];
      const zero = (await deltaOf(sumAdapters([{ adapter: own }, { adapter: negateAdapter(own) }]), all.W)).data; // prettier-ignore
      if (mode === 'int') return assertSameBits(zero, new Float64Array(zero.length), 'a + (−a)');
      const first = all.members[0]!;
      const terms = magnitudeOf({ ...all, members: [{ ...first, weight: 2 }] }).data;
      const g = gamma(2 * first.r * first.parts.length + 3, on.backend.info.roundoff);
      assertWithin(zero, new Float64Array(zero.length), (i) => g * terms[i]! + 2 ** -100, 'a + (−a)');
    };
    const either = fc.constantFrom('int' as const, 'real' as const).chain((mode) => fc.tuple(several(mode), fc.constant(mode))); // prettier-ignore
    await fc.assert(
      fc.asyncProperty(either, async ([all, mode]) => law(all, mode)),
      runs(on.runs(30)),
    );
  });

  it('P10, the negative control: (Σ B)(Σ A) is another matrix than Σ B A', async () => {
    let seen = 0;
    const law = async (all: Several): Promise<void> => {
      const [a, b] = all.members.slice(0, 2).map((m) => m.parts[0]!) as [Several['members'][0]['parts'][0], Several['members'][0]['parts'][0]]; // prettier-ignore
      const cross = plus(times(a.B, b.A), times(b.B, a.A));
      if (cross.data.every((v) => v === 0)) return; // else equal by accident
      seen++;
      const members = all.members.slice(0, 2).map((m) => ({ ...m, s: 1, alpha: m.r, weight: 1 }));
      const { adapters } = made({ ...all, members });
      const sum = await deltaOf(sumAdapters(adapters.map((adapter) => ({ adapter }))), all.W);
      assertSameBits(sum.data, plus(times(a.B, a.A), times(b.B, b.A)).data, 'the sum');
      expect(Array.from(sum.data)).not.toEqual(Array.from(times(plus(a.B, b.B), plus(a.A, b.A)).data));
    };
    const pairs = several('int', { least: 2, whole: true, sameRank: true });
    await fc.assert(fc.asyncProperty(pairs, law), runs(on.runs(16)));
    expect(seen).toBeGreaterThan(0);
  });

  it('P15, P9: compressed to r, it is √Σ_{i>r} σᵢ² away, as near as rank r comes; at full rank it is the same', async () => {
    const law = async (all: Several): Promise<void> => {
      const { adapters } = made(all);
      const u = on.backend.info.roundoff;
      const sum = sumAdapters(weighted(all, adapters));
      for (const r of [1, 2, 3, 100]) {
        const { adapter, errors } = await compressAdapter(sum, r);
        let k = 0;
        for (const [path, { start, length }] of sum.branches) {
          const rowsIn = (m: Matrix): Matrix => matrix(length, m.columns, (i, j) => at(m, start + i, j));
          const exact = rowsIn(deltaOfAll({ ...all, members: all.members.map((m) => ({ ...m, parts: m.parts.filter((p) => sum.branches.size === 1 || path.endsWith(p.name ?? 'proj')) })).filter((m) => m.parts.length > 0) })); // prettier-ignore
          const size = frobenius(exact);
          // of the smaller of ΔWᵀΔW and ΔWΔWᵀ: exact whole numbers
          const gram = exact.rows < exact.columns ? times(exact, turned(exact)) : times(turned(exact), exact);
          const sigma2 = eigenvalues(gram).map((v) => Math.max(v, 0));
          const lost = Math.sqrt(sigma2.slice(r).reduce((a, b) => a + b, 0));
          const said = errors[k++]!;
          expect(said.path).toBe(path);
          // a root of what Jacobi leaves of a zero
          assertWithin([said.error], [lost], 2 ** -20 * size + 2 ** -100, `error at r = ${r}`);
          assertWithin([said.relative], [size > 0 ? said.error / size : 0], 2 ** -40, 'relative');
          const branch = adapter.branches.get(path)!;
          expect(branch.r).toBeLessThanOrEqual(r);
          expect(branch.scale).toBe(1);
          const near = rowsIn(await deltaOf(adapter, all.W));
          const away = frobenius(plus(near, scaled(exact, -1)));
          assertWithin([away], [lost], 32 * u * size + 2 ** -20 * size * (lost > 0 ? 1 : 0) + 2 ** -100, 'distance'); // prettier-ignore
        }
      }
    };
    const sums = several('int', { size: 6 });
    await fc.assert(fc.asyncProperty(sums, law), runs(on.runs(24)));
  });

  it('P9, P23: a sum of any adapters is saved and read back as it is: rsLoRA, PiSSA and plain ones', async () => {
    const law = async (all: Several, kinds: readonly [Kind, Kind], seed: number): Promise<void> => {
      const base = singleOf({ ...all, form: 'linear', slices: {} }, on.f32);
      const terms = await Promise.all(
        kinds.map(async ({ rslora, init, r }, i) => {
          const plan = planLora(base, { r, alpha: 3, rslora, init });
          const adapter = await createAdapter(plan, { key: key(seed + i) });
          for (const { B } of adapter.branches.values())
            on.backend.write(
              B.view.buffer,
              Float32Array.from({ length: B.size }, (_, j) => ((j + seed) % 7) - 3),
            ); // not zero, as after training
          return { adapter, weight: [1, -0.5][i]! };
        }),
      );
      for (const some of [terms.slice(0, 1), terms]) {
        const sum = sumAdapters(some);
        const wanted = new LoraModel(base);
        some.forEach(({ adapter }, i) => wanted.add(`t${i}`, adapter));
        wanted.activate(Object.fromEntries(some.map(({ weight }, i) => [`t${i}`, weight])));
        const [{ model: together }, { model: one }] = [
          await wanted.merge(),
          await withOnly(base, sum).merge(),
        ];
        const exact = await together.weights();
        const near = 2 ** -18 * Math.max(1, ...Array.from(exact, Math.abs));
        assertWithin(await one.weights(), exact, near, 'the sum merged');
        const folder = memoryFolder();
        await saveAdapter(withOnly(base, sum), folder);
        const { lora } = await loadAdapter(base, folder);
        const x = inputOf({ ...all, form: 'linear' }, on.f32);
        const y = await withOnly(base, sum).model.forward(x).data();
        assertSameBits(await lora.model.forward(x).data(), y, 'read back');
      }
    };
    interface Kind { rslora: boolean; init: 'kaiming' | 'gaussian' | 'pissa' | 'olora'; r: number } // prettier-ignore
    const kind: fc.Arbitrary<Kind> = fc.record({ rslora: fc.boolean(), init: fc.constantFrom('kaiming', 'gaussian', 'pissa', 'olora'), r: fc.integer({ min: 1, max: 3 }) }); // prettier-ignore
    const bases = several('real', { forms: ['linear'], whole: true, smallest: 3 });
    await fc.assert(fc.asyncProperty(bases, fc.tuple(kind, kind), fc.nat(99), law), runs(on.runs(16)));
  });
});

it('P9: what is no sum is refused by name, and nothing is made', async () => {
  const backend = cpu();
  const drawn = fc.sample(several('int', { forms: ['linear'], whole: true }), { numRuns: 1, seed: 3 })[0]!;
  const base = singleOf({ ...drawn, bias: new Float64Array(drawn.W.rows) }, { backend });
  const plain = await createAdapter(planLora(base, { r: 1 }), { key: key(1) });
  const dora = await createAdapter(planLora(base, { r: 1, dora: true }), { key: key(1) });
  const whole = await createAdapter(planLora(base, { r: 1, bias: 'all' }), { key: key(1) });
  const { buffers } = backend.memory();
  const why = 'an adapter uses DoRA, which is not linear in B A; merge it instead';
  expect(await failure(() => sumAdapters([{ adapter: plain }, { adapter: dora }]))).toBe(`sumAdapters: ${why}`); // prettier-ignore
  expect(await failure(() => compressAdapter(dora, 1))).toBe(`compressAdapter: ${why}`);
  expect(await failure(() => negateAdapter(whole))).toBe('sumAdapters: an adapter trains proj.bias whole, which is no product B A; merge it instead'); // prettier-ignore
  expect(await failure(() => sumAdapters([]))).toBe('sumAdapters: there is no adapter to sum');
  expect(await failure(() => sumAdapters([{ adapter: plain, weight: NaN }]))).toBe('sumAdapters: a weight is NaN; it must be a finite number'); // prettier-ignore
  for (const r of [0, 1.5, NaN]) expect(await failure(() => compressAdapter(plain, r))).toBe(`compressAdapter: r is ${r}; the rank is an integer from 1`); // prettier-ignore
  expect(backend.memory().buffers).toBe(buffers);
});

it('P9: what is of different models is refused by name, also where only the outputs differ; nothing is made', async () => {
  const backend = cpu();
  const [model, wider] = [tinyGpt2({ backend }), tinyGpt2({ backend, config: { n_inner: 16 } })];
  const onDouble = tinyGpt2({ backend, dtype: 'f64' });
  const [one, other, wide] = await Promise.all(
    [model, wider, onDouble].map((m) =>
      createAdapter(planLora(m, { r: 2, targets: ['q', 'c_fc'] }), { key: key(1) }),
    ),
  );
  const { buffers } = backend.memory();
  const begin = 'sumAdapters: adapters of different models: at transformer.h.0.';
  expect(await failure(() => sumAdapters([{ adapter: one! }, { adapter: other! }]))).toBe(
    `${begin}mlp.c_fc one has 8 inputs and outputs 0 to 32, f32 on cpu, another 8 inputs and outputs 0 to 16, f32 on cpu`,
  );
  expect(await failure(() => sumAdapters([{ adapter: one! }, { adapter: wide! }]))).toBe(
    `${begin}attn.c_attn.q one has 8 inputs and outputs 0 to 8, f32 on cpu, another 8 inputs and outputs 0 to 8, f64 on cpu`,
  );
  expect(backend.memory().buffers).toBe(buffers);
});

it('P15: a value that is not finite in any target is refused, and nothing is left of those before it', async () => {
  const backend = cpu();
  const adapter = await createAdapter(planLora(tinyGpt2({ backend }), { r: 2, targets: ['c_fc'] }), { key: key(1) }); // prettier-ignore
  const last = [...adapter.branches.values()].at(-1)!;
  backend.write(last.B.view.buffer, Float32Array.of(NaN), last.B.view.offset);
  const { buffers } = backend.memory();
  expect(await failure(() => compressAdapter(adapter, 1))).toContain('an entry that is not a finite number');
  expect(backend.memory().buffers).toBe(buffers);
});
