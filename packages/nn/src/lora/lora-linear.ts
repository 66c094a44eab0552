/** The whole of LoRA's forward pass: h = W x + (α/r) · B A x, with W frozen. https://arxiv.org/abs/2106.09685 eq. 3 */
import { add, concat, linear, mul, slice, within, type Tensor } from '@bax/core';
import { dropped } from '../layers/dropped.ts';
import type { Linear, OutputSlice, Projection } from '../layers/linear.ts';
import { Module, type Context } from '../module.ts';
import { loraScale } from './config.ts';

/** What all branches of one adapter share; the adapter's handle changes it. */
export interface AdapterState {
  enabled: boolean;
  /** Multiplies α/r everywhere; 1 is as trained. */
  strength: number;
}

/** One low-rank update B A, of the whole output or of a slice of it. */
export class LoraBranch extends Module {
  /** [r, in], random at the start. */
  A: Tensor;
  /** [out, r], zero at the start. */
  B: Tensor;
  readonly alpha: number;
  readonly dropout: number;
  readonly slice: (OutputSlice & { readonly name: string }) | undefined;

  constructor(
    A: Tensor,
    B: Tensor,
    options: { readonly alpha: number; readonly dropout: number; readonly slice: LoraBranch['slice'] },
  ) {
    super();
    this.A = A;
    this.B = B;
    this.alpha = options.alpha;
    this.dropout = options.dropout;
    this.slice = options.slice;
  }

  get r(): number {
    return this.A.shape[0]!;
  }
  /** α/r. */
  get scale(): number {
    return loraScale(this.alpha, this.r);
  }

  /** s · B (A x) for x [..., in] → [..., out]; r numbers a row in between, never a matrix of W's size. */
  forward(x: Tensor, strength: number, context: Context): Tensor {
    const low = linear(dropped(x, this.dropout, this, context), this.A); // [..., r]
    return mul(linear(low, this.B), this.scale * strength); // [..., out]
  }
}

/** A frozen linear layer with low-rank branches beside it. */
export class LoraLinear extends Module implements Projection {
  readonly base: Linear;
  /** One for the whole output, or some for slices of it. */
  readonly branches: readonly LoraBranch[];
  readonly state: AdapterState;
  slices: Readonly<Record<string, OutputSlice>>;

  constructor(base: Linear, branches: readonly LoraBranch[], state: AdapterState) {
    super();
    this.base = base;
    this.branches = [...branches].sort((a, b) => (a.slice?.start ?? 0) - (b.slice?.start ?? 0));
    this.state = state;
    this.slices = base.slices;
  }

  get inFeatures(): number {
    return this.base.inFeatures;
  }
  get outFeatures(): number {
    return this.base.outFeatures;
  }
  override children(): [name: string, child: Module][] {
    return [['base', this.base], ...this.branches.map((b): [string, Module] => [b.slice?.name ?? 'lora', b])];
  }

  forward(x: Tensor, context: Context = {}): Tensor {
    return within(this.path, () => {
      const y = this.base.forward(x); // W x + b
      if (!this.state.enabled) return y;
      const update = (branch: LoraBranch): Tensor => branch.forward(x, this.state.strength, context);
      const [first] = this.branches;
      if (!first!.slice) return add(y, update(first!));
      return concat(
        this.parts(y, (part, branch) => add(part, update(branch)), -1),
        -1,
      );
    });
  }

  /** W + s B A as [out, in], by the same slices. */
  mergedMatrix(product: (branch: LoraBranch) => Tensor): Tensor {
    const W = this.base.matrix;
    const [first] = this.branches;
    if (!first!.slice) return add(W, product(first!));
    return concat(
      this.parts(W, (part, branch) => add(part, product(branch)), 0),
      0,
    );
  }

  /** The rows of the output in order: those of a slice changed by `change`, those between untouched to the bit. */
  private parts(y: Tensor, change: (part: Tensor, branch: LoraBranch) => Tensor, axis: number): Tensor[] {
    const parts: Tensor[] = [];
    let at = 0;
    const keepUpTo = (end: number): void => {
      if (end > at) parts.push(slice(y, axis, at, end));
      at = end;
    };
    for (const branch of this.branches) {
      const { start, length } = branch.slice!;
      keepUpTo(start);
      parts.push(change(slice(y, axis, start, start + length), branch));
      at = start + length;
    }
    keepUpTo(this.outFeatures);
    return parts;
  }
}
