import type { FusedKernel } from '@bax/core';
import type { Gpu } from '../gpu.ts';
import { attention } from './attention.ts';
import { concat } from './concat.ts';
import { crossEntropy } from './cross-entropy.ts';
import { dropout } from './dropout.ts';
import { linear, loraLinear } from './linear.ts';
import { norm } from './norm.ts';
import { softmax } from './softmax.ts';

/** The ops that have kernels of their own. What these do not take runs as it is composed. */
export const fused = (gpu: Gpu): Readonly<Record<string, FusedKernel>> => ({
  ...linear(gpu),
  ...loraLinear(gpu),
  ...softmax(gpu),
  ...norm(gpu),
  ...crossEntropy(gpu),
  ...dropout(gpu),
  ...attention(gpu),
  ...concat(gpu),
});
