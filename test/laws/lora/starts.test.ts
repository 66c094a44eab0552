/** Where A and B begin: orthogonal, PiSSA and OLoRA, in which neither is zero and yet the model is the base. */
import { assertSameBits, assertWithin, gamma } from '@bax/check';
import { foldIn, key, mul, normals, sum, type Tensor, valueAndGrad } from '@bax/core';
import { cpu } from '@bax/cpu';
import {
  adamW, attachLora, loadAdapter, type LoraBranch, type LoraConfig, type LoraInit, loraScale, memoryFolder, planLora, saveAdapter, sgd,
} from '@bax/nn'; // prettier-ignore
import fc from 'fast-check';
import { describe, expect, it, test } from 'vitest';
import { failure } from '../../nn/files/support.ts';
import { parsed, rewrite } from '../../nn/support/golden.ts';
import { tinyGpt2, tokens } from '../../nn/support/gpt2.ts';
import { modelHashes } from '../../nn/support/hash.ts';
import { absolute, at, frobenius, matrix, plus, rowsOf, scaled, singularValues, times, turned, type Matrix } from '../../nn/support/host.ts'; // prettier-ignore
import { expectClose, largest } from '../../nn/support/numbers.ts';
import { onEveryBackend } from '../../support/backends.ts';
import { correlation, kolmogorov, phi } from '../../support/statistics.ts';
import {
  adapted, baseOf, gradients, inputOf, instances, mergedOf, outputOf, put, run, targetsIn, tryLaw, weightOf,
  type Instance, type InstanceOptions, type On,
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

  const small: InstanceOptions = { taken: true, size: 8 };
  it('P2, P6, P28: with s B0 A0 taken out of W: outputs, merged weights, ∂A, ∂B and ∂x; a step changes neither B0 nor A0; bits', async () => {
    await tryLaw(device, 60, instances('int', small), async (on, instance) => {
      const { parts, s, G, x } = instance;
      const lora = adapted(instance, on);
      const W = mergedOf(instance);
      const [input, cotangent] = [put(x, on), put(G, on)];
      assertSameBits(
        await run(lora.model, input),
        outputOf(instance, W).data,
        'x (W + s B A − s B0 A0)ᵀ + b',
      );
      assertSameBits(await weightOf((await lora.merge()).model), W.data, "W'");
      const params = [...lora.parameters().values()];
      expect(params).toHaveLength(2 * parts.length);
      const grads = await gradients(() => lora.model.forward(input), cotangent, [...params, input]);
      const D = times(turned(G), x);
      parts.forEach(({ A, B, start, length }, i) => {
        const rows = rowsOf(D, start, length);
        assertSameBits(grads[2 * i]!, scaled(times(turned(B), rows), s).data, '∂A');
        assertSameBits(grads[2 * i + 1]!, scaled(times(rows, turned(A)), s).data, '∂B');
      });
      assertSameBits(grads.at(-1)!, times(G, W).data, '∂x');
      for (const p of params) p.requiresGrad = true;
      const { grads: again } = valueAndGrad(() => sum(mul(lora.model.forward(input), cotangent)), params);
      sgd(params, { lr: 1 / 4, weightDecay: 1 / 2 }).step(again);
      const branches = [...lora.adapter().branches.values()];
      for (const [i, { A0, B0 }] of branches.entries()) {
        assertSameBits(await A0!.data(), parts[i]!.taken!.A.data, 'A0');
        assertSameBits(await B0!.data(), parts[i]!.taken!.B.data, 'B0');
      }
    });
  });

  it("P29: a frozen A keeps its bits under any optimiser and decay, has no state, and B's gradient is as ever", async () => {
    await tryLaw(device, 20, instances('real', { size: 8 }), async (on, instance) => {
      const [frozen, free] = [adapted(instance, on, undefined, { freezeA: true }), adapted(instance, on)];
      const [x, G] = [put(instance.x, on), put(instance.G, on)];
      const params = frozen.parameters();
      expect([...params.keys()].every((name) => name.endsWith('.B'))).toBe(true);
      const grads = async (lora: typeof free): Promise<ArrayLike<number>[]> => {
        const B = [...lora.adapter().branches.values()].map((b) => b.B);
        return gradients(() => lora.model.forward(x), G, B);
      };
      const [own, usual] = [await grads(frozen), await grads(free)];
      own.forEach((g, i) => assertSameBits(g, usual[i]!, '∂B'));
      for (const optimizer of [
        adamW(params, { lr: 0.1, weightDecay: 0.5 }),
        sgd(params, { lr: 0.1, weightDecay: 0.5, momentum: 0.5 }),
      ])
        for (let step = 0; step < 2; step++) {
          for (const p of params.values()) p.requiresGrad = true;
          optimizer.step(
            valueAndGrad(() => sum(mul(frozen.model.forward(x), G)), [...optimizer.params]).grads,
          );
        }
      for (const [i, { A, B }] of [...frozen.adapter().branches.values()].entries()) {
        expect(A.requiresGrad).toBe(false);
        assertSameBits(await A.data(), instance.parts[i]!.A.data, 'A');
        expect(String(await B.data())).not.toBe(String(Float32Array.from(instance.parts[i]!.B.data)));
      }
    });
  });
});

describe('P28, P49: what begins in W is saved as a plain adapter of twice the rank, for W as it was', () => {
  const backend = cpu();
  const ids = tokens(backend, [2, 6]);
  const configs: LoraConfig[] = [
    { r: 2, alpha: 3, targets: ['attn.c_proj', 'c_fc'] },
    { r: 3, alpha: 5, rslora: true, targets: ['mlp.c_proj'] },
    { r: 2, alpha: 4, targets: ['q', 'v'] },
    { r: 2, alpha: 3, rslora: true, targets: ['q', 'k', 'c_fc'], dropout: 0.5 },
    {
      r: 2,
      alpha: 3,
      targets: ['c_fc', 'attn.c_proj'],
      rankPattern: { 'attn.c_proj': 4 },
      alphaPattern: { 'h.0.*': 7 },
    },
  ];
  const cases = (['pissa', 'olora'] as const).flatMap((init) =>
    configs.map((config) => ({ init, ...config })),
  );

  it.each(cases)('%j', async (config) => {
    const model = tinyGpt2({ backend });
    const bits = await modelHashes(model);
    const lora = await attachLora(model, planLora(model, config), { key: key(1) });
    for (const [name, t] of lora.parameters()) {
      const noise = normals(foldIn(key(9), name), t.size);
      t.backend.write(
        t.view.buffer,
        (await t.data()).map((v, i) => v + 0.1 * noise[i]!),
        t.view.offset,
      );
    }
    const z = await lora.model.forward(ids).data();
    const folder = memoryFolder();
    await saveAdapter(lora, folder);
    const source = await folder.open('adapter_model.safetensors');
    const file = await source.read(0, source.size);
    const { lora: again } = await loadAdapter(model, folder);
    assertSameBits(await again.model.forward(ids).data(), z, 'loaded with what bax noted');
    for (const [path, { alpha, r, scale, A0 }] of lora.adapter().branches) {
      const back = again.adapter().branches.get(path)!;
      expect([back.alpha, back.r, back.scale, back.A0!.shape]).toEqual([alpha, r, scale, A0!.shape]);
    }
    await folder.write('adapter_model.safetensors', [
      rewrite(file, (_, metadata) => void delete metadata['bax']),
    ]);
    const { lora: plain } = await loadAdapter(model, folder);
    for (const [path, { alpha, r, A, A0, B0 }] of plain.adapter().branches) {
      expect([A0, B0]).toEqual([undefined, undefined]);
      const own = [...lora.adapter().branches.values()].filter((b) => b.place.modulePath === path);
      const n = 2 * own.reduce((total, b) => total + b.r, 0);
      expect([r, A.shape[0]]).toEqual([n, n]);
      expect(
        alpha / (own[0]!.alpha * (config.rslora ? Math.SQRT2 * Math.sqrt(own.length) : 2 * own.length)),
      ).toBeCloseTo(1, 12);
      expect(loraScale(alpha, r, config.rslora)).toBeCloseTo(own[0]!.scale, 12);
    }
    expectClose(await plain.model.forward(ids).data(), z, 1e-5);
    expect([...parsed(file).keys()].every((name) => /lora_[AB]\.weight$/.test(name))).toBe(true);
    expect(await modelHashes(lora.base)).toEqual(bits);
  });

  it.each<LoraInit>(['pissa', 'olora', 'orthogonal'])(
    '%s: r > min(in, out) is refused, and an odd r where halves are needed',
    async (init) => {
      const model = tinyGpt2({ backend });
      expect(await failure(() => planLora(model, { init, r: 10, targets: ['c_fc'] }))).toBe(
        'planLora: r = 10 exceeds min(in, out) = 8 of transformer.h.0.mlp.c_fc [32, 8]; B A cannot have a higher rank than W',
      );
      const odd = () => planLora(model, { init, r: 3, targets: ['c_fc'] });
      if (init === 'orthogonal')
        expect(await failure(odd)).toBe(
          "planLora: r = 3 of transformer.h.0.mlp.c_fc is odd; init 'orthogonal' gives each half of r its own directions",
        );
      else expect(odd().entries).toHaveLength(2);
    },
  );
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
    for (const [i, a] of streams.entries())
      for (const b of streams.slice(i + 1)) {
        const n = Math.min(a.length, b.length);
        expect(Math.abs(correlation(a.slice(0, n), b.slice(0, n)))).toBeLessThan(5 / Math.sqrt(n));
      }
    expect(new Set(lines.map((x) => x.toFixed(6))).size).toBe(16);
  });

  test('orthogonal: A and B have half of the rank each, and together all of it', async () => {
    const lora = await attach('orthogonal', ['c_fc'], 8, 3);
    for (const { A, B } of lora.adapter().branches.values()) {
      const [a, b] = [await onHost(A), turned(await onHost(B))];
      const rank = (m: Matrix): number =>
        singularValues(m).filter((x) => x > 1e-4 * singularValues(m)[0]!).length;
      const both = matrix(8, a.columns + b.columns, (i, j) =>
        j < a.columns ? at(a, i, j) : at(b, i, j - a.columns),
      );
      expect([rank(a), rank(b), rank(both)]).toEqual([4, 4, 8]);
      // Σ (10 A)² is χ² of in · r/2: 1 on average
      expect(Math.abs((100 * frobenius(a) ** 2) / (4 * a.columns) - 1)).toBeLessThan(
        5 * Math.sqrt(2 / (4 * a.columns)),
      );
    }
  });
});
