/** What the page asks of that which was learned. */
import type { Amplification, Spectrum } from 'bax';
import type { Numbers } from './tasks.ts';

/** ΔW of one matrix, by one learner. */
export interface Change {
  readonly delta: Numbers;
  /** `values` are all singular values that a matrix of this shape has. */
  readonly spectrum: Omit<Spectrum, 'toString'>;
}
/** φ(i, j) of the first i directions of one adapter and the first j of the other; NaN where they are not determined. */
export interface Similarity {
  readonly phi: Numbers;
  /** What random matrices would share. */
  readonly random: Numbers;
}
export interface Named {
  readonly r: number;
  readonly seed: number;
}
export interface Learned {
  readonly path: string;
  /** Of all matrices that have an adapter. */
  readonly paths: readonly string[];
  readonly lora: Change & Named;
  /** Where all weights learn beside it. */
  readonly full: Change | undefined;
  /** Table 7: of LoRA, and of the other adapter if there is one. */
  readonly amplifications: readonly Omit<Amplification, 'toString'>[];
  /** Of the directions of A, as the paper has it, and of those of ΔW. */
  readonly other: (Named & Readonly<Record<'A' | 'delta', Similarity>>) | undefined;
}
/** One line of the table of all matrices. */
export interface Everywhere extends Pick<Amplification, 'weight' | 'delta' | 'factor'> {
  readonly path: string;
  readonly effectiveRank: number | undefined;
}
export interface Progress {
  readonly done: number;
  readonly total: number;
}

export interface LearnedTasks {
  /** Of the matrix at `path`, or of the first one if it has no adapter. */
  learned: { give: { path: string }; told: never; result: Learned };
  everywhere: { give: undefined; told: Progress; result: readonly Everywhere[] };
  /** Trains another adapter on the same batches, in as many steps; it is there until LoRA learns on. */
  other: { give: Named; told: Progress; result: { readonly isDone: boolean } };
}
