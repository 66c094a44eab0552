import type { Backend, BufferRef, View } from './backend.ts';
import type { DType } from './dtype.ts';
import { BaxError, currentPath } from './errors.ts';
import { input, scalarFn } from './expr.ts';
import { versionOf } from './memory.ts';
import { composite } from './scope.ts';
import { rowMajor, type Shape } from './shape.ts';
import type * as tape from './tape.ts';
import { alias, empty, type Tensor } from './tensor.ts';

/** What a result will be. */
export interface Spec {
  readonly shape: Shape;
  readonly dtype: DType;
}

export type Cotangent<A> = tape.Cotangent<Tensor, A>;
export type Vjp<A> = tape.Vjp<Tensor, A>;
export type TapeRecord = tape.TapeRecord<Tensor>;

/** How the law tests draw valid calls; see `domain` below. */
export interface Draw {
  integer(min: number, max: number): number;
  pick<T>(list: readonly T[]): T;
  /** `rank` axes (default 0 to 4) of lengths 1 to 7, small in total. */
  shape(rank?: readonly [min: number, max: number]): number[];
}
export interface Sample<A> {
  readonly inputs: readonly {
    readonly shape: Shape;
    /** Default float. `i32` inputs are never differentiated. */
    readonly dtype?: 'float' | 'i32';
    /** Default [-2, 2]. Integers lie in [min, max]. */
    readonly range?: readonly [min: number, max: number];
    /** The values themselves, where not all that lie in a range are valid. */
    readonly values?: readonly number[];
  }[];
  readonly attrs: A;
}

/**
 * An operation: exactly one of a `view` (strides only), a backend call (`run`), or a composition of other ops. A new
 * op is one such literal; nothing else in core knows its name.
 */
export interface Op<A = unknown> {
  readonly name: string;
  /** Valid calls for the law tests to draw. An op without one is a red test. */
  domain(draw: Draw): Sample<A>;
  /** Checks the call and says what comes out; the messages of a user's mistakes are made here. */
  out(inputs: readonly Tensor[], attrs: A): readonly Spec[];
  view?(x: View, attrs: A): View;
  run?(backend: Backend, inputs: readonly View[], outputs: readonly View[], attrs: A): void;
  compose?(inputs: readonly Tensor[], attrs: A): Tensor | readonly Tensor[];
  /** One rule per input, or one for all. A composition without rules is differentiated itself. */
  readonly vjp?: readonly Vjp<A>[] | Vjp<A>;
  /** The view shows part of x, each element once: the gradients of several windows on one x are written into one tensor. */
  readonly window?: boolean;
  /** No output depends smoothly on an input (comparisons, argmax). */
  readonly discrete?: boolean;
  /** The inputs that `run` and the fused kernel read in any storage, as map, matmul and gather do. Others come wide. */
  readonly widens?: 'all' | readonly number[];
  /** The backend's optional kernel that equals the composition, or the calls of `run`. */
  readonly fused?: string;
}

export const defineOp = <A>(op: Op<A>): Op<A> => op;

let recording = true;
let nextId = 0;

/** Runs `f` without recording: nothing inside can be differentiated. `f` is synchronous. */
export function noGrad<T>(f: () => T): T {
  const before = recording;
  recording = false;
  try {
    const result = f();
    if (typeof (result as { then?: unknown } | undefined)?.then === 'function')
      throw new BaxError('noGrad: the callback is synchronous; use noGrad around each synchronous part');
    return result;
  } finally {
    recording = before;
  }
}
export const isRecording = (): boolean => recording;

export type Observer = (
  op: string,
  inputs: readonly Tensor[],
  outputs: readonly Tensor[],
  path: string,
) => void;
let observer: Observer | undefined;
/** Calls `see` for every op that reaches a device while `f` runs: the list of ops that ran, for proofs and profiles. */
export function observe<T>(see: Observer, f: () => T): T {
  const before = observer;
  observer = see;
  try {
    return f();
  } finally {
    observer = before;
  }
}

/** The first output of `applyAll`. */
export const apply = <A>(op: Op<A>, inputs: readonly Tensor[], attrs: A): Tensor =>
  applyAll(op, inputs, attrs)[0]!;

/** The one door to the device: checks the call, runs it as a view, a kernel or a composition, and records it if needed. */
export function applyAll<A>(op: Op<A>, inputs: readonly Tensor[], attrs: A): readonly Tensor[] {
  const backend = inputs[0]!.check(op.name).backend;
  for (const x of inputs)
    if (x.check(op.name).backend !== backend)
      throw new BaxError(
        `${op.name}: inputs live on different backends, ${backend.name} and ${x.backend.name}; move one with to()`,
      );
  const specs = op.out(inputs, attrs);
  const tracked = recording && !op.discrete && inputs.some((x) => x.tracked);
  const allocate = (): Tensor[] => specs.map((s) => empty(s.shape, s.dtype, backend));
  let outputs: readonly Tensor[];
  backend.label?.(op.name, currentPath());
  if (op.view) outputs = [alias(inputs[0]!, op.view(inputs[0]!.view, attrs))];
  else if (op.run) {
    outputs =
      fusedOutputs(op, inputs, attrs, backend, allocate) ?? ran(op, inputs, attrs, backend, allocate());
  } else {
    if (tracked && !op.vjp) return composite(() => toList(op.compose!(inputs, attrs)));
    outputs = fusedOutputs(op, inputs, attrs, backend, allocate) ?? composed(op, inputs, attrs);
  }
  if (tracked) {
    const all = [...inputs, ...outputs];
    const versions = all.map((t) => versionOf(t.hold.memory));
    const sources = inputs.map((x) => x.record);
    const record: TapeRecord = {
      id: nextId++,
      op,
      inputs,
      outputs,
      sources,
      versions,
      attrs,
      path: currentPath(),
      consumed: false,
    };
    for (const t of all) t.taped = true;
    for (const y of outputs) y.record = record;
  }
  return outputs;
}

const toList = (y: Tensor | readonly Tensor[]): readonly Tensor[] => (Array.isArray(y) ? y : [y as Tensor]);

function ran<A>(
  op: Op<A>,
  inputs: readonly Tensor[],
  attrs: A,
  backend: Backend,
  outputs: readonly Tensor[],
): readonly Tensor[] {
  withWide(op, inputs, backend, (views) => op.run!(backend, views, outputs.map((y) => y.view), attrs)); // prettier-ignore
  observer?.(op.name, inputs, outputs, currentPath());
  return outputs;
}

function composed<A>(op: Op<A>, inputs: readonly Tensor[], attrs: A): readonly Tensor[] {
  return composite(() =>
    noGrad(() =>
      toList(op.compose!(inputs, attrs)).map((y) => (inputs.includes(y) || y.kept ? alias(y) : y)),
    ),
  );
}

function fusedOutputs<A>(
  op: Op<A>,
  inputs: readonly Tensor[],
  attrs: A,
  backend: Backend,
  allocate: () => Tensor[],
): Tensor[] | undefined {
  const kernel = op.fused === undefined ? undefined : backend.fused?.[op.fused];
  if (!kernel) return undefined;
  const outputs = allocate();
  if (withWide(op, inputs, backend, (views) => kernel(views, outputs.map((y) => y.view), attrs))) {
    observer?.(op.name, inputs, outputs, currentPath());
    return outputs;
  } // prettier-ignore
  for (const y of outputs) y.dispose();
  return undefined;
}

/** `f` of the inputs' views, those that the op does not widen itself replaced by wide copies until it returns. */
function withWide<A, T>(
  op: Op<A>,
  inputs: readonly Tensor[],
  backend: Backend,
  f: (views: readonly View[]) => T,
): T {
  const copies: BufferRef[] = [];
  const wide = ({ view, shape, size, dtype, storage }: Tensor, i: number): View => {
    if (storage === dtype || op.widens === 'all' || op.widens?.includes(i)) return view;
    const buffer = backend.alloc(size, dtype);
    copies.push(buffer);
    const copy = { buffer, shape, strides: rowMajor(shape), offset: 0 };
    if (size > 0) backend.map(scalarFn(dtype, 1, 0, [input(0)]), [view], [copy], []);
    return copy;
  };
  try {
    return f(inputs.map(wide));
  } finally {
    for (const buffer of copies) backend.free(buffer);
  }
}
