import { BaxError, type Tensor } from '@bax/core';
import { Embedding } from '../layers/embedding.ts';
import { type Module, put, transform } from '../module.ts';
import type { AdapterState } from './adapted.ts';
import type { Adapter } from './adapter.ts';
import { checkActive } from './check-active.ts';
import { checkFits } from './check-fits.ts';
import type { Adaptable } from './changed-rows.ts';
import { parametersAt } from './full.ts';
import { LoraEmbedding } from './lora-embedding.ts';
import { LoraLinear } from './lora-linear.ts';
import { mergeLora, type Merged, type MergeOptions } from './merge.ts';
import { wantBase } from './want-base.ts';

export type AdaptedLayers = ReadonlyMap<string, LoraLinear | LoraEmbedding>;

/** A model with adapters. The base it was made of is never changed, by anything. */
export class LoraModel<M extends Module> {
  /** The model with its active adapters: use it like the base. */
  readonly model: M;
  /** The model it was made of, untouched. */
  readonly base: M;
  #layers = new Map<string, LoraLinear | LoraEmbedding>();
  /** Where the model has a parameter of some adapter in place of the base's. */
  #replaced = new Set<string>();
  readonly #state: AdapterState & { adapters: ReadonlyMap<string, Adapter> } = {
    enabled: true,
    active: new Map(),
    adapters: new Map(),
  };

  /** @throws if the model has adapters already, or is no more than a layer. */
  constructor(base: M) {
    wantBase('attachLora', base);
    this.base = base;
    this.model = transform(base, {});
  }

  get adapters(): ReadonlyMap<string, Adapter> {
    return this.#state.adapters;
  }
  /** The layers that some adapter changes, by path, in the model's order. */
  get layers(): AdaptedLayers {
    return this.#layers;
  }
  /** The active adapters and the weight of each. */
  get active(): ReadonlyMap<string, number> {
    return this.#state.active;
  }
  /** While disabled, the model computes the base's bits. */
  get enabled(): boolean {
    return this.#state.enabled;
  }
  enable(): void {
    this.#state.enabled = true;
    this.#putFull();
  }
  disable(): void {
    this.#state.enabled = false;
    this.#putFull();
  }

  /** The adapter of that name; without one, the only adapter. @throws if there is none such. */
  adapter(name?: string): Adapter {
    if (name === undefined && this.adapters.size === 1) return [...this.adapters.values()][0]!;
    const found = name === undefined ? undefined : this.adapters.get(name);
    if (found) return found;
    const names = [...this.adapters.keys()].join(', ') || 'none';
    throw new BaxError(
      name === undefined
        ? `lora: the model has ${this.adapters.size} adapters (${names}); say which`
        : `lora: there is no adapter '${name}'; there are ${names}`,
    );
  }

  /** What the active adapters train, by path (`<adapter>/<path>` if there are several), and nothing else: what an optimiser should be given. */
  parameters(): Map<string, Tensor> {
    const names = [...this.active.keys()];
    if (names.length === 1) return this.adapter(names[0]).parameters();
    return new Map(
      names.flatMap((name) =>
        [...this.adapter(name).parameters()].map(([path, t]): [string, Tensor] => [`${name}/${path}`, t]),
      ),
    );
  }

  /**
   * Adds an adapter, which is not active yet.
   * @throws if the name is taken or not made of letters, digits, _ and -, or the adapter does not fit the base; then nothing was changed.
   */
  add(name: string, adapter: Adapter): void {
    if (!/^[\w-]+$/.test(name))
      throw new BaxError(`add: '${name}' is not a name for an adapter: use letters, digits, _ and -`);
    if (this.adapters.has(name))
      throw new BaxError(`add: there is an adapter '${name}' already; swap() puts another in its place`);
    checkFits('add', name, adapter, this.base);
    this.#set(new Map(this.adapters).set(name, adapter), this.active);
  }

  /** Takes an adapter out of the model and gives it back; its tensors are not freed. @throws if there is none of that name. */
  remove(name: string): Adapter {
    const adapter = this.adapter(name);
    const without = <T>(map: ReadonlyMap<string, T>): Map<string, T> =>
      new Map([...map].filter(([other]) => other !== name));
    this.#set(without(this.adapters), without(this.active));
    return adapter;
  }

  /**
   * Puts another adapter in the place of one, of whatever rank and targets, and gives the old one back, not freed. The
   * base is not touched, and a GPU compiles nothing anew.
   * @throws if it does not fit the base or beside the other active ones; then nothing was changed.
   */
  swap(name: string, adapter: Adapter): Adapter {
    const old = this.adapter(name);
    checkFits('swap', name, adapter, this.base);
    this.#set(new Map(this.adapters).set(name, adapter), this.active);
    return old;
  }

  /**
   * Activates these adapters and no others: a name, some names, or names with weights, `{ poet: 0.5, pirate: -1 }`. The
   * model then computes W + Σ w s B A. An empty list gives the base.
   * @throws if there is none of a name, one is named twice, a weight is not finite, or some cannot act together; then
   * nothing was changed.
   */
  activate(which: string | readonly string[] | Readonly<Record<string, number>>): void {
    const weights: readonly (readonly [string, number])[] =
      typeof which === 'string'
        ? [[which, 1]]
        : Array.isArray(which)
          ? (which as readonly string[]).map((name) => [name, 1] as const)
          : Object.entries(which as Readonly<Record<string, number>>);
    const active = new Map(weights);
    const twice = weights.find(([name], i) => weights.findIndex(([other]) => other === name) < i);
    if (twice)
      throw new BaxError(
        `activate: '${twice[0]}' is named twice; for twice its change give it that weight: { '${twice[0]}': 2 }`,
      );
    this.#set(this.adapters, active);
  }

  /** Sets the weight of an active adapter: 0 none, 1 as trained. Kept when merging; not saved. @throws as `activate` does. */
  scale(weight: number, name: string = [...this.active.keys()].join()): void {
    if (!this.active.has(name))
      throw new BaxError(
        `scale: '${name}' is not one active adapter; active are ${[...this.active.keys()].join(', ') || 'none'}`,
      );
    this.#set(this.adapters, new Map(this.active).set(name, weight));
  }

  /**
   * A new, plain model with the active adapters in its weights, as they are at the call, and a report of how exact it is. Must
   * be used: nothing else changes.
   */
  async merge(options?: MergeOptions): Promise<Merged<M>> {
    return mergeLora(this.#snapshot(), options);
  }

  /** The same base with copies of the active adapters. */
  #snapshot(): LoraModel<M> {
    const lora = new LoraModel(this.base);
    const active = [...this.adapters].filter(([name]) => this.active.has(name));
    lora.#set(new Map(active.map(([name, adapter]) => [name, adapter.copy()])), this.active);
    if (!this.enabled) lora.disable();
    return lora;
  }

  /** Frees all adapters and gives back the base. */
  detach(): M {
    for (const adapter of this.adapters.values()) adapter.dispose('when its adapter was detached');
    return this.base;
  }

  /** Takes these adapters, active with these weights; the one place that changes either. */
  #set(adapters: ReadonlyMap<string, Adapter>, active: ReadonlyMap<string, number>): void {
    checkActive(adapters, active);
    const others = adapters !== this.adapters;
    this.#state.active = active;
    this.#state.adapters = adapters;
    if (others) this.#putLayers();
    this.#putFull();
  }

  /** Makes the tree that the adapters ask for. */
  #putLayers(): void {
    const layers = new Map<string, LoraLinear | LoraEmbedding>();
    for (const [path, module] of this.base.namedModules()) {
      const branches = [...this.adapters].flatMap(([name, { branches: all }]) =>
        [...all.values()].filter((b) => b.place.modulePath === path).map((b) => b.named(name)),
      );
      if (branches.length > 0) layers.set(path, adaptedLayer(module as Adaptable, branches, this.#state));
      else if (this.#layers.has(path)) put(this.model, path, transform(module, {}));
    }
    for (const [path, layer] of layers) put(this.model, path, layer);
    this.#layers = layers;
    this.model.path = '';
    this.model.namedModules();
  }

  /** Puts what the active adapters train whole in the place of the base's. */
  #putFull(): void {
    const own = new Map(parametersAt(this.base));
    const wanted = new Map([...this.#replaced].map((path) => [path, own.get(path)!]));
    const whole = this.enabled
      ? [...this.active.keys()].flatMap((name) => [...this.adapters.get(name)!.full])
      : [];
    for (const [path, t] of whole) wanted.set(path, t);
    this.#replaced = new Set(whole.map(([path]) => path));
    for (const [path, t] of wanted) {
      const [owner, last] = [path.slice(0, path.lastIndexOf('.')), path.slice(path.lastIndexOf('.') + 1)];
      put(this.model, this.#layers.has(owner) ? `${owner}.base.${last}` : path, t);
    }
    const apart = ([name, other]: [string, string]): boolean =>
      this.#replaced.has(name) || this.#replaced.has(other);
    this.model.tied = Object.fromEntries(Object.entries(this.base.tied).filter((pair) => !apart(pair)));
  }
}

function adaptedLayer(
  module: Adaptable,
  branches: LoraBranches,
  state: AdapterState,
): LoraLinear | LoraEmbedding {
  const own = transform(module, {}); // a copy: its path will be another
  return own instanceof Embedding
    ? new LoraEmbedding(own, branches, state)
    : new LoraLinear(own, branches, state);
}
type LoraBranches = ConstructorParameters<typeof LoraLinear>[1];
