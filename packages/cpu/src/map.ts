/**
 * Elementwise functions, a block of elements at a time: the inputs' blocks are copied to registers, each instruction of
 * the compiled expression runs over whole registers, the results are copied out. So interpreting costs nothing per
 * element, any strides and storage types meet the same few loops, and an output may be an input.
 * https://github.com/pydata/numexpr works the same way.
 */
import { sizeOf } from '@bax/core';
import type { DType, ScalarFn, View } from '@bax/core';
import { floatKernels, intKernels } from './kernels.ts';
import type { Kernels, RegisterFile } from './kernels.ts';
import { arrayOf } from './memory.ts';
import { programOf } from './program.ts';
import { load, rowsOf, store } from './view.ts';

/** Elements in a register file, and the most that one register takes of them: a power of two. */
const FILE = 2 ** 16;
const BLOCK = 1024;

interface Machine {
  readonly file: RegisterFile;
  readonly kernels: Kernels;
}
const build: Record<DType, () => Machine> = {
  f32() {
    const file = new Float32Array(FILE);
    return { file, kernels: floatKernels(file) };
  },
  f64() {
    const file = new Float64Array(FILE);
    return { file, kernels: floatKernels(file) };
  },
  i32() {
    const file = new Int32Array(FILE);
    return { file, kernels: intKernels(file) };
  },
};
const machines: Partial<Record<DType, Machine>> = {};

export function map(
  fn: ScalarFn,
  inputs: readonly View[],
  outputs: readonly View[],
  scalars: ArrayLike<number>,
): void {
  const size = sizeOf(outputs[0].shape);
  if (size === 0) return;
  const { file, kernels } = (machines[fn.type] ??= build[fn.type]());
  const program = programOf(fn);
  let block = BLOCK;
  while (block * program.registers > FILE) block /= 2;

  const sources = inputs.map((view, i) => ({
    data: arrayOf(view.buffer),
    rows: rowsOf(view),
    at: i * block,
  }));
  const targets = outputs.map((view, i) => {
    if (view.buffer.type === 'f16' || view.buffer.type === 'bf16')
      throw new Error(`cpu: map cannot write ${view.buffer.type}`);
    return {
      data: arrayOf(view.buffer),
      rows: rowsOf(view),
      at: program.outputs[i] * block,
    };
  });
  const width = Math.min(size, block);
  let at = program.inputs * block;
  for (let i = 0; i < program.scalars; i++, at += block) file.fill(scalars[i], at, at + width);
  for (const value of program.constants) {
    file.fill(value, at, at + width);
    at += block;
  }

  for (let from = 0; from < size; from += block) {
    const n = Math.min(block, size - from);
    for (const x of sources) load(x.data, x.rows, from, n, file, x.at);
    for (const { fn: name, o, a, b, c } of program.instructions)
      kernels[name](n, o * block, a * block, b * block, c * block);
    for (const y of targets) store(y.data, y.rows, from, n, file, y.at);
  }
}
