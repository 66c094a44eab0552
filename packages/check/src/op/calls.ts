/** From a drawn call to tensors and results: what every law of an op begins with. */
import {
  applyAll,
  type Backend,
  cast,
  concat,
  contiguous,
  fromHost,
  grad,
  hostArray,
  isFloat,
  reshape,
  sizeOf,
  type Tensor,
} from '@bax/core';
import { cpu } from '@bax/cpu';
import { type Arg, type ArgOptions, type Call, blockOf, plainTensor, stridedTensor } from '../arbitraries.ts';
import { openLayout, plainLayout } from '../layout.ts';

let oracle: Backend | undefined;
/** The cpu that everything is compared with. */
export const reference = (): Backend => (oracle ??= cpu());

export const f32On = (backend: Backend): ArgOptions => ({ dtype: 'f32', backend });
export const hasF64 = ({ info }: Backend): boolean => info.dtypes.includes('f64');
/** f64, or f32 where there is none. */
export const widestOn = (backend: Backend): ArgOptions => ({
  dtype: hasF64(backend) ? 'f64' : 'f32',
  backend,
});

/** Makes the arguments of a call. */
export type Make = (call: Call, options: ArgOptions) => Tensor[];
export const plainInputs: Make = ({ args }, options) => args.map((a) => plainTensor(a, options));
export const stridedInputs: Make = ({ args }, options) => args.map((a) => stridedTensor(a, options));

/** All results of the op. A reshape that strides do not allow is one of a copy, as its public function makes it. */
export function runAll(
  { op, attrs }: Pick<Call, 'op' | 'attrs'>,
  inputs: readonly Tensor[],
): readonly Tensor[] {
  const ready = op.view && !op.view(inputs[0]!.view, attrs) ? inputs.map(contiguous) : inputs;
  return applyAll(op, ready, attrs);
}
/** The op's result; of several results all in one line. */
export function run(call: Pick<Call, 'op' | 'attrs'>, inputs: readonly Tensor[]): Tensor {
  const outputs = runAll(call, inputs);
  if (outputs.length === 1) return outputs[0]!;
  const dtype = outputs.find((y) => isFloat(y.dtype))?.dtype ?? 'i32'; // indices beside values, as numbers
  const typed = outputs.map((y) => (y.dtype === dtype ? y : cast(y, dtype)));
  const flat = typed.map((y) => reshape(y, [y.size]));
  const all = concat(flat);
  const untracked = (t: Tensor): boolean => !t.tracked;
  if (!all.tracked) free(...flat);
  else flat.filter(untracked).forEach((t) => (t.tapeOwned = true));
  free(...[...typed, ...outputs].filter(untracked)); // their memory is that of `flat`
  return all;
}
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

/** The float arguments by their names. */
export const floatsOf = (call: Call, inputs: readonly Tensor[]): Record<string, Tensor> =>
  Object.fromEntries(inputs.flatMap((x, i) => (call.args[i]!.kind === 'float' ? [[`x${i}`, x]] : [])));

/** An argument that the op's domain did not draw, e.g. a cotangent. */
export const argOf = (shape: readonly number[], value: (i: number) => number): Arg => {
  const distinct = Array.from({ length: sizeOf(shape) }, (_, i) => value(i));
  return { shape, kind: 'float', distinct, layout: plainLayout(shape) };
};

/** Small integers for a linear loss: products with multiples of 1/4 are exact. */
export const cotangentOf = (y: Tensor): Tensor => {
  const data = hostArray(y.dtype, y.size);
  for (let i = 0; i < data.length; i++) data[i] = ((7 * i + 3) % 9) - 4;
  return fromHost(data, y.shape, y.dtype, { backend: y.backend });
};

/** y, and ∂Σ c ∘ y/∂x for every float input x, c the cotangent above. The inputs must have requiresGrad. */
export function resultAndGrads(call: Call, inputs: readonly Tensor[]): Tensor[] {
  const y = run(call, inputs);
  const wanted = inputs.filter((_, i) => call.args[i]!.kind === 'float');
  if (!y.tracked) return [y];
  return [y, ...grad(y, wanted, { cotangent: cotangentOf(y), allowUnused: true, retain: true })];
}
/** What the i-th of these is called. */
export const partOf = (name: string, i: number): string =>
  i === 0 ? name : `the gradient of ${name} to x${i - 1}`;

export const read = async (tensors: readonly Tensor[]): Promise<ArrayLike<number>[]> =>
  Promise.all(tensors.map((t) => t.data()));
export const free = (...tensors: readonly Tensor[]): void => tensors.forEach((t) => t.dispose());

/** The largest |value|, `least` at least. */
export const largest = (values: ArrayLike<number>, least = 1): number =>
  Array.from(values).reduce((m, x) => Math.max(m, Math.abs(x)), least);
