/** LoRA's size from the configuration alone. LoRA §5.1: |Θ| = Σ r (in + out), which is 2 · L̂ · d · r where all are d x d. */
import { BaxError, bytesOf, type Storage } from '@bax/core';
import type { LoraConfig } from '../lora/config.ts';
import { planLora, type LoraPlan } from '../lora/plan.ts';
import type { Gpt2Config } from '../models/gpt2-config.ts';
import { hollowGpt2 } from './hollow.ts';

/** A weight [out, in] that an adapter is beside. */
export interface MatrixShape {
  readonly in: number;
  readonly out: number;
}
export interface CountConfig {
  readonly layers: number;
  /** d: of matrices that are given by name, in and out. */
  readonly width: number;
  /** Those of each layer: a name (`q`, `k`, `v`, `o`) for one of [d, d], or a shape. */
  readonly matrices: readonly (string | MatrixShape)[];
  readonly r: number;
}
export interface CountOptions {
  /** Of its tensors and of the optimiser's state. Default f32. */
  readonly storage?: Storage;
  /** Tensors of state that the optimiser keeps for each parameter: 2 for Adam, 1 for SGD with momentum, 0 without. Default 2. */
  readonly states?: number;
}
export interface LoraCount {
  /** L̂: matrices with an adapter. */
  readonly matrices: number;
  /** Trainable numbers. */
  readonly parameters: number;
  /** Of all its tensors, those that are never trained (a frozen A, what is taken out of W) among them. */
  readonly bytes: number;
  /** Of the optimiser's state. */
  readonly optimizerBytes: number;
  toString(): string;
}

/**
 * Counts an adapter before there is a model.
 * @throws if a size is no integer from 1, or r exceeds min(in, out) of a matrix.
 */
export function countLora(config: CountConfig, options: CountOptions = {}): LoraCount {
  const { layers, width, matrices, r } = config;
  const whole = (name: string, n: number): void => {
    if (!Number.isSafeInteger(n) || n < 1) throw new BaxError(`countLora: ${name} is ${n}; it must be an integer from 1`); // prettier-ignore
  };
  Object.entries({ layers, width, r }).forEach(([name, n]) => whole(name, n));
  if (matrices.length === 0) throw new BaxError("countLora: name at least one matrix, like ['q', 'v']");
  const shapes = matrices.map((m) => (typeof m === 'string' ? { in: width, out: width } : m));
  shapes.forEach((shape, i) => {
    whole(`in of matrix ${i}`, shape.in);
    whole(`out of matrix ${i}`, shape.out);
    if (r > Math.min(shape.in, shape.out))
      throw new BaxError(
        `countLora: r = ${r} exceeds min(in, out) of matrix ${i} [${shape.out}, ${shape.in}]`,
      );
  });
  const each = shapes.reduce((sum, shape) => sum + r * (shape.in + shape.out), 0);
  return counted(layers * shapes.length, layers * each, layers * each, options);
}

/** `planLora` of a GPT-2 that is not there: which layers would get an adapter. @throws as `planLora` does. */
export const planGpt2Lora = (model: Gpt2Config, lora: LoraConfig = {}): LoraPlan =>
  planLora(hollowGpt2(model), lora);

/** Counts an adapter of a GPT-2 from the two configurations. @throws as `planLora` does. */
export function countGpt2Lora(
  model: Gpt2Config,
  lora: LoraConfig = {},
  options: CountOptions = {},
): LoraCount {
  const { entries, parameters, bytes } = planGpt2Lora(model, lora);
  return counted(entries.length, parameters, bytes / bytesOf('f32'), options);
}

function counted(
  matrices: number,
  parameters: number,
  numbers: number,
  { storage = 'f32', states = 2 }: CountOptions,
): LoraCount {
  const bytes = numbers * bytesOf(storage);
  const optimizerBytes = states * parameters * bytesOf(storage);
  const text = `${matrices} matrices, ${parameters} parameters: ${bytes} bytes, and ${optimizerBytes} of optimiser state`;
  return { matrices, parameters, bytes, optimizerBytes, toString: () => text };
}
