/**
 * Elementwise functions, a block of elements at a time: each instruction of the compiled expression runs over the
 * whole block before the next, so that interpreting costs nothing per element and each value is rounded to the
 * compute type. https://numexpr.readthedocs.io works the same way.
 */
import { sizeOf } from '@bax/core';
import type { DType, ScalarFn, TypedArray, View } from '@bax/core';
import { floatKernels, intKernels } from './kernels.ts';
import type { Block, Kernels } from './kernels.ts';
import { arrayOf } from './memory.ts';
import { programOf } from './program.ts';
import { isContiguous, load, rowsOf, store } from './view.ts';

/** Elements in a block: a dozen blocks of f32 stay in the first-level cache. */
export const BLOCK = 512;

const newBlock: Record<DType, () => Block> = {
  f32: () => new Float32Array(BLOCK),
  f64: () => new Float64Array(BLOCK),
  i32: () => new Int32Array(BLOCK),
};
const scratch: Record<DType, Block[]> = { f32: [], f64: [], i32: [] };

export function map(
  fn: ScalarFn,
  inputs: readonly View[],
  outputs: readonly View[],
  scalars: ArrayLike<number>,
): void {
  const size = sizeOf(outputs[0].shape);
  if (size === 0) return;
  const program = programOf(fn);
  const { instructions } = program;
  const kernels = (fn.type === 'i32' ? intKernels : floatKernels) as Kernels<Block>;

  // A register is a place: a scratch block, or the tensor itself at the block's first element.
  const at = new Array<number>(program.registers).fill(0);
  const blocks = scratch[fn.type];
  while (blocks.length < program.registers) blocks.push(newBlock[fn.type]());
  const registers = blocks.slice(0, program.registers);

  const width = Math.min(size, BLOCK);
  for (let i = 0; i < program.scalars; i++) registers[program.inputs + i].fill(scalars[i], 0, width);
  program.constants.forEach((value, i) => registers[program.inputs + program.scalars + i].fill(value, 0, width));

  const direct: { register: number; offset: number }[] = [];
  const loads: { register: number; data: TypedArray; rows: ReturnType<typeof rowsOf> }[] = [];
  inputs.forEach((view, register) => {
    const data = arrayOf(view.buffer);
    const rows = rowsOf(view);
    // What one of several outputs overwrites is copied first: the others may still have to read it.
    const kept = outputs.length === 1 || outputs.every((out) => out.buffer !== view.buffer);
    if (kept && view.buffer.type === fn.type && isContiguous(rows)) {
      registers[register] = data as Block;
      direct.push({ register, offset: view.offset });
    } else loads.push({ register, data, rows });
  });

  const computed = program.inputs + program.scalars + program.constants.length;
  const stores: { register: number; data: TypedArray; rows: ReturnType<typeof rowsOf> }[] = [];
  outputs.forEach((view, i) => {
    if (view.buffer.type === 'f16' || view.buffer.type === 'bf16')
      throw new Error(`cpu: map cannot write ${view.buffer.type}`);
    const data = arrayOf(view.buffer);
    const rows = rowsOf(view);
    const register = program.outputs[i];
    const first = register >= computed && program.outputs.indexOf(register) === i;
    if (first && view.buffer.type === fn.type && isContiguous(rows)) {
      registers[register] = data as Block;
      direct.push({ register, offset: view.offset });
    } else stores.push({ register, data, rows });
  });

  for (let from = 0; from < size; from += BLOCK) {
    const n = Math.min(BLOCK, size - from);
    for (const { register, offset } of direct) at[register] = offset + from;
    for (const { register, data, rows } of loads) load(data, rows, from, n, registers[register], 0);
    for (const { fn: name, o, a, b, c } of instructions)
      kernels[name](registers[o], at[o], n, registers[a], at[a], registers[b], at[b], registers[c], at[c]);
    for (const { register, data, rows } of stores) store(data, rows, from, n, registers[register], at[register]);
  }
}
