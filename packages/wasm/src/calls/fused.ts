import type { FusedKernel } from '@bax/core';
import type { Machine } from '../machine.ts';
import { attention } from './attention.ts';
import { crossEntropy } from './cross-entropy.ts';
import { dropout } from './dropout.ts';
import { loraLinear } from './lora-linear.ts';
import { norm } from './norm.ts';
import { softmax } from './softmax.ts';

/** The ops that have kernels of their own. What these do not take runs as it is composed. */
export const fused = (machine: Machine): Readonly<Record<string, FusedKernel>> => ({
  ...softmax(machine),
  ...norm(machine),
  ...attention(machine),
  ...crossEntropy(machine),
  ...dropout(machine),
  ...loraLinear(machine),
});
