/** P14: an adapter in another's place: of any rank, on any layers, with the base untouched and nothing compiled anew. */
import { assertSameBits, assertWithin, gamma } from '@bax/check';
import { noGrad, type Tensor, zeros } from '@bax/core';
import { cpu } from '@bax/cpu';
import { Adapter, type BranchParts, LoraBranch, LoraModel } from '@bax/nn';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { WebGpuBackend } from '@bax/webgpu';
import { failure } from '../../nn/files/support.ts';
import { randomAdapter, tinyGpt2, tokens } from '../../nn/support/gpt2.ts';
import { hashes, modelHashes } from '../../nn/support/hash.ts';
import { absolute, at, matrix, type Matrix } from '../../nn/support/host.ts';
import { onEveryBackend } from '../../support/backends.ts';
import { runs } from '../../support/runs.ts';
import {
  adaptedBy, adapterOf, gradients, inputOf, mergedOfAll, type Member, outputOf, put, several, type Several,
} from './support.ts'; // prettier-ignore
import { adapterLike, variantNames } from './variants.ts';

/** With rows of A and columns of B that are zero, up to a rank; s is kept. */
const padded = (member: Member, rank: number): Member => ({
  ...member,
  r: rank,
  alpha: member.s * rank,
  parts: member.parts.map((p) => ({
    ...p,
    A: matrix(rank, p.A.columns, (i, j) => (i < member.r ? at(p.A, i, j) : 0)),
    B: matrix(p.B.rows, rank, (i, j) => (j < member.r ? at(p.B, i, j) : 0)),
  })),
});
const most = ({ W, members }: Several): number =>
  Math.min(W.columns, ...members.flatMap((m) => m.parts.map((p) => p.length)));
const outputsOf = (all: Several, W: Matrix): Float64Array =>
  outputOf(all as Pick<Several, 'x' | 'bias'> as Parameters<typeof outputOf>[0], W).data;

onEveryBackend((on) => {
  it('padded with zeros to a larger rank it has the same bits in whole numbers, and is within the bound in real ones', async () => {
    const law = async (all: Several, mode: 'int' | 'real'): Promise<void> => {
      const [x, rank] = [inputOf(all, on.f32), most(all)];
      const wide = { ...all, members: all.members.map((m) => padded(m, Math.max(m.r, rank))) };
      const lora = adaptedBy(all, on.f32);
      const y = await lora.model.forward(x).data();
      const merged = (await lora.merge()).model;
      for (const { name } of all.members) {
        const old = lora.adapter(name);
        expect(lora.swap(name, adapterOf(wide.members.find((m) => m.name === name)!, lora.base, on.f32))).toBe(old); // prettier-ignore
      }
      const z = await lora.model.forward(x).data();
      const wider = (await lora.merge()).model;
      if (mode === 'int') {
        assertSameBits(z, y, 'output');
        assertSameBits(await wider.weights(), await merged.weights(), 'merged weight');
        return;
      }
      const size = { ...all, W: absolute(all.W), x: absolute(all.x), bias: all.bias?.map(Math.abs), members: wide.members.map((m) => ({ ...m, weight: Math.abs(m.weight), parts: m.parts.map((p) => ({ ...p, A: absolute(p.A), B: absolute(p.B) })) })) }; // prettier-ignore
      const terms = outputsOf(size, mergedOfAll(size));
      const r = Math.max(rank, ...all.members.map((m) => m.r));
      const g = gamma(all.W.columns + r + all.members.length + 2, on.backend.info.roundoff);
      assertWithin(z, outputsOf(all, mergedOfAll(all)), (i) => g * terms[i]! + 2 ** -100, 'output');
    };
    const either = fc.constantFrom('int' as const, 'real' as const).chain((mode) => fc.tuple(several(mode), fc.constant(mode))); // prettier-ignore
    await fc.assert(
      fc.asyncProperty(either, async ([all, mode]) => law(all, mode)),
      runs(on.runs(50)),
    );
  });

  it('what was padded with zeros on both sides never learns: both gradients are zero', async () => {
    const law = async (all: Several): Promise<void> => {
      const [first] = all.members as [Member];
      const rank = most({ ...all, members: [first] });
      if (rank === first.r) return;
      const lora = adaptedBy({ ...all, members: [{ ...padded(first, rank), weight: 1 }] }, on.f32);
      for (const { A, B } of lora.adapter().branches.values()) {
        const [gA, gB] = await gradients(() => lora.model.forward(inputOf(all, on.f32)), put(all.G, on.f32), [A, B]); // prettier-ignore
        expect(Array.from(gA!).slice(first.r * all.W.columns).some((v) => v !== 0)).toBe(false); // prettier-ignore
        expect(Array.from(gB!).some((v, i) => i % rank >= first.r && v !== 0)).toBe(false);
      }
    };
    await fc.assert(fc.asyncProperty(several('int', { smallest: 3 }), law), runs(on.runs(20)));
  });

  it('there and back again: the bits of each, and the base as it was', async () => {
    const model = tinyGpt2({ backend: on.backend });
    const ids = tokens(on.backend, [2, 5]);
    const bits = await modelHashes(model);
    const kinds = variantNames.filter((_, i) => i % Math.ceil(8 / on.runs(8)) === 0);
    const lora = new LoraModel(model);
    const [first, ...others] = await Promise.all(kinds.map(async (v, i) => adapterLike(model, v, i)));
    lora.add('a', first!);
    lora.activate('a');
    const run = async (): Promise<ArrayLike<number>> => noGrad(() => lora.model.forward(ids)).data();
    const before = await run();
    for (const other of others) {
      const own = new LoraModel(model);
      own.add('x', other);
      own.activate('x');
      const alone = await noGrad(() => own.model.forward(ids)).data();
      expect(lora.swap('a', other)).toBe(first);
      assertSameBits(await run(), alone, 'swapped in');
      expect(lora.swap('a', first!)).toBe(other);
      assertSameBits(await run(), before, 'swapped back');
    }
    expect(await modelHashes(model)).toEqual(bits);
  });

  it('a GPU compiles nothing for another rank on the same layers, once it has run one', async () => {
    const { counts } = on.backend as Partial<WebGpuBackend>;
    if (!counts) return;
    const model = tinyGpt2({ backend: on.backend });
    const ids = tokens(on.backend, [2, 5]);
    const targets = ['q', 'v', 'mlp.c_proj', 'wte'];
    const made = (r: number) => randomAdapter(model, { r, alpha: r, targets }, { seed: r }).adapter();
    const lora = new LoraModel(model);
    lora.add('a', made(2));
    lora.activate('a');
    const run = async (): Promise<ArrayLike<number>> => noGrad(() => lora.model.forward(ids)).data();
    await run();
    const { pipelines } = counts.call(on.backend);
    expect(pipelines).toBeGreaterThan(0);
    for (const r of [1, 3, 4, 8]) {
      lora.swap('a', made(r));
      await run();
      expect(counts.call(on.backend).pipelines, `rank ${r}`).toBe(pipelines);
    }
  });
});

describe('P14: an adapter that does not fit', () => {
  it('is refused, and the old one stays', async () => {
    const backend = cpu();
    const [model, larger, wide] = [tinyGpt2({ backend }), tinyGpt2({ backend, config: { n_embd: 12 } }), tinyGpt2({ backend, dtype: 'f64' })]; // prettier-ignore
    const lora = randomAdapter(model, { r: 2, targets: ['q'] });
    const ids = tokens(backend, [1, 4]);
    const z = await noGrad(() => lora.model.forward(ids)).data();
    const own = lora.adapter();
    const bits = await hashes(own.tensors());
    expect(await failure(() => lora.swap('default', randomAdapter(larger, { r: 2, targets: ['q'] }).adapter()))).toBe(
      "swap: the adapter 'default' does not fit the model: A [2, 12] and B [12, 2] of transformer.h.0.attn.c_attn.q are for another W than [24, 8]",
    ); // prettier-ignore
    expect(await failure(() => lora.swap('default', randomAdapter(wide, { r: 2, targets: ['q'] }).adapter()))).toBe(
      "swap: the adapter 'default' does not fit the model: transformer.h.0.attn.c_attn.q is f64 on cpu, and the layer f32 on cpu",
    ); // prettier-ignore
    expect(await failure(() => lora.activate(['default', 'default']))).toBe(
      "activate: 'default' is named twice; for twice its change give it that weight: { 'default': 2 }",
    );
    expect(await failure(() => lora.swap('nobody', own))).toBe("lora: there is no adapter 'nobody'; there are default"); // prettier-ignore
    lora.scale(0.5);
    const dora = await adapterLike(model, 'DoRA');
    expect(await failure(() => lora.swap('default', dora))).toBe(
      "activate: 'default' uses DoRA, which is not linear in its scale; its weight can only be 1, not 0.5",
    );
    lora.scale(1);
    expect(lora.adapter()).toBe(own);
    expect(await hashes(own.tensors())).toEqual(bits);
    assertSameBits(await noGrad(() => lora.model.forward(ids)).data(), z, 'logits');
  });

  it('is refused by each tensor that has not the shape of its place, or is held in what the model is not', async () => {
    const backend = cpu();
    const model = tinyGpt2({ backend });
    const lora = new LoraModel(model);
    const of = (...shape: number[]): Tensor => zeros(shape, { backend });
    const place = { modulePath: 'transformer.h.0.attn.c_attn', slice: { name: 'q', start: 0, length: 8 } };
    const add = async (parts: Partial<BranchParts>): Promise<string> => {
      const branch = new LoraBranch({ A: of(2, 8), B: of(8, 2), ...parts }, { alpha: 2, place });
      return failure(() => lora.add('a', new Adapter(config, [branch])));
    };
    const { config } = randomAdapter(model, { r: 2, targets: ['q'] }).adapter();
    const begin = "add: the adapter 'a' does not fit the model: ";
    const at = 'transformer.h.0.attn.c_attn.q';
    expect(await add({ B: of(7, 2) })).toBe(`${begin}B of ${at} is [7, 2], and its place asks for [8, 2]`);
    expect(await add({ B: of(9, 2) })).toBe(`${begin}B of ${at} is [9, 2], and its place asks for [8, 2]`);
    expect(await add({ magnitude: of(1) })).toBe(
      `${begin}magnitude of ${at} is [1], and its place asks for [8]`,
    );
    expect(await add({ taken: { A: of(1, 8), B: of(8, 1) } })).toBe(
      `${begin}A0 of ${at} is [1, 8], and its place asks for [2, 8]`,
    );
    const bias = 'transformer.h.0.attn.c_attn.bias';
    const wide = new Adapter(config, [], new Map([[bias, zeros([24], { backend, dtype: 'f64' })]]));
    expect(await failure(() => lora.add('a', wide))).toBe(
      `${begin}its ${bias} is f64 on cpu, and the model's f32 on cpu`,
    );
    expect(lora.adapters.size).toBe(0);
  });
});
