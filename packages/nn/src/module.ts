import { BaxError, cast, copy, isTensor, keep, noGrad, type DType, type Key, type Tensor } from '@bax/core';

/** What a forward pass may depend on beside its input. There is no training mode: dropout acts where a key is given. */
export interface Context {
  /** The random key of this step; each module folds its own path into it. */
  readonly key?: Key | undefined;
  /**
   * The adapter of each row of the batch (axis 0), null for the base alone. Without it every row goes through the active
   * adapters.
   */
  readonly adapters?: readonly (string | null)[] | undefined;
}

/**
 * A layer or a model: a tree whose leaves are tensors. Its parameters are its properties that are tensors, its
 * children those that are modules or arrays of modules, and a path is the names on the way: `transformer.h.0.ln_1`.
 * Property names are Hugging Face's, so that paths are too.
 */
export abstract class Module {
  /** The path in the tree whose root was named last; empty for the root. */
  path = '';
  /** Parameters that are one tensor under two names, e.g. `{ 'lm_head.weight': 'transformer.wte.weight' }`. */
  tied: Readonly<Record<string, string>> = {};

  /** Direct children by name. */
  children(): [name: string, child: Module][] {
    return Object.entries(this).flatMap(([name, value]): [string, Module][] => {
      if (value instanceof Module) return [[name, value]];
      if (Array.isArray(value) && value.every((v) => v instanceof Module))
        return value.map((v, i) => [`${name}.${i}`, v]);
      return [];
    });
  }

  /** Every module of the tree by path, this one first. Sets each one's `path`, unless this is a part of a tree with names. */
  namedModules(): Map<string, Module> {
    const found = new Map<string, Module>();
    const isRoot = this.path === '';
    const visit = (module: Module, path: string): void => {
      if (isRoot) module.path = path;
      found.set(path, module);
      for (const [name, child] of module.children()) visit(child, path === '' ? name : `${path}.${name}`);
    };
    visit(this, '');
    return found;
  }

  /** Every parameter of the tree by path. A tied one is listed once, under its own name. */
  namedParameters(): Map<string, Tensor> {
    const found = new Map<string, Tensor>();
    const seen = new Set<Tensor>(); // a tied weight that has an adapter is no longer at the path that `tied` names
    for (const [path, module] of this.namedModules())
      for (const [name, value] of Object.entries(module)) {
        const full = path === '' ? name : `${path}.${name}`;
        if (!isTensor(value) || Object.hasOwn(this.tied, full) || seen.has(value)) continue;
        found.set(full, value);
        seen.add(value);
      }
    return found;
  }

  parameters(): Tensor[] {
    return [...this.namedParameters().values()];
  }

  /** The number of parameters, tied ones counted once. */
  get parameterCount(): number {
    return this.parameters().reduce((n, p) => n + p.size, 0);
  }

  /** Bytes that its parameters take as they are held, tied ones counted once. */
  get parameterBytes(): number {
    return this.parameters().reduce((n, p) => n + p.bytes, 0);
  }

  /** The module at `path`. @throws if there is none, naming what is there. */
  module(path: string): Module {
    const found = this.namedModules();
    const module = found.get(path);
    if (!module)
      throw new BaxError(
        `module: there is no '${path}'; the tree has ${[...found.keys()].slice(1, 9).join(', ')}${found.size > 9 ? ', …' : ''}`,
      );
    return module;
  }

  /** Frees every parameter, those too that it shares with a model it was made from; see `Merged.dispose`. */
  dispose(): void {
    for (const p of this.parameters()) p.dispose();
  }
}

/** Puts a module or a tensor at a path of the tree, in place of what is there. */
export function put(root: Module, path: string, value: Module | Tensor): void {
  const names = path.split('.');
  const last = names.pop()!;
  const owner = names.reduce((at: object, name) => (at as Record<string, object>)[name]!, root);
  Object.assign(owner, { [last]: value });
}

/** What `transform` puts in place of a module or a tensor; undefined leaves it. */
export interface Replacement {
  module?(module: Module, path: string): Module | undefined;
  tensor?(tensor: Tensor, path: string): Tensor | undefined;
}

/**
 * A copy of the tree with some parts replaced. The tree given is not touched, and the copy shares with it every tensor
 * that is not replaced. This is how adapters are attached, merged and detached: by building another tree.
 */
export function transform<M extends Module>(root: M, replace: Replacement): M {
  const tensors = new Map<Tensor, Tensor>(); // a tied tensor stays one tensor
  const visit = (module: Module, path: string): Module => {
    const replaced = replace.module?.(module, path);
    if (replaced) return replaced;
    const copy = Object.create(Object.getPrototypeOf(module) as object) as Module;
    for (const [name, value] of Object.entries(module))
      Object.assign(copy, { [name]: convert(value, path === '' ? name : `${path}.${name}`) });
    return copy;
  };
  const convert = (value: unknown, path: string): unknown => {
    if (value instanceof Module) return visit(value, path);
    if (Array.isArray(value) && value.every((v) => v instanceof Module))
      return value.map((v, i) => visit(v, `${path}.${i}`));
    if (!isTensor(value)) return value;
    if (!tensors.has(value)) tensors.set(value, replace.tensor?.(value, path) ?? value);
    return tensors.get(value);
  };
  const copy = visit(root, '') as M;
  copy.path = ''; // a root of its own, even if it is the copy of a part
  copy.namedModules();
  return copy;
}

/**
 * A copy of the model with its floating-point parameters in `dtype`, in memory of its own and wide, however they were held;
 * f64 is for checking gradients.
 */
export const castModule = <M extends Module>(root: M, dtype: DType): M =>
  transform(root, {
    tensor(t) {
      const own = keep(noGrad(() => (t.dtype === dtype || t.dtype === 'i32' ? copy(t) : cast(t, dtype))));
      own.requiresGrad = t.requiresGrad;
      return own;
    },
  });
