/** What a configuration asks for is what is made, and is counted before it is made: targets, ranks, scales, biases, modules. */
import { assertSameBits } from '@bax/check';
import { key, noGrad } from '@bax/core';
import { cpu } from '@bax/cpu';
import {
  adamW,
  attachLora,
  blockOf,
  type LoraConfig,
  loraScale,
  matches,
  planLora,
  targetsOf,
  train,
} from '@bax/nn';
import fc from 'fast-check';
import { describe, expect, it, test } from 'vitest';
import { failure } from '../../nn/files/support.ts';
import { tinyGpt2, tokens } from '../../nn/support/gpt2.ts';
import { modelHashes } from '../../nn/support/hash.ts';
import { distance } from '../../nn/support/numbers.ts';
import { onEveryBackend } from '../../support/backends.ts';
import { runs } from '../../support/runs.ts';
import { adapted, deltaOf, instances, put, run, tryLaw, weightOf } from './support.ts';

const backend = cpu();
const model = tinyGpt2({ backend, config: { n_layer: 3 } });

const names = ['q', 'v', 'attn.c_proj', 'c_fc', 'mlp.c_proj', 'wte'];
const configs: fc.Arbitrary<LoraConfig> = fc
  .record({
    targets: fc.uniqueArray(fc.constantFrom(...names), { minLength: 1, maxLength: 4 }),
    r: fc.constantFrom(2, 4),
    dora: fc.boolean(),
    rslora: fc.boolean(),
    freezeA: fc.boolean(),
    init: fc.constantFrom('kaiming', 'gaussian', 'orthogonal', 'pissa', 'olora'),
    bias: fc.constantFrom('none', 'all', 'lora_only'),
    modulesToSave: fc.subarray(['ln_f', 'lm_head', /transformer\.h\.\d\.ln_1/]),
    layersToTransform: fc.subarray([0, 1, 2]),
    rankPattern: fc.constantFrom({}, { r6: 6 }),
  })
  .map(({ rankPattern, ...config }) => ({
    ...config,
    freezeA: config.freezeA && !config.targets.includes('wte'),
    layersToTransform: config.targets.includes('wte') ? [] : config.layersToTransform, // it lies in no block
    rankPattern: 'r6' in rankPattern ? { [config.targets[0]!]: 6 } : {},
  }));

describe('P24: what a plan counts is what is made', () => {
  it('for any configuration: the trained numbers, and the bytes of all tensors', async () => {
    const law = async (config: LoraConfig): Promise<void> => {
      const plan = planLora(model, config);
      const { adapters } = await attachLora(model, plan, { key: key(1) });
      const adapter = adapters.get('default')!;
      const size = (all: ReadonlyMap<string, { readonly size: number }>): number =>
        [...all.values()].reduce((n, t) => n + t.size, 0);
      expect(size(adapter.parameters()), 'trained').toBe(plan.parameters);
      expect(adapter.parameterCount).toBe(plan.parameters);
      expect(4 * size(adapter.tensors()), 'bytes').toBe(plan.bytes);
      expect(adapter.bytes).toBe(plan.bytes);

      // from the configuration and GPT-2's shapes alone: width 8, 3 blocks, 11 tokens, 8 positions
      const d = 8;
      const shapes: Record<string, [number, number]> = { q: [d, d], v: [d, d], 'attn.c_proj': [d, d], c_fc: [d, 4 * d], 'mlp.c_proj': [4 * d, d] }; // prettier-ignore
      const blocks = config.layersToTransform!.length || 3;
      const first = config.targets![0] as string;
      let expected = 0;
      for (const name of config.targets as string[]) {
        const r = name === first && Object.keys(config.rankPattern!).length > 0 ? 6 : config.r!;
        const [k, out] = name === 'wte' ? [11, d] : shapes[name]!;
        expected +=
          (name === 'wte' ? 1 : blocks) * ((config.freezeA ? 0 : r * k) + r * out + (config.dora ? out : 0));
      }
      const linears = { q: 3 * d, v: 3 * d, 'attn.c_proj': d, c_fc: 4 * d, 'mlp.c_proj': d };
      const saved = config.modulesToSave!;
      const [ln1, lnF] = [saved.some((m) => m instanceof RegExp), saved.includes('ln_f')];
      if (config.bias === 'all') expected += 3 * (3 * d + d + 4 * d + d) + 3 * 2 * d + d; // linears, norms
      if (config.bias === 'lora_only') {
        const own = new Set((config.targets as string[]).map((n) => (n === 'q' || n === 'v' ? 'q' : n)));
        for (const n of own) if (n !== 'wte') expected += blocks * linears[n as keyof typeof linears];
      }
      const withBias = config.bias !== 'all'; // else it is counted already
      if (ln1) expected += 3 * (d + (withBias ? d : 0));
      if (lnF) expected += d + (withBias ? d : 0);
      if (saved.includes('lm_head')) expected += 11 * d;
      expect(plan.parameters, 'by hand').toBe(expected);
      expect(String(plan)).toContain(`${expected} trainable parameters (${plan.bytes} bytes)`);
      adapter.dispose();
    };
    await fc.assert(fc.asyncProperty(configs, law), runs(80));
  });
});

describe('P25: every pattern must mean something', () => {
  const all = targetsOf(model).filter(({ layer, slice }) => layer && !slice).map((t) => t.path); // prettier-ignore
  const linear = all.filter((p) => /c_attn|c_proj|c_fc/.test(p));

  it('exclude and layersToTransform take away, and nothing else; ranks and scales are those of the first pattern that fits', () => {
    const patterns = fc.uniqueArray(fc.constantFrom('c_attn', 'mlp.c_proj', 'h.1.attn.c_proj', 'c_fc'), {
      maxLength: 3,
    });
    const law = (exclude: string[], blocks: number[]): void => {
      const config: LoraConfig = {
        r: 2, exclude, layersToTransform: blocks, rslora: true,
        rankPattern: { 'h.2.mlp.c_proj': 3, 'c_proj': 4 }, alphaPattern: { 'h\\.[02]\\..*': 7 },
      }; // prettier-ignore
      const left = linear.filter(
        (p) => !exclude.some((e) => matches(e, p)) && (blocks.length === 0 || blocks.includes(blockOf(p)!)),
      );
      fc.pre(
        left.some((p) => p.endsWith('h.2.mlp.c_proj')) &&
          left.some((p) => /h\.[02]\./.test(p)) &&
          blocks.every((b) => left.some((p) => blockOf(p) === b)),
      );
      const { entries } = planLora(model, config);
      expect(entries.map((e) => e.path)).toEqual(left);
      for (const { path, r, alpha } of entries) {
        expect(r, path).toBe(path.endsWith('h.2.mlp.c_proj') ? 3 : path.endsWith('c_proj') ? 4 : 2);
        expect(alpha, path).toBe(/h\.[02]\./.test(path) ? 7 : 16);
      }
    };
    fc.assert(fc.property(patterns, fc.subarray([0, 1, 2]), law), runs(60));
  });

  const c = 'transformer.h.0.attn.c_attn';
  const six = `${c}, transformer.h.0.attn.c_proj, transformer.h.0.mlp.c_fc, transformer.h.0.mlp.c_proj, transformer.h.1.attn.c_attn, transformer.h.1.attn.c_proj, … (12 in all)`;
  it.each<[LoraConfig, string]>([
    [{ exclude: ['c_fn'] }, `planLora: exclude: no target matches 'c_fn'; the targets are ${six}`],
    [{ exclude: ['c_fc', /h\.0/] }, `planLora: exclude: no target matches 'h\\.0'; the targets are ${six}`],
    [{ targets: ['c_fc'], exclude: ['mlp.c_fc'] }, 'planLora: exclude leaves none of the targets'],
    [
      { targets: ['v'], layersToTransform: [0, 3] },
      `planLora: layersToTransform: no target lies in block 3; the targets are ${[0, 1, 2].map((i) => `transformer.h.${i}.attn.c_attn.v`).join(', ')}`,
    ],
    [{ layersToTransform: [-1] }, 'lora: layersToTransform has -1; layers are counted from 0'],
    [
      { targets: ['h.0.attn.c_attn'], rankPattern: { c_fc: 4 } },
      `planLora: rankPattern: no target matches 'c_fc'; the targets are ${c}`,
    ],
    [
      { targets: ['h.0.attn.c_attn'], alphaPattern: { attn: 4 } },
      `planLora: alphaPattern: no target matches 'attn'; the targets are ${c}`,
    ],
    [{ rankPattern: { c_fc: 0 } }, "lora: rankPattern: 'c_fc' is 0; the rank is an integer from 1"],
    [{ alphaPattern: { c_fc: -1 } }, "lora: alphaPattern: 'c_fc' is -1; it must be a finite number above 0"],
    [{ rankPattern: { 'c_(fc': 4 } }, "planLora: rankPattern: 'c_(fc' is no pattern: Unterminated group"],
    [
      { modulesToSave: ['head'] },
      "planLora: modulesToSave: no module matches 'head'; there are transformer, transformer.wte, transformer.wpe, transformer.h.0, transformer.h.0.ln_1, transformer.h.0.attn, … (32 in all)",
    ],
    [
      { targets: ['c_fc'], modulesToSave: ['h.1.mlp'] },
      'planLora: transformer.h.1.mlp.c_fc would be trained whole (modulesToSave) and have an adapter; choose one',
    ],
    [
      { targets: ['wte'], freezeA: true },
      'planLora: freezeA: A of the embedding transformer.wte begins at zero, so that nothing could be learned with it frozen; leave out one of them',
    ],
    [{ bias: 'some' as 'all' }, "lora: bias is 'some'; choose none, all or lora_only"],
  ])('%j is refused', async (config, why) => {
    const before = backend.memory().buffers;
    expect(await failure(() => planLora(model, { r: 2, ...config }))).toBe(why);
    expect(backend.memory().buffers).toBe(before);
  });
});

test('P8: s is computed in f64 and rounded once: α/√r for rsLoRA, so that α = √r gives 1', () => {
  fc.assert(
    fc.property(
      fc.integer({ min: 1, max: 256 }),
      fc.double({ min: 2 ** -10, max: 2 ** 10, noNaN: true }),
      (r, alpha) => {
        expect(loraScale(alpha, r, true)).toBe(alpha / Math.sqrt(r));
        expect(loraScale(Math.sqrt(r), r, true)).toBe(1);
      },
    ),
    runs(100),
  );
});

onEveryBackend((device) => {
  it('P8: rsLoRA of rank r = n² with α = s n is LoRA with the scale s, bits; α = √r gives W + B A', async () => {
    let squares = 0;
    await tryLaw(device, 60, instances('int'), async (on, instance) => {
      const n = Math.sqrt(instance.r);
      fc.pre(Number.isInteger(n));
      const rs = adapted(instance, on, undefined, { rslora: true, alpha: instance.s * n });
      const x = put(instance.x, on);
      assertSameBits(await run(rs.model, x), await run(adapted(instance, on).model, x), 'output');
      const zero = { ...instance, W: { ...instance.W, data: instance.W.data.map(() => 0) } };
      const one = await adapted(zero, on, undefined, { rslora: true, alpha: n }).merge();
      assertSameBits(await weightOf(one.model), deltaOf({ ...zero, s: 1 }).data, 'B A');
      if (n > 1) squares++;
    });
    if (device.runs(60) >= 60) expect(squares).toBeGreaterThan(0);
  });

  it.each<LoraConfig>([
    { bias: 'all', targets: ['v'] },
    { bias: 'lora_only', targets: ['q', 'c_fc'] },
    { bias: 'lora_only', targets: ['c_fc', 'attn.c_proj'], dora: true },
    { modulesToSave: ['lm_head', 'ln_f'], targets: ['c_fc'] },
    {
      modulesToSave: [/transformer\.h\.1\.attn/],
      bias: 'all',
      targets: ['mlp.c_proj'],
      init: 'gaussian',
      rslora: true,
    },
  ])(
    'P1, P5, P7: %j: copies are trained, the base keeps its bits, disabling brings them back, merging takes the copies along',
    async (config) => {
      const on = device.backend;
      const base = tinyGpt2({ backend: on });
      const ids = tokens(on, [2, 6]);
      const logits = async (some: typeof base): Promise<ArrayLike<number>> =>
        noGrad(() => some.forward(ids)).data();
      const [bits, z] = [await modelHashes(base), await logits(base)];
      const lora = await attachLora(base, planLora(base, { r: 2, ...config }), { key: key(3) });
      assertSameBits(await logits(lora.model), z, 'a new adapter');
      const { full } = lora.adapter();
      const own = [...base.namedParameters().keys()].filter((path) => {
        const owner = path.slice(0, path.lastIndexOf('.'));
        const adaptedOne = [...lora.layers.keys()].includes(owner);
        const saved = config.modulesToSave?.some((m) =>
          [...base.namedModules().keys()].some(
            (p) => matches(m, p) && (owner === p || owner.startsWith(`${p}.`)),
          ),
        );
        return (
          saved ||
          (path.endsWith('.bias') && (config.bias === 'all' || (config.bias === 'lora_only' && adaptedOne)))
        );
      });
      const head = config.modulesToSave?.includes('lm_head') ? ['lm_head.weight'] : []; // tied, so no parameter of its own
      expect([...full.keys()].sort()).toEqual([...own, ...head].sort());
      await train({
        batches: (step) => ({
          ids: tokens(on, [2, 6], 11, step),
          targets: tokens(on, [2, 6], 11, step + 9),
          validTokens: 12,
        }),
        loss: (batch) => lora.model.loss(batch.ids, batch.targets),
        optimizer: adamW(lora.parameters(), { lr: 0.05, weightDecay: 0.1 }),
        steps: 2,
      });
      const trained = await logits(lora.model);
      for (const [path, t] of full)
        expect(
          distance(
            await t.data(),
            await (base.namedParameters().get(path) ?? base.transformer.wte.weight).data(),
          ),
          path,
        ).toBeGreaterThan(0);
      const { model: merged } = await lora.merge();
      expect(distance(await logits(merged), trained)).toBeLessThan(1e-4);
      for (const [path, t] of full) {
        const copy = merged.namedParameters().get(path)!;
        expect(copy).not.toBe(t);
        assertSameBits(await copy.data(), await t.data(), `merged ${path}`);
      }
      expect(await modelHashes(base)).toEqual(bits);
      lora.disable();
      assertSameBits(await logits(lora.model), z, 'disabled');
      lora.enable();
      assertSameBits(await logits(lora.model), trained, 'enabled again');
      assertSameBits(await logits(lora.detach()), z, 'detached');
      expect(await modelHashes(base)).toEqual(bits);
    },
  );
});
