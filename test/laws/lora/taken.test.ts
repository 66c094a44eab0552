/** PiSSA and OLoRA: W stays, and what A and B begin with is subtracted beside it, frozen. */
import { assertSameBits } from '@bax/check';
import { foldIn, key, mul, normals, sum, valueAndGrad } from '@bax/core';
import { cpu } from '@bax/cpu';
import {
  adamW, attachLora, loadAdapter, type LoraConfig, type LoraInit, loraScale, memoryFolder, planLora, saveAdapter, sgd,
} from '@bax/nn'; // prettier-ignore
import { describe, expect, it } from 'vitest';
import { failure } from '../../nn/files/support.ts';
import { parsed, rewrite } from '../../nn/support/golden.ts';
import { tinyGpt2, tokens } from '../../nn/support/gpt2.ts';
import { modelHashes } from '../../nn/support/hash.ts';
import { rowsOf, scaled, times, turned } from '../../nn/support/host.ts';
import { expectClose } from '../../nn/support/numbers.ts';
import { onEveryBackend } from '../../support/backends.ts';
import {
  adapted, gradients, instances, mergedOf, outputOf, put, run, tryLaw, weightOf, type InstanceOptions,
} from './support.ts'; // prettier-ignore

onEveryBackend((device) => {
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
        const began = Float32Array.from(instance.parts[i]!.B.data);
        const moves = began.some((b) => b !== 0) || Array.from(own[i]!).some((g) => g !== 0); // by decay, or by its gradient
        expect(String(await B.data()) !== String(began)).toBe(moves);
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
