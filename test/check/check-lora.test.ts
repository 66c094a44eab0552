/** What `checkLora` and `verifyMerge` say of adapters that are right, and of those that are wrong in one way each. */
import { type Asked, CheckError, checkLora, loraConfigs, verifyMerge } from '@bax/check';
import { add, assign, type Backend, BaxError, detach, keep, key, mul, randn, relu, tensor, type Tensor, zeros } from '@bax/core'; // prettier-ignore
import { cpu } from '@bax/cpu';
import { attachLora, type Gpt2, Linear, type LoraConfig, LoraLinear, type LoraModel, loadAdapter, Module, planLora, type Projection } from '@bax/nn'; // prettier-ignore
import fc from 'fast-check';
import { afterEach, describe, expect, it, test, vi } from 'vitest';
import { adapterFolder } from '../nn/support/golden.ts';
import { randomAdapter, tinyGpt2, tokens } from '../nn/support/gpt2.ts';
import { modelHashes } from '../nn/support/hash.ts';
import { loadMlp } from '../nn/support/mlp.ts';
import { backendCases } from '../support/backends.ts';

const backend = cpu();
const gpt2 = (on: Backend = backend): LoraModel<Gpt2> =>
  randomAdapter(tinyGpt2({ backend: on }), { r: 2, targets: ['q', 'v'] });
const few = { runs: 0.5 };

/** relu(x W₁ᵀ) W₂ᵀ, with a layer that nobody uses. */
class Net extends Module {
  first: Projection;
  second: Projection;
  spare: Projection;
  constructor(dtype: 'f32' | 'f64' = 'f32') {
    super();
    const weight = (seed: number, shape: number[]): Tensor => keep(randn(shape, { key: seed, dtype, backend })); // prettier-ignore
    this.first = new Linear(weight(1, [6, 4]), weight(2, [6]));
    this.second = new Linear(weight(3, [3, 6]));
    this.spare = new Linear(weight(4, [3, 6]));
    this.namedModules();
  }
  forward(x: Tensor): Tensor {
    return this.second.forward(relu(this.first.forward(x)));
  }
}
const x = randn([5, 4], { key: 9, backend });
const net = async (config: LoraConfig, dtype?: 'f32' | 'f64'): Promise<LoraModel<Net>> => {
  const model = new Net(dtype);
  return attachLora(model, planLora(model, { r: 2, ...config }), { key: key(1) });
};
const inUse = { targets: ['first', 'second'] };

describe('finds nothing wrong with', () => {
  test.each(backendCases.filter(({ name }) => ['cpu', 'wasm', 'webgpu'].includes(name)))(
    'a GPT-2 with an adapter, on $name',
    async (device) => {
      const on = await device.make();
      const lora = gpt2(on);
      const bits = await modelHashes(lora.model);
      const { passed, leftOut, dead, outputs } = await checkLora(lora, undefined, few);
      expect(passed.map(({ name }) => name.split(':')[0])).toEqual([
        'every number of the adapter, and of the layers that it adapts, is finite', 'P24', 'P21', 'P7', 'P2', 'every adapted layer changes the output, unless its B A is zero', 'P6, P33, P34', 'P23', 'P5',
      ]); // prettier-ignore
      expect(passed.every(({ cases }) => cases >= 2)).toBe(true);
      expect(dead).toEqual([]);
      expect(outputs!.error).toBeLessThanOrEqual(outputs!.bound);
      const wide = on.info.dtypes.includes('f64');
      expect(leftOut).toEqual(wide ? [] : ['f64: the backend has none, so that gradients and merging are held to the rules of f32']); // prettier-ignore
      expect(outputs!.rule).toMatch(wide ? /measured in f64$/ : /a heuristic: the backend has no f64$/);
      expect(await modelHashes(lora.model), 'the factors are back where they were').toEqual(bits);
      expect(lora.enabled).toBe(true);
    },
  );

  test('any adapter that can be configured, as it starts', async () => {
    const model = tinyGpt2({ backend });
    for (const config of fc.sample(loraConfigs(model, { variants: true, tied: true, maxRank: 4 }), { numRuns: 12, seed: 3 })) {
      const plan = planLora(model, config);
      const lora = await attachLora(model, plan, { key: key(1) });
      const { leftOut } = await checkLora(lora, undefined, { plan, untie: true, timeBudget: 0 });
      expect(leftOut.some((why) => why.startsWith('P2 of A and B with DoRA'))).toBe(plan.config.dora);
      lora.detach();
    }
  }); // prettier-ignore

  test.each(['peft-mlp-linear', 'peft-mlp-embed', 'peft-mlp-dora', 'peft-mlp-bias-all', 'peft-mlp-save-head', 'peft-mlp-rslora'])(
    'what PEFT made: %s',
    async (name) => {
      const base = loadMlp({ dtype: 'f32', backend });
      const { lora } = await loadAdapter(base, adapterFolder(name));
      const ids = tensor(Int32Array.from({ length: 10 }, (_, i) => (3 * i) % 7), { shape: [2, 5], dtype: 'i32', backend });
      await checkLora(lora, ids, few);
    },
  ); // prettier-ignore

  it("a user's own model, by an input, by several, by a function; in f64, too", async () => {
    for (const dtype of ['f32', 'f64'] as const) {
      const lora = await net(inUse, dtype);
      const several: Asked<Net>[] = [x, [x, x], (model, like) => mul(model.forward(like(x)), 2)];
      for (const asked of several) {
        const { dead } = await checkLora(lora, asked, few);
        expect(dead).toEqual(['first', 'second']); // B = 0
      }
    }
  });

  it('two adapters that are active together', async () => {
    const lora = await net({ targets: ['first'] });
    const other = await net({ targets: ['second'] });
    lora.add('other', other.remove('default'));
    lora.activate({ default: 1, other: -0.5 });
    await checkLora(lora, x, few);
  });

  it('a disabled adapter, which stays so', async () => {
    const lora = await net(inUse);
    lora.disable();
    await checkLora(lora, x, few);
    expect(lora.enabled).toBe(false);
  });
});

/** The law that is broken, and the message. */
async function broken(check: Promise<unknown>): Promise<[law: string, message: string]> {
  const error: unknown = await check.then(() => undefined, (e: unknown) => e); // prettier-ignore
  expect(error).toBeInstanceOf(CheckError);
  const { message } = error as CheckError;
  return [/^check\w+: ([^:]*)/.exec(message)![1]!, message];
}

describe('names the law that is broken by', () => {
  /** A layer of which a method is another. */
  const patched = (lora: LoraModel<Module>, name: string, own: object): void =>
    void Object.assign(lora.layers.get(name)!, own);
  /** What merging puts in the place of one weight. */
  const merging = (path: string, other: (right: Tensor) => Tensor): void => {
    const layers = LoraLinear.prototype;
    const mergedMatrix = Reflect.get(layers, 'mergedMatrix') as (this: LoraLinear) => Tensor;
    vi.spyOn(layers, 'mergedMatrix').mockImplementation(function (this: LoraLinear) {
      const right = mergedMatrix.call(this);
      return this.path === path ? other(right) : right;
    });
  };
  afterEach(() => void vi.restoreAllMocks());

  it('P24: an adapter that is not what was planned', async () => {
    const lora = await net(inUse);
    const plan = planLora(lora.base, { r: 2, targets: ['first'] });
    expect(await broken(checkLora(lora, x, { plan }))).toEqual(['P24', expect.stringContaining('the adapter adapts second, the plan does not')]); // prettier-ignore
    const other = planLora(lora.base, { r: 3, ...inUse });
    expect((await broken(checkLora(lora, x, { plan: other })))[1]).toContain('first was planned with r = 3 and α = 16; it has r = 2 and α = 16'); // prettier-ignore
  });

  it('P24: a merged weight that changes by more than the rank', async () => {
    const lora = await net(inUse);
    const noise = randn([6, 4], { key: 5, backend });
    merging('first', (right) => add(right, noise));
    expect(await broken(checkLora(lora, x))).toEqual(['P24', expect.stringMatching(/merging changes first by a matrix of a higher rank than 2: σ_3 = \d/)]); // prettier-ignore
  });

  it('P21: a layer that is not the base when disabled', async () => {
    const lora = await net(inUse);
    patched(lora, 'second', { forward: (y: Tensor) => add(lora.base.second.forward(y), 2 ** -20) });
    expect(await broken(checkLora(lora, x))).toEqual(['P21', expect.stringContaining('outputs of the disabled model and of the base: bits differ at')]); // prettier-ignore
  });

  it('P7: a base weight that wants a gradient, or a factor that gets none', async () => {
    const lora = await net(inUse);
    lora.layers.get('first')!.base.weight.requiresGrad = true;
    expect(await broken(checkLora(lora, x))).toEqual(['P7', expect.stringContaining('first.base.weight is frozen, and yet it got a gradient: its requiresGrad is true')]); // prettier-ignore
    const spare = await net({ targets: ['first', 'spare'] });
    expect((await broken(checkLora(spare, x)))[1]).toContain('spare.lora.A is trained, but got no gradient: what is asked does not depend on it'); // prettier-ignore
  });

  it('P2: a path that the tape does not see', async () => {
    const lora = await net(inUse);
    const asked: Asked<Net> = (model, like) => {
      const y = model.forward(like(x));
      return mul(y, detach(y));
    };
    const [law, message] = await broken(checkLora(lora, asked));
    expect(law).toBe('P2');
    expect(message).toMatch(/grad says {4}⟨g, v⟩ = .*\n(.*\n)* {2}for {6}the factors as they are\n {2}replay {3}await checkLora\(lora, asked, \{ only: "P2: .*", seed: 1, path: '0' \}\);/); // prettier-ignore
  });

  it('a layer that is adapted and not used, though its B A is not zero', async () => {
    const lora = await net({ targets: ['first', 'spare'] });
    const [law, message] = await broken(checkLora(lora, x, { only: 'every adapted layer' }));
    expect(law).toBe('every adapted layer changes the output, unless its B A is zero');
    expect(message).toContain(
      'spare has an adapter whose B A is not zero, and the output is the same without it',
    );
    expect(message).toContain('for      factors moved at random (key 1)'); // shrunk; as they are, B is zero
  });

  it('P33: a scale that is off in merging, by 1 in a million', async () => {
    const lora = gpt2();
    const [path] = [...lora.layers.keys()];
    merging(path!, (right) => add(mul(right, 1 + 1e-6), zeros([24, 8], { backend })));
    expect(await broken(checkLora(lora))).toEqual(['P6, P33, P34', expect.stringContaining(`the merged weight of ${path} is not W + s B A: off by`)]); // prettier-ignore
    await expect(verifyMerge(lora)).rejects.toThrow(/^verifyMerge: P33, P34: the merged model is the unmerged one: the merged weight of transformer\.h\.0\.attn\.c_attn is not W \+ s B A/); // prettier-ignore
  });

  it('P34: outputs that are not those of the merged weights', async () => {
    const lora = await net(inUse);
    const scaled = (by: number) => ({
      forward(this: LoraLinear, y: Tensor) {
        return mul(LoraLinear.prototype.forward.call(this, y), by);
      },
    });
    patched(lora, 'first', scaled(1.00001));
    const [law, message] = await broken(checkLora(lora, x, { only: 'P6' }));
    expect(law).toBe('P6, P33, P34');
    expect(message).toMatch(/merged and unmerged outputs differ: \S+ and \S+ at \d+ of 15; the error is \S+, allowed is \S+ \(four times what f32 costs/); // prettier-ignore
    await expect(verifyMerge(lora, x)).rejects.toThrow(/verifyMerge: .*merged and unmerged outputs differ[^]*replay {3}await verifyMerge\(lora, asked, \{ seed: 1, path: '0' \}\);$/); // prettier-ignore
    const wide = await net(inUse, 'f64');
    patched(wide, 'first', scaled(1 + 2 ** -36));
    await expect(verifyMerge(wide, x)).rejects.toThrow('2^-40 of the largest, in f64');
  });

  it('P23: an adapter that a file cannot hold', async () => {
    const lora = await net(inUse);
    const adapter = lora.adapter();
    const wrong = new Map(adapter.tensors()).set('first.lora.C', zeros([1], { backend }));
    Object.assign(adapter, { tensors: () => wrong });
    expect(await broken(checkLora(lora, x, { only: 'P23' }))).toEqual(['P23', expect.stringMatching(/saved were .*, first\.lora\.C; loaded are first\.lora\.A, /)]); // prettier-ignore
  });

  it('P5: a forward pass that changes a base weight, in one bit', async () => {
    const lora = await net(inUse);
    let n = 0;
    const asked: Asked<Net> = (model, like) => {
      const { weight } = lora.base.second as Linear;
      if (++n === 5) assign(weight, mul(weight, tensor(Array.from({ length: 18 }, (_, i) => (i === 7 ? 1 + 2 ** -23 : 1)), { shape: [3, 6], backend }))); // prettier-ignore
      return model.forward(like(x));
    };
    expect(await broken(checkLora(lora, asked, { only: 'P5' }))).toEqual(['P5', expect.stringContaining("the base's second.weight was changed")]); // prettier-ignore
  });
});

describe('blames no law for what another says', () => {
  const others = /\nnot tried, since others do not hold:((?:\n {2}.*)*)$/;
  const untried = (message: string): string[] =>
    [...(others.exec(message)?.[1] ?? '').matchAll(/\n {2}([^:]*)/g)].map(([, law]) => law!);

  it('a factor, or a base, that is not finite', async () => {
    const law = 'every number of the adapter, and of the layers that it adapts, is finite';
    const nan = await net(inUse);
    assign(nan.parameters().get('first.lora.A')!, tensor([0, 0, 0, 0, 0, NaN, 0, 0], { shape: [2, 4], backend })); // prettier-ignore
    const [first, message] = await broken(checkLora(nan, x));
    expect([first, untried(message)]).toEqual([law, ['P24', 'P5']]);
    expect(message).toContain(`checkLora: ${law}: first.lora.A is NaN at [1, 1]\n`);
    expect(message.replace(others, '')).not.toMatch(/^ {2}P(24|5):/m);
    const base = await net(inUse);
    assign((base.base.second as Linear).weight, mul(randn([3, 6], { key: 1, backend }), Infinity));
    expect(await broken(checkLora(base, x))).toEqual([law, expect.stringMatching(/: second\.weight of the base is -?Infinity at \[0, 0\]\n/)]); // prettier-ignore
  });

  it('a merge that throws', async () => {
    const lora = await net(inUse);
    Object.assign(lora, { merge: async () => Promise.reject(new Error('no merge today')) });
    const [first, message] = await broken(checkLora(lora, x));
    expect([first, untried(message)]).toEqual(['P6, P33, P34', ['P24', 'P5']]);
    const p5 = await broken(checkLora(lora, x, { only: 'P5' }));
    expect(p5[1]).toContain('not tried to the end, and no bit was changed so far, since another law does not hold: P6, P33, P34: merged is unmerged: each weight within its bound, and the outputs within what f32 costs: no merge today'); // prettier-ignore
    expect((await broken(checkLora(lora, x, { only: 'P24' })))[1]).toContain(': not tried, since merging fails: no merge today'); // prettier-ignore
  });

  it('P5: a merge that throws, and changed a bit before', async () => {
    const lora = await net(inUse);
    const merge = async (): Promise<never> => {
      const { weight } = lora.base.second as Linear;
      assign(weight, mul(weight, 1 + 2 ** -23));
      throw new Error('no merge today');
    };
    Object.assign(lora, { merge });
    expect(await broken(checkLora(lora, x, { only: 'P5' }))).toEqual(['P5', expect.stringContaining("the base's second.weight was changed")]); // prettier-ignore
  });
});

describe('verifyMerge', () => {
  it('proves weights and outputs, and says so', async () => {
    const lora = gpt2();
    const proof = await verifyMerge(lora);
    expect(proof).toMatchObject({ cases: 5, layers: [{ path: 'transformer.h.0.attn.c_attn' }, { path: 'transformer.h.1.attn.c_attn' }] }); // prettier-ignore
    expect(proof.outputs!.error).toBeGreaterThan(0);
    expect(String(proof)).toMatch(/^2 weights merged; largest error .*; the outputs on 5 inputs are within \d+ % of their bound \(four times what f32 costs/); // prettier-ignore
    expect((await verifyMerge(lora, tokens(backend, [2, 5]))).cases).toBe(1);
    expect((await verifyMerge(lora, undefined, { timeBudget: 0 })).cases).toBe(1);
    expect((await verifyMerge(lora, undefined, { runs: 3, seed: 2 })).cases).toBe(13);
  });

  it('of weights alone, where nothing can be asked', async () => {
    const proof = await verifyMerge(await net(inUse));
    expect(proof.outputs).toBeUndefined();
    expect(String(proof)).toMatch(/; no input was given, so that no outputs were compared$/);
  });

  it('of few outputs, whose error may be zero by luck', async () => {
    const lora = await net(inUse);
    for (let seed = 0; seed < 20; seed++) {
      const one = randn([1, 4], { key: 100 + seed, backend });
      await checkLora(lora, (model, like) => model.forward(like(one)).sum(), { only: 'P6', seed });
    }
  });
});

describe('refuses', () => {
  const said = async (check: Promise<unknown>): Promise<string> => check.then(() => 'nothing', (e: Error) => `${e.name}: ${e.message}`); // prettier-ignore
  it('what it cannot ask', async () => {
    const lora = await net(inUse);
    expect(await said(checkLora(lora))).toBe('BaxError: checkLora: say what the model is asked: an input of its forward, or a function (model) => tensor'); // prettier-ignore
    class Mute extends Module {
      proj = new Linear(keep(randn([3, 3], { key: 1, backend })));
    }
    const mute = new Mute();
    const silent = await attachLora(mute, planLora(mute, { r: 1 }), { key: key(1) });
    expect(await said(checkLora(silent, x))).toBe('BaxError: checkLora: the model has no forward(x); give a function (model) => tensor instead'); // prettier-ignore
    const nothing = (() => undefined) as unknown as Asked<Net>;
    expect(await said(checkLora(lora, nothing, few))).toContain('checkLora: the function gave undefined, not a tensor; it is synchronous'); // prettier-ignore
    const later = (async () => x) as unknown as Asked<Net>;
    expect(await said(checkLora(lora, later, few))).toContain('checkLora: the function gave a Promise, not a tensor; it is synchronous'); // prettier-ignore
  });

  it('no active adapter, a tied head, a disabled merge', async () => {
    const lora = gpt2();
    lora.activate([]);
    expect(await said(checkLora(lora))).toBe('BaxError: checkLora: no adapter is active, so there is nothing to check; call activate() first'); // prettier-ignore
    const head = randomAdapter(tinyGpt2({ backend }), { r: 2, targets: ['lm_head'] });
    expect(await said(verifyMerge(head))).toMatch(
      /^BaxError: merge: lm_head\.weight is tied to .*untie: true/,
    );
    expect((await verifyMerge(head, undefined, { untie: true })).layers).toHaveLength(1);
    const off = gpt2();
    off.disable();
    expect(await said(verifyMerge(off))).toMatch(/^BaxError: merge: the adapter is disabled/);
    expect(new BaxError('x').name).toBe('BaxError');
  });
});
