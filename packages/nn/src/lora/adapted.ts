/** What a linear layer and an embedding with adapters have in common. */
import { add, mul, replaceSlices, reshape, type Tensor, within } from '@bax/core';
import { Module, type Context } from '../module.ts';
import type { LoraBranch } from './branch.ts';
import { type Active, type Adaptable, changedRows } from './changed-rows.ts';
import { doraFactor } from './dora.ts';
import { byAdapter, checkBatch, checkRows, type MixedAdapter } from './mixed-batch.ts';

/** What all adapted layers of a model share; the model's handle changes it. */
export interface AdapterState {
  enabled: boolean;
  /** The active adapters and the weight of each, in the order in which they were activated. */
  active: ReadonlyMap<string, number>;
  /** Every adapter by name. */
  adapters: ReadonlyMap<string, MixedAdapter>;
}

/** A frozen layer with the branches of some adapters beside it. */
export abstract class AdaptedLayer<Base extends Adaptable> extends Module {
  readonly base: Base;
  /** Of all adapters that have one here, in the outputs' order. */
  branches: readonly LoraBranch[];
  readonly state: AdapterState;

  constructor(base: Base, branches: readonly LoraBranch[], state: AdapterState) {
    super();
    this.base = base;
    this.branches = [...branches].sort((a, b) => a.start - b.start);
    this.state = state;
  }

  get inFeatures(): number {
    return this.base.inFeatures;
  }
  get outFeatures(): number {
    return this.base.outFeatures;
  }
  override children(): [name: string, child: Module][] {
    const named = this.branches.map((b): [string, Module] => {
      const name = b.slice?.name ?? 'lora';
      return [b.adapter === 'default' ? name : `${b.adapter}.${name}`, b];
    });
    return [['base', this.base], ...named];
  }

  /** x → y with the active adapters, or each row of the batch with its own where the context says so. */
  forward(x: Tensor, context: Context = {}): Tensor {
    const { enabled } = this.state;
    if (enabled && context.adapters) return this.mixed(x, context.adapters, context);
    const active = enabled ? this.active() : [];
    if (active.length === 0) return this.base.forward(x); // the base's very bits
    return within(this.path, () =>
      active.some(({ branch }) => branch.magnitude)
        ? this.withDora(x, active, context)
        : this.withLowRank(x, active, context),
    );
  }

  active(): Active[] {
    const { active } = this.state;
    return this.branches.flatMap((branch) => {
      const weight = active.get(branch.adapter);
      return weight === undefined ? [] : [{ branch, weight }];
    });
  }

  protected abstract withLowRank(x: Tensor, active: readonly Active[], context: Context): Tensor;
  protected abstract withDora(x: Tensor, active: readonly Active[], context: Context): Tensor;
  /** s B (A x) of one branch, on its outputs. */
  protected abstract lowRank(x: Tensor, active: Active, context: Context): Tensor;

  /** The base once for all rows, and each adapter's part on its own rows; rows of none keep the base's bits. */
  private mixed(x: Tensor, adapters: readonly (string | null)[], context: Context): Tensor {
    const y = this.base.forward(x);
    return within(this.path, () => {
      checkRows(adapters, this.state);
      const own = this.branches.find((branch) => adapters.includes(branch.adapter));
      if (!own) return y;
      checkBatch(x, adapters, own.adapter);
      return byAdapter(adapters, y, x, (name, part, rows) => {
        const changes = this.branches
          .filter((branch) => branch.adapter === name)
          .map((branch) => ({
            start: branch.start,
            length: branch.length,
            change: (some: Tensor) => add(some, this.lowRank(rows, { branch, weight: 1 }, context)),
          }));
        return changes.length === 0 ? part : replaceSlices(part, -1, changes);
      });
    });
  }

  /** f = m/‖V‖ [length] of a branch with DoRA. */
  protected factor(one: Active): Tensor {
    const { start, length, magnitude } = one.branch;
    return doraFactor(magnitude!, () => changedRows(this.base, [one], start, start + length));
  }

  /** The layer's matrix with the active adapters in it, [out, in]; rows of no branch keep W's bits. */
  mergedMatrix(): Tensor {
    const changes = this.segments().map(({ start, end, active }) => ({
      start,
      length: end - start,
      change: () => {
        const rows = changedRows(this.base, active, start, end);
        const [one] = active;
        return one!.branch.magnitude ? mul(rows, reshape(this.factor(one!), [end - start, 1])) : rows;
      },
    }));
    return replaceSlices(this.base.matrix, 0, changes);
  }

  /** The outputs cut where an active branch begins or ends: which of them change each part. Untouched parts are left out. */
  segments(): { start: number; end: number; active: Active[] }[] {
    const all = this.active();
    const edges = [...new Set(all.flatMap(({ branch: { start, length } }) => [start, start + length]))];
    edges.sort((a, b) => a - b);
    return edges.slice(1).flatMap((end, i) => {
      const start = edges[i]!;
      const active = all.filter(({ branch: b }) => b.start <= start && end <= b.start + b.length);
      return active.length > 0 ? [{ start, end, active }] : [];
    });
  }
}
