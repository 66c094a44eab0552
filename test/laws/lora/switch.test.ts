/** P21: what a model computes depends on its adapters, which are active and whether they are enabled; not on how it came so. */
import { assertSameBits } from '@bax/check';
import { BaxError, noGrad } from '@bax/core';
import { type Adapter, type Gpt2, LoraModel } from '@bax/nn';
import fc from 'fast-check';
import { beforeAll, describe, expect, it } from 'vitest';
import { tinyGpt2, tokens } from '../../nn/support/gpt2.ts';
import { hashes, modelHashes } from '../../nn/support/hash.ts';
import { expectClose } from '../../nn/support/numbers.ts';
import { onEveryBackend } from '../../support/backends.ts';
import { runs } from '../../support/runs.ts';
import { adapterLike, shake, type Variant, variantNames } from './variants.ts';

interface State {
  readonly adapters: ReadonlyMap<string, Adapter>;
  readonly active: ReadonlyMap<string, number>;
  readonly enabled: boolean;
}
type Act = (lora: LoraModel<Gpt2>, state: State) => State;

const named = fc.constantFrom('a', 'b');
const weight = fc.constantFrom(1, 1, 1, 0.5, -1, 0);
const kind = fc.constantFrom<Variant>('slices of a layer', 'a table', 'DoRA', 'all biases', 'its own biases', 'a head and a norm of its own', 'an adapted head'); // prettier-ignore
const without = <T>(map: ReadonlyMap<string, T>, name: string): Map<string, T> =>
  new Map([...map].filter(([other]) => other !== name));
const actions = (pool: (v: Variant) => Adapter): fc.Arbitrary<{ act: Act; toString(): string }> => {
  const action = (text: string, act: Act) => ({ act, toString: () => text });
  return fc.oneof(
    fc.tuple(named, kind).map(([name, v]) =>
      action(`add ${name}: ${v}`, (lora, s) => {
        lora.add(name, pool(v));
        return { ...s, adapters: new Map(s.adapters).set(name, pool(v)) };
      }),
    ),
    named.map((name) =>
      action(`remove ${name}`, (lora, s) => {
        expect(lora.remove(name)).toBe(s.adapters.get(name));
        return { ...s, adapters: without(s.adapters, name), active: without(s.active, name) };
      }),
    ),
    fc.tuple(named, kind).map(([name, v]) =>
      action(`swap ${name}: ${v}`, (lora, s) => {
        expect(lora.swap(name, pool(v))).toBe(s.adapters.get(name));
        return { ...s, adapters: new Map(s.adapters).set(name, pool(v)) };
      }),
    ),
    fc.uniqueArray(fc.tuple(named, weight), { selector: ([name]) => name }).map((weights) =>
      action(`activate ${weights.join(' ')}`, (lora, s) => {
        lora.activate(Object.fromEntries(weights));
        return { ...s, active: new Map(weights) };
      }),
    ),
    fc.tuple(weight, named).map(([w, name]) =>
      action(`scale ${w} ${name}`, (lora, s) => {
        lora.scale(w, name);
        return { ...s, active: new Map(s.active).set(name, w) };
      }),
    ),
    fc.constant(action('disable', (lora, s) => (lora.disable(), { ...s, enabled: false }))),
    fc.constant(action('enable', (lora, s) => (lora.enable(), { ...s, enabled: true }))),
  );
};

/** A model that was made so at once. */
function fresh(base: Gpt2, { adapters, active, enabled }: State): LoraModel<Gpt2> {
  const lora = new LoraModel(base);
  for (const [name, adapter] of adapters) lora.add(name, adapter);
  lora.activate(Object.fromEntries(active));
  if (!enabled) lora.disable();
  return lora;
}
/** Its modules, the tensors at their places and which are tied. */
const shapeOf = ({ model, active, enabled, layers, adapters }: LoraModel<Gpt2>): unknown => ({
  modules: [...model.namedModules()].map(([path, m]) => `${path} ${m.path} ${m.constructor.name}`),
  tied: model.tied,
  active: [...active],
  enabled,
  layers: [...layers.keys()],
  adapters: [...adapters.keys()],
});

onEveryBackend((on) => {
  let base: Gpt2;
  let pool: Map<Variant, Adapter>;
  beforeAll(async () => {
    base = tinyGpt2({ backend: on.backend });
    pool = new Map();
    for (const [i, v] of variantNames.entries()) pool.set(v, await adapterLike(base, v, i));
  });

  it('whatever was added, removed, swapped, activated, scaled, disabled before; what fails changes nothing', async () => {
    const bits = await modelHashes(base);
    const ids = tokens(on.backend, [1, 4]);
    const law = async (kinds: readonly Variant[], acts: readonly { act: Act }[]): Promise<void> => {
      const adapters = new Map(kinds.map((v, i) => [['a', 'b'][i]!, pool.get(v)!]));
      let state: State = { adapters, active: new Map([['a', 1]]), enabled: true };
      const lora = fresh(base, state);
      for (const { act } of acts) {
        try {
          state = act(lora, state);
        } catch (error) {
          if (!(error instanceof BaxError)) throw error;
        }
        const wanted = fresh(base, state);
        expect(shapeOf(lora)).toEqual(shapeOf(wanted));
        const [ours, theirs] = [lora, wanted].map(({ model }) => model.namedParameters());
        expect([...ours!.keys()]).toEqual([...theirs!.keys()]);
        for (const [path, t] of ours!) if (theirs!.get(path) !== t) throw new Error(`${path} is another tensor`); // prettier-ignore
      }
      const z = await noGrad(() => lora.model.forward(ids)).data();
      assertSameBits(z, await noGrad(() => fresh(base, state).model.forward(ids)).data(), 'logits');
      if (state.enabled && state.active.size > 0) return;
      assertSameBits(z, await noGrad(() => base.forward(ids)).data(), "the base's logits");
    };
    const two = fc.array(kind, { minLength: 1, maxLength: 2 });
    const acts = fc.array(actions((v) => pool.get(v)!), { minLength: 1, maxLength: 10, size: 'max' }); // prettier-ignore
    await fc.assert(fc.asyncProperty(two, acts, law), runs(on.runs(80)));
    expect(await modelHashes(base)).toEqual(bits);
  });

  it.each(variantNames)('%s: disabled it has the base\'s bits, enabled again its own', async (variant) => {
    const ids = tokens(on.backend, [1, 4]);
    const logits = async (model: Gpt2): Promise<ArrayLike<number>> => noGrad(() => model.forward(ids)).data();
    const [lora, plain] = [new LoraModel(base), await logits(base)];
    lora.add('a', pool.get(variant)!);
    assertSameBits(await logits(lora.model), plain, 'not active');
    lora.activate('a');
    const z = await logits(lora.model);
    expect(z).not.toEqual(plain);
    lora.disable();
    lora.disable();
    assertSameBits(await logits(lora.model), plain, 'disabled');
    lora.enable();
    assertSameBits(await logits(lora.model), z, 'enabled again');
    lora.remove('a');
    assertSameBits(await logits(lora.model), plain, 'removed');
  }); // prettier-ignore
});

describe('P34: any two kinds together', () => {
  const kinds = ['slices of a layer', 'whole layers, rsLoRA', 'a table', 'DoRA', 'PiSSA', 'all biases', 'a head and a norm of its own', 'an adapted head'] as const; // prettier-ignore
  it.each(kinds)('%s and another compute what they merge to, or cannot be active together', async (variant) => {
    const { cpu } = await import('@bax/cpu');
    const backend = cpu();
    const model = tinyGpt2({ backend, dtype: 'f64' });
    const bits = await modelHashes(model);
    const ids = tokens(backend, [2, 5]);
    let together = 0;
    for (const other of kinds) {
      const lora = new LoraModel(model);
      lora.add('a', await adapterLike(model, variant, 1));
      lora.add('b', await adapterLike(model, other, 2));
      try {
        lora.activate(['a', 'b']);
      } catch (error) {
        expect((error as BaxError).message).toMatch(/both train|uses DoRA/);
        continue;
      }
      together++;
      const { model: merged, report } = await lora.merge({ untie: true });
      expect(report.worst.ratio).toBeLessThanOrEqual(1);
      const [z, m] = [lora.model, merged].map(async (one) => noGrad(() => one.forward(ids)).data());
      expectClose(await m!, await z!, 2 ** -40, other);
      lora.detach();
    }
    expect(together).toBeGreaterThan(variant === 'DoRA' ? -1 : kinds.length / 2); // where DoRA is, nothing else is
    expect(await modelHashes(model)).toEqual(bits);
  }); // prettier-ignore
});

describe('P52: what merging gives is its own', () => {
  it.each(variantNames)('%s: neither training the adapter further nor freeing it changes the merged model', async (variant) => {
    const { cpu } = await import('@bax/cpu');
    const backend = cpu();
    const model = tinyGpt2({ backend });
    const lora = new LoraModel(model);
    const adapter = await adapterLike(model, variant);
    lora.add('a', adapter);
    lora.add('b', await adapterLike(model, 'slices of a layer')); // not active: its layers are plain in what is merged
    lora.activate('a');
    const { model: merged, dispose } = await lora.merge({ untie: true });
    expect([...merged.namedParameters()].filter(([, t]) => t.requiresGrad).map(([path]) => path)).toEqual([]);
    const [bits, own] = [await modelHashes(merged), await hashes(adapter.tensors())];
    const ids = tokens(backend, [1, 4]);
    const z = await noGrad(() => merged.forward(ids)).data();
    shake(adapter.parameters(), 99);
    expect(await modelHashes(merged)).toEqual(bits);
    const trained = await hashes(adapter.tensors());
    expect(trained).not.toEqual(own);
    adapter.dispose();
    assertSameBits(await noGrad(() => merged.forward(ids)).data(), z, 'logits');
    dispose();
    await noGrad(() => model.forward(ids)).data();
  }); // prettier-ignore
});
