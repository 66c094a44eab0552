/**
 * Fusion, for any backend: a map is held back, and if the next one reads its result, the two become one. A chain of
 * elementwise ops so makes one pass over memory, and what only the chain needed is never written. Composing expressions
 * is substitution, so the fused kernel gives the bits of its parts.
 *
 * What is fused depends on the sequence of calls alone, never on time. (A tensor that nobody disposed of is freed when it
 * is collected, which may end a chain early: the bits are the same.)
 */
import type { Backend, BufferRef, FusedKernel, RecordedCalls, View } from './backend.ts';
import * as e from './expr.ts';
import { isRecordingStep } from './recording.ts';
import { sameShape, sizeOf } from './shape.ts';

/** Beyond these a chain is cut: a kernel's arguments and registers are few. */
const MOST_INPUTS = 8;
const MOST_NODES = 96;

const sameView = (a: View, b: View): boolean =>
  a.buffer === b.buffer &&
  a.offset === b.offset &&
  sameShape(a.shape, b.shape) &&
  sameShape(a.strides, b.strides);

/** A recorded step reads these again each time: they are not to be copied into a chain. */
const heldByReference = (scalars: ArrayLike<number>): boolean =>
  isRecordingStep() && ArrayBuffer.isView(scalars) && scalars.length > 0;

/** Maps that wait to run as one. */
interface Chain {
  readonly type: e.ScalarFn['type'];
  readonly inputs: View[];
  readonly scalars: number[];
  readonly outputs: { view: View; value: e.Expr }[];
  /** The one map that it is yet, as it was called: most chains never become longer. */
  whole: Parameters<Backend['map']> | undefined;
}

/** The same backend, which runs chains of maps as one; `settle` runs the one held back. `base` must not be used beside it. */
export function fuse<B extends Backend>(base: B): B & { settle(): void } {
  let chain: Chain | undefined;

  const flush = (): void => {
    if (!chain) return;
    const { type, inputs, scalars, outputs, whole } = chain;
    chain = undefined;
    if (whole) return base.map(...whole);
    if (outputs.length === 0) return;
    // Inputs that only dropped results needed are left out.
    const used = e.inputsOf(...outputs.map(({ value }) => value));
    const renumber = (leaf: e.Expr): e.Expr =>
      leaf.kind === 'input' ? e.input(used.indexOf(leaf.index)) : leaf;
    const renumbered = outputs.map(({ value }) => e.substitute(value, renumber, { exact: true }));
    base.map(
      e.scalarFn(type, used.length, scalars.length, renumbered),
      used.map((i) => inputs[i]!),
      outputs.map(({ view }) => view),
      scalars,
    );
  };

  /** Joins a map to the chain; false if it does not read the chain's results, or cannot be computed in one pass with it. */
  const join = (
    held: Chain,
    fn: e.ScalarFn,
    inputs: readonly View[],
    outputs: readonly View[],
    scalars: ArrayLike<number>,
  ): boolean => {
    if (fn.type !== held.type || !sameShape(outputs[0]!.shape, held.outputs[0]?.view.shape ?? []))
      return false;
    const resultIn = (view: View): e.Expr | undefined =>
      held.outputs.find((o) => sameView(o.view, view) && o.view.buffer.type === fn.type)?.value;
    const touches = (views: readonly View[], view: View): boolean =>
      views.some((v) => v.buffer === view.buffer && !sameView(v, view));
    const written = held.outputs.map(({ view }) => view);
    let reads = false;
    for (const x of inputs) {
      if (resultIn(x)) reads = true;
      else if (written.some((w) => w.buffer === x.buffer)) return false;
    }
    // In place is fine, element by element; anything else that overlaps is not.
    for (const y of outputs)
      if (touches(written, y) || touches(held.inputs, y) || touches(inputs, y)) return false;
    const fresh = inputs.filter((x) => !resultIn(x) && !held.inputs.some((v) => sameView(v, x)));
    if (!reads || held.inputs.length + fresh.length > MOST_INPUTS) return false;

    const allInputs = [...held.inputs, ...fresh];
    const values = inputs.map((x) => resultIn(x) ?? e.input(allInputs.findIndex((v) => sameView(v, x))));
    const place = (leaf: e.Expr): e.Expr => {
      if (leaf.kind === 'input') return values[leaf.index]!;
      return leaf.kind === 'scalar' ? e.scalar(held.scalars.length + leaf.index) : leaf;
    };
    const results = fn.outputs.map((y) => e.substitute(y, place, { exact: true }));
    const kept = held.outputs.filter(({ view }) => !outputs.some((y) => sameView(y, view)));
    if (e.countNodes(...kept.map(({ value }) => value), ...results) > MOST_NODES) return false;
    held.whole = undefined;
    held.inputs.push(...fresh);
    for (let i = 0; i < fn.scalars; i++) held.scalars.push(scalars[i]!);
    held.outputs.splice(
      0,
      held.outputs.length,
      ...kept,
      ...outputs.map((view, i) => ({ view, value: results[i]! })),
    );
    return true;
  };

  /** The base, once the chain has run. */
  const settled = (): B => {
    flush();
    return base;
  };
  const afterFlush =
    (kernel: FusedKernel): FusedKernel =>
    (...args) => {
      flush();
      return kernel(...args);
    };
  const record = (calls: () => void): RecordedCalls => {
    const recorded = settled().record!(() => {
      calls();
      flush();
    });
    return { ...recorded, run: (refresh) => (flush(), recorded.run(refresh)) };
  };
  const fused =
    base.fused &&
    Object.fromEntries(Object.entries(base.fused).map(([name, kernel]) => [name, afterFlush(kernel)]));
  return {
    ...base,
    settle: flush,
    map(fn, inputs, outputs, scalars) {
      if (chain && !heldByReference(scalars) && join(chain, fn, inputs, outputs, scalars)) return;
      flush();
      if (sizeOf(outputs[0]!.shape) === 0) return;
      if (heldByReference(scalars)) return base.map(fn, inputs, outputs, scalars);
      const given = Array.from({ length: fn.scalars }, (_, i) => scalars[i]!); // held: the caller may change its own
      chain = {
        type: fn.type,
        whole: [fn, inputs, outputs, given],
        inputs: [...inputs],
        scalars: given,
        outputs: outputs.map((view, i) => ({ view, value: fn.outputs[i]! })),
      };
    },
    free(buffer: BufferRef) {
      if (chain) {
        const left = chain.outputs.filter(({ view }) => view.buffer !== buffer);
        if (left.length < chain.outputs.length) chain.whole = undefined;
        chain.outputs.splice(0, chain.outputs.length, ...left);
        try {
          if (chain.inputs.some((x) => x.buffer === buffer)) flush();
        } finally {
          base.free(buffer);
        }
      } else base.free(buffer);
    },
    write: (...args) => settled().write(...args),
    read: async (...args) => settled().read(...args),
    ...(base.peek ? { peek: (buffer: BufferRef) => settled().peek!(buffer) } : {}),
    reduce: (...args) => settled().reduce(...args),
    matmul: (...args) => settled().matmul(...args),
    gather: (...args) => settled().gather(...args),
    scatterAdd: (...args) => settled().scatterAdd(...args),
    random: (...args) => settled().random(...args),
    ...(base.record ? { record } : {}),
    ...(fused ? { fused } : {}),
  };
}
