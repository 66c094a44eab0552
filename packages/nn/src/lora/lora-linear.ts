/** LoRA's forward pass: h = W x + b + (α/r) · B A x, with W frozen. https://arxiv.org/abs/2106.09685 eq. 3 */
import { loraLinear, replaceSlices, within, add, matmul, mul, type LoraTerm, type Tensor } from '@bax/core';
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
  /** The first output that it adds to. */
  get start(): number {
    return this.slice?.start ?? 0;
  }
}

/** A frozen linear layer with low-rank branches beside it. */
export class LoraLinear extends Module implements Projection {
  readonly base: Linear;
  /** One for the whole output, or some for slices of it, in the outputs' order. */
  readonly branches: readonly LoraBranch[];
  readonly state: AdapterState;
  slices: Readonly<Record<string, OutputSlice>>;

  constructor(base: Linear, branches: readonly LoraBranch[], state: AdapterState) {
    super();
    this.base = base;
    this.branches = [...branches].sort((a, b) => a.start - b.start);
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
    if (!this.state.enabled) return this.base.forward(x); // the base's very bits
    return within(this.path, () => {
      const terms = this.branches.map((branch): LoraTerm => {
        const { A, B, start } = branch;
        return {
          z: dropped(x, branch.dropout, branch, context),
          A,
          B,
          start,
          scale: branch.scale * this.state.strength,
        };
      });
      return loraLinear(x, this.base.matrix, this.base.bias, terms);
    });
  }

  /** W + (α/r) · B A as [out, in]; rows of no branch keep W's bits. */
  mergedMatrix(strength: number): Tensor {
    const changes = this.branches.map(({ A, B, start, scale }) => ({
      start,
      length: B.shape[0]!,
      change: (rows: Tensor) => add(rows, mul(matmul(B, A), scale * strength)),
    }));
    return replaceSlices(this.base.matrix, 0, changes);
  }
}
