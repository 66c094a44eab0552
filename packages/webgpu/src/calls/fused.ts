import type { FusedKernel } from '@bax/core';
import type { Gpu } from '../gpu.ts';
import { attention } from './attention.ts';

/** The ops that have kernels of their own. What these do not take runs as it is composed. */
export const fused = (gpu: Gpu): Readonly<Record<string, FusedKernel>> => ({ ...attention(gpu) });
