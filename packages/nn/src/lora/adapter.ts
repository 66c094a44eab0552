import { BaxError, copy, keep, key as keyOf, type Key, noGrad, scope, type Tensor } from '@bax/core';
import { breather } from '../breath.ts';
import { type BranchParts, LoraBranch } from './branch.ts';
import { changedRows } from './changed-rows.ts';
import type { LoraConfig } from './config.ts';
import { rowNorms } from './dora.ts';
import { initialFactors } from './init.ts';
import type { LoraPlan, LoraPlanEntry } from './plan.ts';

/** What was, or will be, learned beside a base model: data that can be added to it, saved, combined. */
export class Adapter {
  readonly config: Required<LoraConfig>;
  /** By target: a layer's path, with the slice's name behind it if there is one. */
  readonly branches: ReadonlyMap<string, LoraBranch>;
  /** Parameters that it trains whole, in place of the base's at the same paths. */
  readonly full: ReadonlyMap<string, Tensor>;

  constructor(
    config: Required<LoraConfig>,
    branches: readonly LoraBranch[],
    full: ReadonlyMap<string, Tensor> = new Map(),
  ) {
    this.config = config;
    this.branches = new Map(branches.map((b) => [b.target, b]));
    this.full = full;
    for (const t of this.parameters().values()) t.requiresGrad = true; // and nothing else has it: W is frozen since nobody asks for its gradient
  }

  /** Every tensor of it by path, those that are never trained among them. */
  tensors(): Map<string, Tensor> {
    const named = new Map(this.full);
    for (const branch of this.branches.values())
      for (const [name, t] of branch.tensors()) named.set(`${pathOf(branch)}.${name}`, t);
    return named;
  }

  /** What is trained, by path, and nothing else: what an optimiser should be given. */
  parameters(): Map<string, Tensor> {
    const trained = new Map(this.full);
    for (const branch of this.branches.values())
      for (const [name, t] of branch.tensors())
        if (name === 'B' || name === 'magnitude' || (name === 'A' && !this.config.freezeA))
          trained.set(`${pathOf(branch)}.${name}`, t);
    return trained;
  }

  /** Numbers in it, those that are never trained left out. */
  get parameterCount(): number {
    return [...this.parameters().values()].reduce((n, t) => n + t.size, 0);
  }
  /** Bytes of all its tensors. */
  get bytes(): number {
    return [...this.tensors().values()].reduce((n, t) => n + t.bytes, 0);
  }

  /** The same in tensors of its own: as it is now, whatever is done to it later. */
  copy(): Adapter {
    const own = (t: Tensor): Tensor => keep(noGrad(() => copy(t)));
    const branches = [...this.branches.values()].map((branch) => {
      const { A, B, magnitude, A0, B0 } = branch;
      const taken = A0 && B0 && { A: own(A0), B: own(B0) };
      return new LoraBranch({ A: own(A), B: own(B), magnitude: magnitude && own(magnitude), taken }, branch);
    });
    return new Adapter(this.config, branches, new Map([...this.full].map(([path, t]) => [path, own(t)])));
  }

  /** Frees its tensors. */
  dispose(reason = 'when its adapter was disposed of'): void {
    for (const t of this.tensors().values()) t.dispose(reason);
  }
}

/** Where a branch is in a tree: below its layer. */
const pathOf = ({ place: { modulePath, slice } }: LoraBranch): string =>
  `${modulePath}.${slice?.name ?? 'lora'}`;

/** Where an adapter's tensors come from: a file, or a test. What it leaves out begins as in a new one. */
export interface AdapterSource {
  factors(entry: LoraPlanEntry): BranchParts;
  /** Of a parameter that is trained whole, at its path. */
  full?(path: string, base: Tensor): Tensor;
}

const tensorsIn = ({ A, B, magnitude, taken }: BranchParts): Tensor[] =>
  [A, B, magnitude, taken?.A, taken?.B].filter((t) => t !== undefined);

/** Makes an adapter of a plan. If a source throws, what was made is freed. */
export function adapterFrom(plan: LoraPlan, source: AdapterSource): Adapter {
  const { rslora, dropout, dora } = plan.config;
  const made: Tensor[] = [];
  const own = (t: Tensor): Tensor => {
    made.push(t);
    return t;
  };
  try {
    const branches = plan.entries.map((entry) => {
      const parts = source.factors(entry);
      for (const t of tensorsIn(parts)) own(t);
      const { alpha, modulePath, slice } = entry;
      const settings = { alpha, rslora, dropout, place: { modulePath, slice } };
      const branch = new LoraBranch(parts, settings);
      if (!dora || branch.magnitude) return branch;
      return new LoraBranch({ ...parts, magnitude: own(startLengths(entry, branch)) }, settings);
    });
    const full = new Map<string, Tensor>();
    for (const [path, base] of plan.full)
      full.set(path, own(source.full?.(path, base) ?? keep(noGrad(() => copy(base)))));
    return new Adapter(plan.config, branches, full);
  } catch (error) {
    for (const t of made) t.dispose();
    throw error;
  }
}

/** DoRA's m at its start: the lengths of the rows as they are. */
const startLengths = ({ layer }: LoraPlanEntry, branch: LoraBranch): Tensor => {
  const { start, length } = branch;
  return keep(
    scope(() => noGrad(() => rowNorms(changedRows(layer, [{ branch, weight: 1 }], start, start + length)))),
  );
};

export interface RandomStart {
  /** A random key, or a seed. */
  readonly key: Key | number;
}

/** A new adapter: see `LoraInit` for how A and B start; each target has a random stream of its own. */
export async function createAdapter(plan: LoraPlan, options: RandomStart): Promise<Adapter> {
  const given = (options as Partial<RandomStart> | undefined)?.key;
  if (typeof given !== 'number' && !(given instanceof Uint32Array))
    throw new BaxError(`createAdapter: key is ${String(given)}; A starts random: give { key: 1 }, or any other seed`); // prettier-ignore
  const root = typeof given === 'number' ? keyOf(given) : given;
  const breathe = breather();
  const parts = new Map<string, BranchParts>();
  try {
    for (const entry of plan.entries) {
      parts.set(entry.path, await initialFactors(entry, plan.config, root));
      await breathe();
    }
  } catch (error) {
    for (const made of parts.values()) for (const t of tensorsIn(made)) t.dispose();
    throw error; // a weight that is not finite has no singular values
  }
  return adapterFrom(plan, { factors: ({ path }) => parts.get(path)! });
}
