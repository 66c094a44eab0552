/** Where A and B begin: orthogonal, PiSSA and OLoRA, in which neither is zero and yet the model is the base. */
import { assertSameBits, assertWithin, gamma } from '@bax/check';
import { type Key, key, type Tensor } from '@bax/core';
import { cpu } from '@bax/cpu';
import { attachLora, createAdapter, type Linear, type LoraBranch, type LoraConfig, type LoraInit, type LoraPlan, planLora } from '@bax/nn'; // prettier-ignore
import fc from 'fast-check';
import { describe, expect, it, test } from 'vitest';
import { failure } from '../../nn/files/support.ts';
import { tinyGpt2 } from '../../nn/support/gpt2.ts';
import { absolute, at, frobenius, matrix, plus, rowsOf, scaled, singularValues, times, turned, type Matrix } from '../../nn/support/host.ts'; // prettier-ignore
import { largest } from '../../nn/support/numbers.ts';
import { onEveryBackend } from '../../support/backends.ts';
import { correlation, kolmogorov, phi } from '../../support/statistics.ts';
import {
  baseOf, inputOf, instances, outputOf, run, targetsIn, tryLaw, weightOf, type Instance, type On,
} from './support.ts'; // prettier-ignore

const onHost = async (t: Tensor): Promise<Matrix> => matrix(t.shape[0]!, t.shape[1]!, await t.data());

/** An even rank for those that want it. */
const even = (instance: Instance, init: LoraInit): number =>
  init === 'orthogonal' ? instance.r - (instance.r % 2) : instance.r;

async function started(instance: Instance, on: On, config: LoraConfig, seed = 0) {
  const base = baseOf(instance, on);
  const r = even(instance, config.init ?? 'kaiming');
  const plan = planLora(base, { r, alpha: instance.s * r, targets: targetsIn(instance), ...config });
  const lora = await attachLora(base, plan, { key: key(seed) });
  return { base, lora, branches: [...lora.adapter().branches.values()] };
}
/** |s| |B| |A| of all branches in their rows, [out, in]. */
async function sizesOf({ W }: Instance, branches: readonly LoraBranch[]): Promise<Matrix> {
  let all = matrix(W.rows, W.columns, () => 0);
  for (const { A, B, scale, start } of branches) {
    const product = scaled(times(absolute(await onHost(B)), absolute(await onHost(A))), scale);
    all = plus(
      all,
      matrix(W.rows, W.columns, (i, j) =>
        i >= start && i < start + product.rows ? at(product, i - start, j) : 0,
      ),
    );
  }
  return all;
}

onEveryBackend((device) => {
  it('P1: orthogonal: B A is zero within the rounding of its factors, and outputs and weights are the base within rounding', async () => {
    let some = 0;
    await tryLaw(
      device,
      40,
      fc.tuple(instances('real'), fc.nat(99), fc.boolean()),
      async (on, [instance, seed, rslora]) => {
        fc.pre(instance.r > 1);
        const { base, lora, branches } = await started(instance, on, { init: 'orthogonal', rslora }, seed);
        const { roundoff: u } = on.backend.info;
        for (const { A, B } of branches) {
          const [a, b] = [await onHost(A), await onHost(B)];
          const size = times(absolute(b), absolute(a)).data;
          assertWithin(
            times(b, a).data,
            new Float64Array(size.length),
            (i) => 2.01 * 2 ** -24 * size[i]! + 2 ** -60,
            'B A',
          );
          if (largest(a.data) > 0 && largest(b.data) > 0) some++;
        }
        const moved = await sizesOf(instance, branches);
        const x = inputOf(instance, on);
        const [{ columns: k }, { r }] = [instance.W, branches[0]!];
        const small = { ...instance, x: absolute(instance.x) };
        const [still, more] = [
          outputOf({ ...small, bias: instance.bias?.map(Math.abs) }, absolute(instance.W)).data,
          outputOf({ ...small, bias: undefined }, moved).data,
        ];
        const y = await run(base, x);
        const off = (i: number): number =>
          2 * gamma(k + 2, u) * still[i]! + gamma(k + r + 6, u) * more[i]! + 2 ** -100;
        assertWithin(await run(lora.model, x), y, off, 'output');
        const { model, report } = await lora.merge();
        const W = await weightOf(base);
        assertWithin(
          await weightOf(model),
          W,
          (i) => u * Math.abs(W[i]!) + gamma(4 * r + 16, u) * moved.data[i]!,
          'merged weight',
        );
        expect(report.worst.ratio).toBeLessThanOrEqual(1);
      },
    );
    expect(some, 'factors that are not zero').toBeGreaterThan(0);
  });

  it.each<LoraInit>(['pissa', 'olora'])(
    'P1, P28: %s: a new adapter merges to the base bit for bit, and its output is the base within rounding',
    async (init) => {
      await tryLaw(device, 30, fc.tuple(instances('real'), fc.boolean()), async (on, [instance, rslora]) => {
        const { base, lora, branches } = await started(instance, on, { init, rslora });
        assertSameBits(await weightOf((await lora.merge()).model), await weightOf(base), 'merged weight');
        const moved = await sizesOf(instance, branches);
        const small = { ...instance, x: absolute(instance.x) };
        const still = outputOf({ ...small, bias: instance.bias?.map(Math.abs) }, absolute(instance.W)).data;
        const more = outputOf({ ...small, bias: undefined }, moved).data;
        const [{ columns: k }, { r }, { roundoff: u }] = [instance.W, branches[0]!, on.backend.info];
        const off = (i: number): number =>
          2 * gamma(k + 3, u) * still[i]! + 2 * gamma(k + r + 5, u) * more[i]! + 2 ** -100;
        const x = inputOf(instance, on);
        const y = await run(base, x);
        assertWithin(await run(lora.model, x), y, off, 'output');
        lora.disable();
        assertSameBits(await run(lora.model, x), y, 'output of the disabled one');
      });
    },
  );

  it('P48: PiSSA: Bᵀ B = A Aᵀ = diag(S_r)/s, and what stays has the other singular values', async () => {
    await tryLaw(
      device,
      30,
      fc.tuple(instances('real', { size: 10 }), fc.boolean()),
      async ({ backend }, [instance, rslora]) => {
        const on = { ...device.widest, backend };
        const { branches } = await started(instance, on, { init: 'pissa', rslora });
        const tolerance = device.hasF64 ? 1e-11 : 1e-5;
        for (const { A, B, A0, B0, scale: s, r, start, length } of branches) {
          const [a, b, W] = [await onHost(A), await onHost(B), rowsOf(instance.W, start, length)];
          assertSameBits(await A0!.data(), a.data, 'A0 is A at the start');
          assertSameBits(await B0!.data(), b.data, 'B0 is B at the start');
          const S = singularValues(W);
          const top = S[0]!;
          const want = matrix(r, r, (i, j) => (i === j ? S[i]! / s : 0)).data;
          const relative = (top / s) * tolerance + 2 ** -100;
          assertWithin(times(turned(b), b).data, want, relative, 'Bᵀ B');
          assertWithin(times(a, turned(a)).data, want, relative, 'A Aᵀ');
          const left = singularValues(plus(W, scaled(times(b, a), -s)));
          const others = Array.from(left, (_, i) => S[r + i] ?? 0);
          assertWithin(left, others, top * tolerance * 10 + 2 ** -100, 'singular values of W − s B A');
        }
      },
    );
  });

  it('P48: OLoRA: Bᵀ B = I, A upper trapezoidal, not divided by s: B A has the first r columns of W', async () => {
    await tryLaw(
      device,
      30,
      fc.tuple(instances('real', { size: 10 }), fc.boolean()),
      async ({ backend }, [instance, rslora]) => {
        const on = { ...device.widest, backend };
        const { branches } = await started(instance, on, { init: 'olora', rslora });
        const tolerance = device.hasF64 ? 1e-12 : 1e-5;
        for (const { A, B, r, start, length } of branches) {
          const [a, b, W] = [await onHost(A), await onHost(B), rowsOf(instance.W, start, length)];
          assertWithin(
            times(turned(b), b).data,
            matrix(r, r, (i, j) => (i === j ? 1 : 0)).data,
            tolerance,
            'Bᵀ B',
          );
          for (let i = 0; i < r; i++) for (let j = 0; j < i; j++) expect(at(a, i, j)).toBe(0);
          const first = matrix(length, r, (i, j) => at(times(b, a), i, j));
          assertWithin(
            first.data,
            matrix(length, r, (i, j) => at(W, i, j)).data,
            tolerance * 10 * frobenius(W) + 2 ** -100,
            'columns',
          );
        }
      },
    );
  });
});

describe('P43: how the other starts are distributed', () => {
  const backend = cpu();
  const attach = async (init: LoraInit, targets: string[], r: number, seed: number) => {
    const model = tinyGpt2({
      backend,
      config: { n_embd: 64, n_head: 1, n_layer: 2, vocab_size: 500, n_positions: 100 },
    });
    return attachLora(model, planLora(model, { r, init, targets }), { key: key(seed) });
  };

  test("an embedding's B is N(0, 1), whatever the init; A is zero", async () => {
    for (const init of ['kaiming', 'orthogonal', 'olora'] as const) {
      const lora = await attach(init, ['wte', 'wpe'], 16, 2);
      const streams: number[][] = [];
      for (const { A, B } of lora.adapter().branches.values()) {
        expect(largest(await A.data())).toBe(0);
        streams.push(Array.from(await B.data()));
      }
      expect(kolmogorov(streams.flat(), phi)).toBeGreaterThan(1e-6);
      expect(Math.abs(correlation(streams[0]!, streams[1]!))).toBeLessThan(5 / 32);
    }
  });

  test('orthogonal: with r = 2 A and B are normal columns along directions that are orthogonal, times a tenth; streams differ', async () => {
    const streams: number[][] = [];
    const lines: number[] = [];
    for (const seed of [1, 2]) {
      const lora = await attach('orthogonal', ['c_fc', 'attn.c_proj'], 2, seed);
      for (const { A, B } of lora.adapter().branches.values()) {
        const [a, b] = [await onHost(A), turned(await onHost(B))]; // [2, in], [2, out]
        for (const m of [a, b]) {
          const angle = Math.atan2(at(m, 1, 0), at(m, 0, 0));
          const [c, s] = [Math.cos(angle), Math.sin(angle)];
          const along = Array.from({ length: m.columns }, (_, j) => 10 * (c * at(m, 0, j) + s * at(m, 1, j)));
          for (let j = 0; j < m.columns; j++)
            expect(Math.abs(c * at(m, 1, j) - s * at(m, 0, j))).toBeLessThan(1e-6); // one direction for all
          lines.push(angle);
          streams.push(along);
        }
        expect(Math.abs(Math.cos(lines.at(-1)! - lines.at(-2)!)), 'A and B at right angles').toBeLessThan(
          1e-6,
        );
      }
    }
    expect(streams).toHaveLength(16);
    // the first of each fixes the sign of its direction
    const signed = streams.flatMap((s) => s.slice(1).map((x, i) => (i % 2 ? x : -x)));
    expect(kolmogorov(signed, phi)).toBeGreaterThan(1e-6);
    const n = signed.length;
    expect(Math.abs(signed.reduce((sum, x) => sum + x * x, 0) / n - 1)).toBeLessThan(5 * Math.sqrt(2 / n));
    for (const [i, a] of streams.entries())
      for (const b of streams.slice(i + 1)) {
        const n = Math.min(a.length, b.length);
        expect(Math.abs(correlation(a.slice(0, n), b.slice(0, n)))).toBeLessThan(5 / Math.sqrt(n));
      }
    expect(new Set(lines.map((x) => x.toFixed(6))).size).toBe(16);
  });

  test('orthogonal: A and B have half of the rank each, and together all of it; their numbers are tenths of normals', async () => {
    const rank = (m: Matrix): number =>
      singularValues(m).filter((x) => x > 1e-4 * singularValues(m)[0]!).length;
    const [squares, counts] = [
      { A: 0, B: 0 },
      { A: 0, B: 0 },
    ];
    for (const seed of [1, 2, 3, 4]) {
      const lora = await attach('orthogonal', ['c_fc'], 8, seed);
      for (const branch of lora.adapter().branches.values()) {
        const [a, b] = [await onHost(branch.A), turned(await onHost(branch.B))]; // [8, in], [8, out]
        const both = matrix(8, a.columns + b.columns, (i, j) =>
          j < a.columns ? at(a, i, j) : at(b, i, j - a.columns),
        );
        expect([rank(a), rank(b), rank(both)]).toEqual([4, 4, 8]);
        for (const [name, m] of [
          ['A', a],
          ['B', b],
        ] as const) {
          squares[name] += 100 * frobenius(m) ** 2; // an orthogonal basis keeps the length: r/2 normals a column
          counts[name] += 4 * m.columns;
        }
      }
    }
    for (const name of ['A', 'B'] as const)
      expect(Math.abs(squares[name] / counts[name] - 1), name).toBeLessThan(5 * Math.sqrt(2 / counts[name]));
  });
});

it('a base that is not finite is named with its layer; a seed is a key; without one it says so', async () => {
  const model = tinyGpt2({ backend: cpu() });
  const plan = planLora(model, { r: 1, targets: ['v'] });
  const start = async (key: Key | number): Promise<ArrayLike<number>[]> =>
    Promise.all([...(await createAdapter(plan, { key })).tensors().values()].map(async (t) => t.data()));
  expect(await start(3)).toEqual(await start(key(3)));
  expect(await start(3)).not.toEqual(await start(4));
  expect(await failure(() => attachLora(model, plan, {} as { key: Key }))).toBe(
    'createAdapter: key is undefined; A starts random: give { key: 1 }, or any other seed',
  );
  expect(await failure(() => attachLora(model, { r: 1 } as unknown as LoraPlan, { key: 1 }))).toBe(
    'attachLora: give it a plan, planLora(model, config)',
  );
  const { weight } = model.transformer.h[1]!.attn.c_attn as Linear;
  weight.backend.write(weight.view.buffer, Float32Array.of(NaN), weight.view.offset + 17);
  expect(
    await failure(() => createAdapter(planLora(model, { r: 1, targets: ['v'], init: 'pissa' }), { key: 1 })),
  ).toMatch(/^lora: the weight of transformer\.h\.1\.attn\.c_attn\.v has an entry that is not finite/);
});
