import { assertSameBits } from '@bax/check';
import { key, type Backend } from '@bax/core';
import { attachLora, planLora, type LoraInit, type LoraModel, type Module } from '@bax/nn';
import fc from 'fast-check';
import { beforeAll, describe, expect, it, test } from 'vitest';
import { tinyGpt2 } from '../../nn/support/gpt2.ts';
import { frobenius, rowsOf, scaled, times, turned } from '../../nn/support/host.ts';
import { largest } from '../../nn/support/numbers.ts';
import { kolmogorov, phi } from '../../support/statistics.ts';
import { backendCases } from '../../support/backends.ts';
import { adapted, factorsOf, gradients, instances, put, type Instance } from './support.ts';
import { runs } from '../../support/runs.ts';

describe.each(backendCases)('on $name', (device) => {
  let backend: Backend;
  beforeAll(async () => void (backend = await device.make()));
  const on = () => ({ backend });

  it('P3: with B = 0 the gradient of A is 0 and that of B is s D Aᵀ; one step later that of A is −η s² A Dᵀ D', async () => {
    let alive = 0;
    const law = async (instance: Instance): Promise<void> => {
      const { parts, s, x, G } = instance;
      const lora = adapted(instance, on());
      const [device, cotangent] = [put(x, on()), put(G, on())];
      const D = times(turned(G), x);
      const [eta] = [1 / 4];
      for (const part of parts) {
        const { A, B } = factorsOf(lora, part);
        const rows = rowsOf(D, part.start, part.length);
        const [gA, gB] = await gradients(() => lora.model.forward(device), cotangent, [A, B]);
        expect(largest(gA!)).toBe(0);
        const DAt = times(rows, turned(part.A));
        assertSameBits(gB!, scaled(DAt, s).data, '∂B = s D Aᵀ');
        const stepped = adapted({ ...instance, parts: [{ ...part, B: scaled(DAt, -eta * s) }] }, on());
        const moved = factorsOf(stepped, part);
        const [gA2] = await gradients(() => stepped.model.forward(device), cotangent, [moved.A]);
        assertSameBits(
          gA2!,
          scaled(times(part.A, times(turned(rows), rows)), -eta * s * s).data,
          '∂A = −η s² A Dᵀ D',
        );
        expect(largest(gA2!) !== 0, 'alive if and only if D Aᵀ ≠ 0').toBe(frobenius(DAt) !== 0);
        if (frobenius(DAt) !== 0) alive++;
      }
    };
    await fc.assert(fc.asyncProperty(instances('int', { zeroB: true, size: 8 }), law), runs(80));
    expect(alive).toBeGreaterThan(60);
  });
});

describe('P43: how A begins', () => {
  /** A's values over many targets: those of a GPT-2 with `layers` blocks. */
  async function drawn(
    init: LoraInit,
    r: number,
    seed = 0,
    layers = 1,
    width = 64,
  ): Promise<Map<string, Float64Array>> {
    const { cpu } = await import('@bax/cpu');
    const backend = cpu();
    const model = tinyGpt2({ backend, config: { n_layer: layers, n_embd: width, n_head: 1 } });
    const lora = await attachLora(model, planLora(model, { r, init }), { key: key(seed) });
    const all = new Map<string, Float64Array>();
    for (const [name, t] of lora.parameters())
      if (name.endsWith('.A')) all.set(name, Float64Array.from(await t.data()));
    return all;
  }
  const joined = (all: Map<string, Float64Array>): number[] => [...all.values()].flatMap((v) => [...v]);

  /** Mean, variance and fourth moment within 5 standard errors of those of a law with these moments of its square. */
  function expectMoments(values: readonly number[], sigma: number, kurtosis: number, eighth: number): void {
    const n = values.length;
    const moment = (p: number): number => values.reduce((sum, x) => sum + (x / sigma) ** p, 0) / n;
    const error = 5 / Math.sqrt(n);
    expect(Math.abs(moment(1))).toBeLessThan(error);
    expect(Math.abs(moment(2) - 1)).toBeLessThan(error * Math.sqrt(kurtosis - 1));
    expect(Math.abs(moment(4) - kurtosis)).toBeLessThan(error * Math.sqrt(eighth - kurtosis ** 2));
  }

  test.each([1, 4, 16])('kaiming: uniform between ±1/√in, r = %i', async (r) => {
    for (const [name, values] of await drawn('kaiming', r, 3, 1, 256)) {
      const k = values.length / r;
      expect(k, name).toBe(name.includes('mlp.c_proj') ? 1024 : 256);
      const scaledUp = [...values].map((v) => v * Math.sqrt(k)); // uniform in [−1, 1]: variance 1/3
      expect(largest(scaledUp)).toBeLessThanOrEqual(1 + 1e-6);
      expectMoments(scaledUp, Math.sqrt(1 / 3), 9 / 5, 9);
      expect(kolmogorov(scaledUp, (x) => (x + 1) / 2)).toBeGreaterThan(1e-6);
    }
  });

  test.each([1, 4, 16])('gaussian: normal of σ = 1/r, r = %i', async (r) => {
    const values = joined(await drawn('gaussian', r, 5, 1, 256));
    expect(values.length).toBeGreaterThan(1500);
    expectMoments(values, 1 / r, 3, 105);
    expect(kolmogorov(values, (x) => phi(x * r))).toBeGreaterThan(1e-6);
  });

  test('same seed, same bits; other target, layer, slice or seed, another stream', async () => {
    const [a, again, other] = [
      await drawn('kaiming', 8, 1, 3),
      await drawn('kaiming', 8, 1, 3),
      await drawn('kaiming', 8, 2, 3),
    ];
    expect(again).toEqual(a);
    const streams = [...a.entries(), ...[...other].map(([name, v]) => [`${name}, seed 2`, v] as const)];
    expect(streams).toHaveLength(24);
    const n = 8 * 64;
    const unit = streams.map(([name, v]) => {
      const sigma = Math.sqrt(v.reduce((sum, x) => sum + x * x, 0) / v.length);
      return { name, z: v.subarray(0, n).map((x) => x / sigma) };
    });
    for (const [i, x] of unit.entries())
      for (const y of unit.slice(i + 1)) {
        const correlation = x.z.reduce((sum, v, j) => sum + v * y.z[j]!, 0) / n;
        expect(Math.abs(correlation), `${x.name} and ${y.name}`).toBeLessThan(5 / Math.sqrt(n));
      }
  });

  test('q, k and v of one layer are streams of their own; and what else is targeted does not change them', async () => {
    const { cpu } = await import('@bax/cpu');
    const backend = cpu();
    const model = tinyGpt2({ backend });
    const attach = async (targets: string[], r = 2): Promise<LoraModel<typeof model>> =>
      attachLora(model, planLora(model, { r, targets }), { key: key(1) });
    const values = async (lora: LoraModel<Module>, name: string): Promise<number[]> => [
      ...(await lora.parameters().get(name)!.data()),
    ];
    const [all, some] = [await attach(['q', 'k', 'v', 'c_fc']), await attach(['v'])];
    const at = 'transformer.h.1.attn.c_attn';
    expect(await values(some, `${at}.v.A`)).toEqual(await values(all, `${at}.v.A`));
    const three = await Promise.all(['q', 'k', 'v'].map((s) => values(all, `${at}.${s}.A`)));
    expect(new Set(three.map(String)).size).toBe(3);
    expect(String(await values(all, 'transformer.h.0.attn.c_attn.v.A'))).not.toBe(String(three[2]));
  });
});
