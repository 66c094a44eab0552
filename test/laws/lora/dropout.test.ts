import { assertSameBits } from '@bax/check';
import { foldIn, key, noGrad, type Backend } from '@bax/core';
import { cpu } from '@bax/cpu';
import { type LoraModel, sgd, train } from '@bax/nn';
import fc from 'fast-check';
import { beforeAll, describe, expect, it, test } from 'vitest';
import { randomAdapter, tinyGpt2, tokens } from '../../nn/support/gpt2.ts';
import { inner, matrix, plus, rowsOf, scaled, times, turned, type Matrix } from '../../nn/support/host.ts';
import { expectClose } from '../../nn/support/numbers.ts';
import { backendCases } from '../../support/backends.ts';
import {
  adapted, factorsOf, gradients, hadamard, instances, maskOf, mergedOf, type One, outputOf, put, run,
  type Instance, type On, type Part,
} from './support.ts'; // prettier-ignore
import { wrapped } from '../../../packages/check/src/lora/law.ts';
import { runs } from '../../support/runs.ts';

/** The adapter with dropout. */
const dropping = (instance: Instance, p: number, on: On, dora = false): LoraModel<One> =>
  adapted(instance, on, undefined, { dropout: p, dora });

/** z Aᵀ Bᵀ. */
const through = (z: Matrix, { A, B }: Pick<Part, 'A' | 'B'>): Matrix => times(times(z, turned(A)), turned(B));

/** A backend whose random bits keep, in row i of k, the elements that i counts in binary. */
const counting = (backend: Backend, k: number): Backend =>
  wrapped(backend, {
    fused: { ...backend.fused, dropout: () => false },
    random(_, { buffer, shape, offset }) {
      const n = shape.reduce((a, b) => a * b, 1);
      const bits = Int32Array.from({ length: n }, (__, i) => ((Math.floor(i / k) >> (i % k)) & 1 ? -1 : 0));
      backend.write(buffer, bits, offset);
    },
  });

describe.each(backendCases)('on $name', (device) => {
  let backend: Backend;
  beforeAll(async () => void (backend = await device.make()));
  const on = () => ({ backend });

  it('P44: y = W x + b + s B A ((M ∘ x)/(1 − p)) with M read back, and the same M in the gradients; bits', async () => {
    let dropped = 0;
    const law = async (instance: Instance, p: number, seed: number): Promise<void> => {
      const { parts, s, W, x, G } = instance;
      const lora = dropping(instance, p, on());
      const [device, cotangent, k] = [put(x, on()), put(G, on()), key(seed)];
      let y = outputOf(instance, W);
      let dx = times(G, W);
      const masks = await Promise.all(parts.map((part) => maskOf(part, instance, p, k, on())));
      for (const [i, { A, B, start, length, taken }] of parts.entries()) {
        const mask = masks[i]!;
        for (const m of mask.data) expect([0, 1 / (1 - p)]).toContain(m);
        dropped += mask.data.filter((m) => m === 0).length;
        const own = through(hadamard(mask, x), { A, B });
        const update = scaled(taken ? plus(own, scaled(through(x, taken), -1)) : own, s); // what was taken sees all of x
        y = plus(
          y,
          matrix(y.rows, y.columns, (row, j) =>
            j >= start && j < start + length ? update.data[row * length + j - start]! : 0,
          ),
        );
        const part = matrix(G.rows, length, (row, j) => G.data[row * W.rows + start + j]!);
        dx = plus(dx, hadamard(mask, scaled(times(times(part, B), A), s)));
        if (taken) dx = plus(dx, scaled(times(times(part, taken.B), taken.A), -s));
      }
      assertSameBits(await noGrad(() => lora.model.forward(device, { key: k })).data(), y.data, 'output');
      const factors = parts.flatMap((part) => Object.values(factorsOf(lora, part)));
      const grads = await gradients(() => lora.model.forward(device, { key: k }), cotangent, [
        ...factors,
        device,
      ]);
      for (const [i, { A, B, start, length }] of parts.entries()) {
        const D = rowsOf(times(turned(G), hadamard(masks[i]!, x)), start, length); // Gᵀ (M ∘ x)/(1 − p)
        assertSameBits(grads[2 * i]!, scaled(times(turned(B), D), s).data, '∂A');
        assertSameBits(grads[2 * i + 1]!, scaled(times(D, turned(A)), s).data, '∂B');
      }
      assertSameBits(grads.at(-1)!, dx.data, '∂x');
    };
    const drawn = fc.boolean().chain((taken) => instances('int', { size: 8, taken }));
    await fc.assert(fc.asyncProperty(drawn, fc.constantFrom(0.5, 0.75), fc.nat(1e6), law), runs(80));
    expect(dropped).toBeGreaterThan(500);
  });

  it('P26: over all masks, each by its chance, outputs and the gradients of A and B average to those without dropout; bits', async () => {
    const law = async (drawn: Instance, p: number): Promise<void> => {
      const k = drawn.W.columns;
      const chance = (row: number): number =>
        Array.from({ length: k }, (_, j) => ((row >> j) & 1 ? 1 - p : p)).reduce((a, b) => a * b);
      const [x, g] = [rowsOf(drawn.x, 0, 1), rowsOf(drawn.G, 0, 1)];
      const one: Instance = { ...drawn, x, G: g };
      const instance: Instance = {
        ...drawn,
        x: matrix(2 ** k, k, (_, j) => x.data[j]!),
        G: matrix(2 ** k, g.columns, (row, j) => chance(row) * g.data[j]!),
      };
      const masks = { backend: counting(backend, k) };
      const lora = dropping(instance, p, masks);
      const y = await noGrad(() => lora.model.forward(put(instance.x, masks), { key: key(1) })).data();
      const mean = Float64Array.from(g.data, (_, j) =>
        instance.G.data.reduce(
          (sum, __, i) => (i % g.columns === j ? sum + chance((i - j) / g.columns) * y[i]! : sum),
          0,
        ),
      );
      assertSameBits(mean, outputOf(one, mergedOf(one)).data, 'the mean of the outputs');
      const grads = await gradients(
        () => lora.model.forward(put(instance.x, masks), { key: key(1) }),
        put(instance.G, masks),
        [...lora.parameters().values()],
      );
      const plain = adapted(one, on());
      const expected = await gradients(() => plain.model.forward(put(x, on())), put(g, on()), [
        ...plain.parameters().values(),
      ]);
      grads.forEach((some, i) => assertSameBits(some, expected[i]!, 'the mean of a gradient'));
    };
    const drawn = fc.boolean().chain((taken) => instances('int', { size: 4, taken }));
    await fc.assert(fc.asyncProperty(drawn, fc.constantFrom(0.5, 0.75), law), runs(40 * device.share));
  });

  it("P26, P44: DoRA's dropout acts on f ∘ (V z) − W z, as PEFT has it, W less what was taken out of it: given its masks, and its gradients", async () => {
    const law = async (instance: Instance, p: number, seed: number): Promise<void> => {
      const { parts, s, x, G } = instance;
      // What PEFT's base layer holds: W less s B0 A0.
      const W = mergedOf({ ...instance, parts: parts.map((part) => ({ ...part, B: scaled(part.B, 0) })) });
      const wide = { ...on(), dtype: device.f64 === false ? 'f32' : 'f64' } as const;
      const [lora, k, input] = [dropping(instance, p, wide, true), key(seed), put(x, wide)];
      let [y, dx] = [outputOf(instance, W), times(G, W)];
      const V = mergedOf(instance);
      const tolerance = wide.dtype === 'f64' ? 1e-12 : 1e-5;
      const branches = [...lora.adapter().branches.values()];
      const params = branches.flatMap(({ A, B, magnitude }) => [A, B, magnitude!]);
      for (const { magnitude: m } of branches)
        m!.backend.write(
          m!.view.buffer,
          (await m!.data()).map((v, i) => v * (0.5 + (i % 4) / 4)),
          m!.view.offset,
        );
      const grads = await gradients(() => lora.model.forward(input, { key: k }), put(G, wide), [
        ...params,
        input,
      ]);
      for (const [i, part] of parts.entries()) {
        const { A, B, start, length } = part;
        const mask = await maskOf(part, instance, p, k, on());
        const z = hadamard(mask, x);
        const [own, fixed, g] = [
          rowsOf(V, start, length),
          rowsOf(W, start, length),
          turned(rowsOf(turned(G), start, length)),
        ];
        const m = await branches[i]!.magnitude!.data();
        const n = Array.from({ length }, (_, j) => Math.hypot(...rowsOf(own, j, 1).data) || 1);
        const factor = (M: Matrix): Matrix =>
          matrix(M.rows, M.columns, (j, c) => (m[j]! / n[j]!) * M.data[j * M.columns + c]!);
        const change = plus(times(z, turned(factor(own))), scaled(times(z, turned(fixed)), -1));
        y = plus(
          y,
          matrix(y.rows, y.columns, (row, j) =>
            j >= start && j < start + length ? change.data[row * length + j - start]! : 0,
          ),
        );
        dx = plus(dx, hadamard(mask, times(g, plus(factor(own), scaled(fixed, -1)))));
        const D = times(turned(g), z);
        expectClose(grads[3 * i]!, scaled(times(turned(B), factor(D)), s).data, tolerance, '∂A');
        expectClose(grads[3 * i + 1]!, scaled(times(factor(D), turned(A)), s).data, tolerance, '∂B');
        const slopes = n.map((length, j) => inner(rowsOf(D, j, 1).data, rowsOf(own, j, 1).data) / length);
        expectClose(grads[3 * i + 2]!, slopes, tolerance, '∂m');
      }
      expectClose(
        await noGrad(() => lora.model.forward(input, { key: k })).data(),
        y.data,
        tolerance,
        'output',
      );
      expectClose(grads.at(-1)!, dx.data, tolerance, '∂x');
    };
    const drawn = fc.boolean().chain((taken) => instances('int', { size: 8, taken }));
    await fc.assert(
      fc.asyncProperty(drawn, fc.constantFrom(0.5, 0.75), fc.nat(1e6), law),
      runs(24 * device.share),
    );
  });

  it('P44: without a key there is no dropout, bit for bit; nor with p = 0 and a key', async () => {
    const law = async (instance: Instance, seed: number): Promise<void> => {
      const x = put(instance.x, on());
      const plain = await run(dropping(instance, 0, on()).model, x);
      assertSameBits(await run(dropping(instance, 0.5, on()).model, x), plain, 'no key');
      assertSameBits(
        await noGrad(() => dropping(instance, 0, on()).model.forward(x, { key: key(seed) })).data(),
        plain,
        'p = 0',
      );
    };
    await fc.assert(fc.asyncProperty(instances('real'), fc.nat(99), law), runs(30));
  });

  it('P44: as many are kept as chance keeps, and where is another matter for each key, layer and target', async () => {
    const [n, width] = [64, 40];
    const blank = { x: matrix(n, width, () => 1) } as Instance;
    for (const p of [0.1, 0.5, 0.75]) {
      const masks: Matrix[] = [];
      for (const name of [undefined, 'q', 'v'])
        for (const k of [key(1), key(2), foldIn(key(1), 0), foldIn(key(1), 1)])
          masks.push(await maskOf({ name } as Part, blank, p, k, on()));
      const kept = masks.map((m) => m.data.map((v) => (v === 0 ? 0 : 1)));
      const count = n * width;
      const sd = Math.sqrt(count * p * (1 - p));
      for (const [i, a] of kept.entries()) {
        expect(Math.abs(a.reduce((x, y) => x + y, 0) - count * (1 - p))).toBeLessThan(5 * sd);
        for (const b of kept.slice(i + 1)) {
          // independent masks agree in p² + (1 − p)² of the places
          const q = p * p + (1 - p) * (1 - p);
          const agree = a.reduce((total, v, j) => total + (v === b[j] ? 1 : 0), 0);
          expect(Math.abs(agree - count * q)).toBeLessThan(6 * Math.sqrt(count * q * (1 - q)));
        }
      }
    }
  });
});

describe('P44: through a GPT-2', () => {
  /** A cpu that records the key of every draw. */
  function listening(): { backend: Backend; keys: string[] } {
    const inner = cpu();
    const keys: string[] = [];
    return { backend: { ...inner, random: (k, out) => (keys.push(String(k)), inner.random(k, out)) }, keys };
  }
  const config = { resid_pdrop: 0.1, embd_pdrop: 0.1, attn_pdrop: 0.1 };

  test('every layer, slice, step and micro-batch draws a mask of its own; the backward walk the same again', async () => {
    const { backend, keys } = listening();
    const model = tinyGpt2({ backend, config });
    const lora = randomAdapter(model, { r: 1, targets: ['q', 'v', 'attn.c_proj', 'c_fc'], dropout: 0.2 });
    const sites = 2 * 4 + 1 + 2 * 3; // branches; embeddings; weights, residual, residual of each block
    const perMicro: string[][] = [];
    await train({
      batches: () => ({ ids: tokens(backend, [2, 4]), targets: tokens(backend, [2, 4]), validTokens: 8 }),
      loss: ({ ids, targets }, { key: k }) => {
        keys.length = 0;
        const loss = lora.model.loss(ids, targets, { key: k });
        perMicro.push([...keys]);
        return loss;
      },
      steps: 3,
      accumulate: 2,
      optimizer: sgd(lora.parameters(), { lr: 0 }),
      onStep: () => {
        // what was drawn after the last forward was the backward walk's
        const forward = perMicro.at(-1)!;
        const again = keys.slice(forward.length);
        expect(again.length).toBeGreaterThan(0);
        for (const k of again) expect(forward).toContain(k);
      },
    });
    expect(perMicro).toHaveLength(6);
    for (const drawn of perMicro) expect(new Set(drawn).size).toBe(sites);
    expect(new Set(perMicro.flat()).size).toBe(6 * sites);
  });

  test('evaluation draws nothing', async () => {
    const { backend, keys } = listening();
    const lora = randomAdapter(tinyGpt2({ backend, config }), { r: 1, dropout: 0.5 });
    await noGrad(() => lora.model.forward(tokens(backend, [1, 4]))).data();
    expect(keys).toEqual([]);
  });

  test('adapters of a part of a model have masks of their own in each layer, too', async () => {
    const { backend, keys } = listening();
    const model = tinyGpt2({ backend, config: {} });
    const lora = randomAdapter(model.transformer, { r: 1, targets: ['c_attn'], dropout: 0.5 });
    noGrad(() => lora.model.forward(tokens(backend, [1, 4]), { key: key(1) }));
    expect(keys).toHaveLength(2);
    expect(new Set(keys).size).toBe(2);
    expect([...lora.layers.keys()]).toEqual(['h.0.attn.c_attn', 'h.1.attn.c_attn']);
  });
});
