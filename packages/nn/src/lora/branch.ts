import { BaxError, type LoraTerm, type Tensor } from '@bax/core';
import { dropped } from '../layers/dropped.ts';
import type { OutputSlice } from '../layers/linear.ts';
import { Module, type Context } from '../module.ts';
import { loraScale } from './config.ts';

/** Where in a model a branch belongs: a layer, or a named slice of its output. */
export interface Place {
  readonly modulePath: string;
  readonly slice: (OutputSlice & { readonly name: string }) | undefined;
}

/** What a branch is made of. */
export interface BranchParts {
  readonly A: Tensor;
  readonly B: Tensor;
  /** DoRA's lengths of the rows, [out]. */
  readonly magnitude?: Tensor | undefined;
  /** What PiSSA and OLoRA took out of W, of A's and B's shapes. */
  readonly taken?: { readonly A: Tensor; readonly B: Tensor } | undefined;
}
export interface BranchSettings {
  readonly alpha: number;
  readonly rslora?: boolean;
  readonly dropout?: number;
  readonly place: Place;
}

/** One low-rank update s B A, of the whole output of a layer or of a slice of it. */
export class LoraBranch extends Module {
  /** [r, in] */
  readonly A: Tensor;
  /** [out, r] */
  readonly B: Tensor;
  readonly magnitude: Tensor | undefined;
  /** [r, in] and [out, r], frozen: s B0 A0 is subtracted from W, whose own bits stay. */
  readonly A0: Tensor | undefined;
  readonly B0: Tensor | undefined;
  readonly alpha: number;
  readonly rslora: boolean;
  readonly dropout: number;
  readonly place: Place;
  /** The adapter it belongs to, by the name under which it was added to a model. */
  readonly adapter: string = '';

  constructor({ A, B, magnitude, taken }: BranchParts, settings: BranchSettings) {
    super();
    this.A = A;
    this.B = B;
    this.magnitude = magnitude;
    this.A0 = taken?.A;
    this.B0 = taken?.B;
    this.alpha = settings.alpha;
    this.rslora = settings.rslora ?? false;
    this.dropout = settings.dropout ?? 0;
    this.place = settings.place;
    if (A.shape[0] !== B.shape[1])
      throw new BaxError(`lora: A and B of ${this.target} have ranks ${A.shape[0]} and ${B.shape[1]}`);
  }

  /** The same tensors under an adapter's name. */
  named(adapter: string): LoraBranch {
    return Object.assign(Object.create(LoraBranch.prototype) as LoraBranch, this, { adapter });
  }

  get r(): number {
    return this.A.shape[0]!;
  }
  /** s = α/r, or α/√r. */
  get scale(): number {
    return loraScale(this.alpha, this.r, this.rslora);
  }
  get slice(): Place['slice'] {
    return this.place.slice;
  }
  /** The first output that it adds to. */
  get start(): number {
    return this.slice?.start ?? 0;
  }
  /** How many outputs it adds to. */
  get length(): number {
    return this.B.shape[0]!;
  }
  /** The path of its layer, with the slice's name behind it if there is one. */
  get target(): string {
    return targetPath(this.place);
  }

  /** Its tensors by the names that they have in a file or a checkpoint, those that are never trained last. */
  tensors(): [name: string, tensor: Tensor][] {
    const { A, B, magnitude, A0, B0 } = this;
    return Object.entries({ A, B, magnitude, A0, B0 }).flatMap(([name, t]) => (t ? [[name, t]] : []));
  }

  /** What it adds to the outputs of its layer: s B (A z), less s B0 (A0 x), for z = x after dropout. */
  terms(x: Tensor, weight: number, context: Context): LoraTerm[] {
    const { A, B, A0, B0, start } = this;
    const scale = this.scale * weight;
    const own = { z: dropped(x, this.dropout, this, context), A, B, start, scale };
    return A0 && B0 ? [own, { z: x, A: A0, B: B0, start, scale: -scale }] : [own];
  }

  /** The same as pairs of factors, without x. */
  products(weight: number): { A: Tensor; B: Tensor; scale: number }[] {
    const { A, B, A0, B0 } = this;
    const scale = this.scale * weight;
    return A0 && B0 ? [{ A, B, scale }, { A: A0, B: B0, scale: -scale }] : [{ A, B, scale }]; // prettier-ignore
  }
}

export const targetPath = ({ modulePath, slice }: Place): string =>
  slice ? `${modulePath}.${slice.name}` : modulePath;
