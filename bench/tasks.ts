/** What everyone in a race is asked to do: the same numbers, the same model, the same batch. */
import type { ADAMW, Batch, GptSize } from './gpt.ts';

/**
 * [...batch, m, k] · [...batch, k, n], the same numbers for everyone. Factors are where the product is made and the
 * result stays there.
 */
export interface Product {
  readonly name: string;
  readonly a: Factor;
  readonly b: Factor;
  /** b lies as [n, k], as the weight of a linear layer does. Matrices only. */
  readonly bTransposed: boolean;
  /** b never changes, as a frozen weight: who can keep it packed may. Else it is new for each product, untimed. */
  readonly bKept: boolean;
  readonly flops: number;
  /** The least time of one measurement, in which the product is repeated. */
  readonly atLeast: number;
  /** What is wrong with a result, or nothing. */
  readonly check: (result: ArrayLike<number>) => string;
}
export interface Factor {
  readonly shape: readonly number[];
  readonly data: Float32Array;
}

/** What everyone is to do. */
export interface Task {
  readonly size: GptSize;
  readonly batch: Batch;
  readonly adamW: typeof ADAMW;
  readonly layerNormEps: number;
  /** Hugging Face's names; projections are [in, out], the head is [vocab, width]. */
  readonly weights: ReadonlyMap<string, Factor>;
}

export interface Stepper {
  /** One step; the loss before it. `ms` if it was measured by the other side, in a process of its own. */
  step(): Promise<{ loss: number; ms?: number }>;
  close?(): void;
}
