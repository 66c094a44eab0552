import { assertSameBits } from '@bax/check';
import { foldIn, key, noGrad, type Backend, type Key } from '@bax/core';
import { cpu } from '@bax/cpu';
import { attachFactors, Linear, planLora, sgd, train } from '@bax/nn';
import fc from 'fast-check';
import { beforeAll, describe, expect, it, test } from 'vitest';
import { randomAdapter, tinyGpt2, tokens } from '../../nn/support/gpt2.ts';
import { matrix, plus, rowsOf, scaled, times, turned, type Matrix } from '../../nn/support/host.ts';
import { backendCases } from '../../support/backends.ts';
import {
  baseOf,
  factorsOf,
  gradients,
  instances,
  One,
  outputOf,
  put,
  run,
  targetsIn,
  type Instance,
  type On,
  type Part,
} from './support.ts';
import { runs } from '../../support/runs.ts';

/** The adapter with dropout. */
function dropping(instance: Instance, p: number, on: On) {
  const { r, alpha, parts } = instance;
  const base = baseOf(instance, on);
  const plan = planLora(base, { r, alpha, targets: targetsIn(instance), dropout: p });
  return attachFactors(base, plan, ({ slice }, factor) =>
    put(parts.find((q) => q.name === slice?.name)![factor], on),
  );
}

/** M ∘ x / (1 − p) itself: what a layer of W = 0, A = I, B = I of the same path and input shape gives for x = 1. */
async function maskOf(part: Part, { x }: Instance, p: number, k: Key, on: On): Promise<Matrix> {
  const n = x.columns;
  const eye = (): ReturnType<typeof put> =>
    put(
      matrix(n, n, (i, j) => (i === j ? 1 : 0)),
      on,
    );
  const layer = new Linear(
    put(
      matrix(n, n, () => 0),
      on,
    ),
  );
  if (part.name !== undefined) layer.slices = { [part.name]: { start: 0, length: n } };
  const base = new One(layer);
  const plan = planLora(base, {
    r: n,
    alpha: n,
    dropout: p,
    targets: [part.name === undefined ? 'proj' : part.name],
  });
  const { model } = attachFactors(base, plan, eye);
  const y = await noGrad(() =>
    model.forward(
      put(
        matrix(x.rows, n, () => 1),
        on,
      ),
      { key: k },
    ),
  ).data();
  return matrix(x.rows, n, y);
}
const hadamard = (a: Matrix, b: Matrix): Matrix => matrix(a.rows, a.columns, a.data.map((v, i) => v * b.data[i]!)); // prettier-ignore

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
      for (const [i, { A, B, start, length }] of parts.entries()) {
        const mask = masks[i]!;
        for (const m of mask.data) expect([0, 1 / (1 - p)]).toContain(m);
        dropped += mask.data.filter((m) => m === 0).length;
        const update = scaled(times(times(hadamard(mask, x), turned(A)), turned(B)), s);
        y = plus(
          y,
          matrix(y.rows, y.columns, (row, j) =>
            j >= start && j < start + length ? update.data[row * length + j - start]! : 0,
          ),
        );
        const part = matrix(G.rows, length, (row, j) => G.data[row * W.rows + start + j]!);
        dx = plus(dx, hadamard(mask, scaled(times(times(part, B), A), s)));
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
    await fc.assert(
      fc.asyncProperty(instances('int', { size: 8 }), fc.constantFrom(0.5, 0.75), fc.nat(1e6), law),
      runs(80),
    );
    expect(dropped).toBeGreaterThan(500);
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
