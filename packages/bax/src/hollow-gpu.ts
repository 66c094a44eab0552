import type { Backend } from '@bax/core';
import type { KernelCall } from '@bax/webgpu';

export type { KernelCall };

/**
 * A backend that computes nothing and calls `see` for each kernel that a GPU would be given instead, with its WGSL: so
 * they can be looked at where there is no GPU.
 */
export const hollowGpu = async (see: (call: KernelCall) => void): Promise<Backend> =>
  (await import('@bax/webgpu')).hollowGpu(see);
