/**
 * The tape: what was called, with what, to give what. It is generic in T, the tensor, since a tensor points to the call
 * that made it and knows nothing of ops.
 */

import type { View } from './backend.ts';

/** What a gradient rule sees of the call it differentiates. */
export interface Cotangent<T, A> {
  /** ∂loss/∂y for the first output. */
  readonly g: T;
  readonly x: readonly T[];
  readonly y: T;
  readonly ys: readonly T[];
  readonly attrs: A;
  /** The input whose gradient is wanted. */
  readonly index: number;
  /** Computed once for all inputs of the call, and only if a rule asks. */
  readonly shared: <S>(make: () => S) => S;
}

/** ∂loss/∂x[index], of any shape that broadcasting x gives (it is summed back in `grad`); undefined is an exact zero. */
export type Vjp<T, A> = { rule(c: Cotangent<T, A>): T | undefined }['rule'];

/** The part of an op that the backward walk needs. */
export interface Differentiable<T> {
  readonly name: string;
  readonly vjp?: readonly Vjp<T, unknown>[] | Vjp<T, unknown>;
  readonly window?: boolean;
  view?(x: View, attrs: unknown): View;
}

/** The tape is made of these: data, so that it can be printed, counted and replayed without knowing any op. */
export interface TapeRecord<T> {
  readonly id: number;
  readonly op: Differentiable<T>;
  readonly inputs: readonly T[];
  readonly outputs: readonly T[];
  /** The calls that made the inputs. */
  readonly sources: readonly (TapeRecord<T> | undefined)[];
  /** Of the memories of inputs and outputs, as they were. */
  readonly versions: readonly number[];
  readonly attrs: unknown;
  readonly path: string;
  /** `grad` went through it and freed what it needed. */
  consumed: boolean;
}

/** The records on which a tensor depends, in the order in which they were made. */
export function tapeOf<T>(loss: { readonly record: TapeRecord<T> | undefined }): TapeRecord<T>[] {
  const reached = new Set<TapeRecord<T>>();
  const stack = loss.record ? [loss.record] : [];
  for (let record = stack.pop(); record; record = stack.pop()) {
    if (reached.has(record)) continue;
    reached.add(record);
    for (const source of record.sources) if (source) stack.push(source);
  }
  return [...reached].sort((a, b) => a.id - b.id);
}
