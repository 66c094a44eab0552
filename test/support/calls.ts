/** From a drawn call to tensors and results: what every law over all ops begins with. */
import {
  type Arg, type ArgOptions, type Call, blockOf, calls, type CallOptions, openLayout, plainLayout, plainTensor, stridedTensor,
} from '@bax/check'; // prettier-ignore
import {
  applyAll,
  concat,
  contiguous,
  fromHost,
  grad,
  noGrad,
  type Op,
  ops,
  reshape,
  sizeOf,
  type Tensor,
} from '@bax/core';
import fc from 'fast-check';
import { runs } from './runs.ts';

/** Every registered op, for `describe.each`. */
export const everyOp: [string, Op][] = [...ops];
export const smoothOps: [string, Op][] = everyOp.filter(([, op]) => !op.discrete);

/** Those of which bits may be demanded on integers: the rest divides, or calls a function that each backend has of its own. */
export const exactOps: ReadonlySet<string> = new Set(
  `add sub mul neg abs minimum maximum relu where detach randomBits lt le gt
   ge eq ne castF32 castF64 castI32 copy sum max argmax reshape permute expand slice concat pad matmul linear loraLinear gather scatterAdd`.split(
    /\s+/,
  ),
);

export interface LawOptions extends CallOptions {
  readonly runs: number;
}

/** Checks a law on random calls of an op. */
export async function forCalls(
  op: Op,
  { runs: times, ...options }: LawOptions,
  law: (call: Call) => Promise<void>,
): Promise<void> {
  await fc.assert(fc.asyncProperty(calls(op, options), law), runs(times));
}

export const plainInputs = ({ args }: Call, options: ArgOptions): Tensor[] =>
  args.map((a) => plainTensor(a, options));
export const stridedInputs = ({ args }: Call, options: ArgOptions): Tensor[] =>
  args.map((a) => stridedTensor(a, options));

/** All results of the op. A reshape that strides do not allow is one of a copy, as its public function makes it. */
export function runAll(
  { op, attrs }: Pick<Call, 'op' | 'attrs'>,
  inputs: readonly Tensor[],
): readonly Tensor[] {
  const ready = op.view && !op.view(inputs[0].view, attrs) ? inputs.map(contiguous) : inputs;
  return applyAll(op, ready, attrs);
}
/** The op's result; of several results all in one line. */
export function run(call: Pick<Call, 'op' | 'attrs'>, inputs: readonly Tensor[]): Tensor {
  const outputs = runAll(call, inputs);
  if (outputs.length === 1) return outputs[0];
  const flat = outputs.map((y) => reshape(y, [y.size]));
  const all = concat(flat);
  if (!all.tracked) free(...flat, ...outputs);
  return all;
}
/** Without a tape. */
export const untaped = (call: Call, inputs: readonly Tensor[]): Tensor => noGrad(() => run(call, inputs));

/** The call on views of blocks that hold its float arguments: the views belong to what is differentiated. */
export function onBlocks(
  call: Call,
  options: ArgOptions,
): { blocks: Record<string, Tensor>; result: () => Tensor } {
  const blocks: Record<string, Tensor> = {};
  const open = call.args.map((arg: Arg, i) => {
    const block = blockOf(arg, options, arg.kind === 'float' ? 1 : undefined);
    if (arg.kind === 'float') blocks[`x${i}`] = block;
    return () => openLayout(block, arg.shape, arg.layout);
  });
  return { blocks, result: () => run(call, open.map((view) => view())) }; // prettier-ignore
}

/** An argument that the op's domain did not draw, e.g. a cotangent. */
export const argOf = (shape: readonly number[], value: (i: number) => number): Arg => {
  const distinct = Array.from({ length: sizeOf(shape) }, (_, i) => value(i));
  return { shape, kind: 'float', distinct, layout: plainLayout(shape) };
};

/** Small integers for a linear loss: products with multiples of 1/4 are exact. */
export const cotangentOf = (y: Tensor): Tensor => {
  const values = argOf(y.shape, (i) => ((7 * i + 3) % 9) - 4).distinct;
  const data = y.dtype === 'f64' ? Float64Array.from(values) : Float32Array.from(values);
  return fromHost(data, y.shape, y.dtype, { backend: y.backend });
};

/** y, and ∂Σ c ∘ y/∂x for every float input x, c the cotangent above. The inputs must have requiresGrad. */
export function resultAndGrads(call: Call, inputs: readonly Tensor[]): Tensor[] {
  const y = run(call, inputs);
  const wanted = inputs.filter((_, i) => call.args[i].kind === 'float');
  if (!y.tracked) return [y];
  return [y, ...grad(y, wanted, { cotangent: cotangentOf(y), allowUnused: true, retain: true })];
}

export const read = async (tensors: readonly Tensor[]): Promise<ArrayLike<number>[]> =>
  Promise.all(tensors.map((t) => t.data()));
export const free = (...tensors: readonly Tensor[]): void => tensors.forEach((t) => t.dispose());
