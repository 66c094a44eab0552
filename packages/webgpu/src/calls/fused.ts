import type { FusedKernel } from '@bax/core';
import type { Gpu } from '../gpu.ts';
import { linear, loraLinear } from './linear.ts';

/** The ops that have kernels of their own. What these do not take runs as it is composed. */
export const fused = (gpu: Gpu): Readonly<Record<string, FusedKernel>> => ({
  ...linear(gpu),
  ...loraLinear(gpu),
});
