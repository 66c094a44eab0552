import { key, ones, setBackend, zeros, type Tensor } from '@bax/core';
import { cpu } from '@bax/cpu';
import { castModule, Linear, Module, transform } from '@bax/nn';
import { beforeEach, describe, expect, it, test } from 'vitest';
import { randomAdapter, tinyGpt2, tokens } from './support/gpt2.ts';
import { modelHashes } from './support/hash.ts';
import { failure } from './files/support.ts';

let backend = cpu();
beforeEach(() => setBackend((backend = cpu())));

class Pair extends Module {
  left: Linear;
  right: Linear;
  gain: Tensor;
  constructor(left: Linear, right: Linear) {
    super();
    [this.left, this.right, this.gain] = [left, right, ones([2])];
  }
}
class Tree extends Module {
  pairs: Pair[];
  note = 'not a parameter';
  none: Linear[] = [];
  constructor(pairs: Pair[]) {
    super();
    this.pairs = pairs;
  }
}
const linear = (): Linear => new Linear(ones([2, 2]), zeros([2]));
const tree = (): Tree => new Tree([new Pair(linear(), linear()), new Pair(linear(), linear())]);

describe('paths', () => {
  it('are the property names on the way, arrays by their index', () => {
    const model = tree();
    expect([...model.namedModules().keys()]).toEqual([
      '', 'pairs.0', 'pairs.0.left', 'pairs.0.right', 'pairs.1', 'pairs.1.left', 'pairs.1.right',
    ]); // prettier-ignore
    expect([...model.namedParameters().keys()].slice(0, 3)).toEqual([
      'pairs.0.gain',
      'pairs.0.left.weight',
      'pairs.0.left.bias',
    ]);
    expect(model.parameterCount).toBe(2 * (2 + 2 * 6));
    for (const [path, module] of model.namedModules()) {
      expect(module.path).toBe(path);
      expect(model.module(path)).toBe(module);
    }
  });

  it("are Hugging Face's in GPT-2", () => {
    const names = [...tinyGpt2({ backend }).namedParameters().keys()];
    expect(names).toHaveLength(2 + 2 * 12 + 2);
    expect(names).toContain('transformer.h.1.attn.c_attn.weight');
    expect(names).toContain('transformer.ln_f.bias');
    expect(names).not.toContain('lm_head.weight');
  });

  it('P44: asking a part for its names does not rename it: its dropout would change, and be that of its neighbour', async () => {
    const config = { resid_pdrop: 0.5, attn_pdrop: 0.5 };
    const [asked, untouched] = [tinyGpt2({ backend, config }), tinyGpt2({ backend, config })];
    expect([...asked.transformer.h[1]!.namedParameters().keys()][0]).toBe('ln_1.weight');
    expect(asked.transformer.h[0]!.parameterCount).toBe(
      untouched.transformer.h[0]!.parameters().reduce((n, p) => n + p.size, 0),
    );
    expect(asked.transformer.h[1]!.attn.path).toBe('transformer.h.1.attn');
    const [a, b] = [asked, untouched].map((m) => m.forward(tokens(backend, [1, 4]), { key: key(1) }));
    expect(await a!.data()).toEqual(await b!.data());
  });

  it('of a module that is not there: the error names what is', async () => {
    expect(await failure(() => tree().module('pairs.2'))).toBe(
      "module: there is no 'pairs.2'; the tree has pairs.0, pairs.0.left, pairs.0.right, pairs.1, pairs.1.left, pairs.1.right",
    );
    expect(await failure(() => tinyGpt2({ backend }).module('h'))).toMatch(
      /^module: there is no 'h'; the tree has transformer, transformer.wte, .*, …$/,
    );
  });

  it('are in the errors of what runs', async () => {
    const model = tree();
    model.namedModules();
    expect(await failure(() => model.pairs[1]!.right.forward(ones([3])))).toBe(
      'linear: x [3] does not fit weight [2, 2] = [out, in]  (3 != 2)\n  at pairs.1.right',
    );
  });
});

describe('a tied parameter', () => {
  it('P24: is listed and counted once, under its own name', () => {
    const [tied, untied] = [true, false].map((tie_word_embeddings) =>
      tinyGpt2({ backend, config: { tie_word_embeddings } }),
    );
    expect(tied!.lm_head).toMatchObject({ weight: tied!.transformer.wte.weight });
    expect(untied!.parameterCount - tied!.parameterCount).toBe(11 * 8);
    expect([...untied!.namedParameters().keys()].at(-1)).toBe('lm_head.weight');
  });

  it('stays one tensor in a copy, in another dtype too', () => {
    const model = tinyGpt2({ backend });
    const copy = castModule(model, 'f64');
    expect(copy.lm_head).toMatchObject({ weight: copy.transformer.wte.weight });
    expect(copy.transformer.wte.weight.dtype).toBe('f64');
    expect([...copy.namedParameters().keys()]).toEqual([...model.namedParameters().keys()]);
  });
});

describe('transform', () => {
  it('P52: copies the tree, shares every tensor that is not replaced and leaves the tree given as it was', () => {
    const model = tinyGpt2({ backend });
    const before = new Map(
      [...model.namedModules()].map(([path, m]) => [path, { m, path: m.path, entries: Object.entries(m) }]),
    );
    const other = zeros([8, 24]);
    const copy = transform(model, {
      tensor: (_, path) => (path === 'transformer.h.0.attn.c_attn.weight' ? other : undefined),
    });
    for (const [path, m] of model.namedModules()) {
      expect(m).toBe(before.get(path)!.m);
      expect(Object.entries(m)).toEqual(before.get(path)!.entries);
      expect(copy.module(path)).not.toBe(m);
      expect(copy.module(path).constructor).toBe(m.constructor);
      expect(copy.module(path).path).toBe(path);
    }
    const [ours, theirs] = [model.namedParameters(), copy.namedParameters()];
    for (const [path, t] of theirs)
      expect(t, path).toBe(path === 'transformer.h.0.attn.c_attn.weight' ? other : ours.get(path));
  });
});

test('castModule: the copy has memory of its own and no tape, and wants the gradients that the original wants', async () => {
  for (const dtype of ['f32', 'f64'] as const) {
    const lora = randomAdapter(tinyGpt2({ backend }), { r: 1, targets: ['v'] });
    for (const p of lora.parameters().values()) p.requiresGrad = true;
    const [bits, wanting] = [
      await modelHashes(lora.model),
      lora.model.parameters().map((p) => p.requiresGrad),
    ];
    const copy = castModule(lora.model, dtype);
    expect(copy.parameters().map((p) => p.requiresGrad)).toEqual(wanting);
    expect(copy.parameters().filter((p) => p.record || p.dtype !== dtype)).toEqual([]);
    copy.dispose();
    expect(await modelHashes(lora.model)).toEqual(bits);
  }
});

test('dispose frees every parameter', () => {
  const before = backend.memory().live;
  const model = tinyGpt2({ backend });
  expect(backend.memory().live - before).toBe(4 * model.parameterCount);
  model.dispose();
  expect(backend.memory().live).toBe(before);
});
