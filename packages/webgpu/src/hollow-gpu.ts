/** A GPU that is not there: which kernels one would be given, in what order, and their text. */
import type { Backend } from '@bax/core';
import { backend } from './backend.ts';
import { Gpu, type Tuning } from './gpu.ts';
import type { Kernel, Variant } from './kernel.ts';
import { retyped } from './pipelines.ts';

/** One dispatch. */
export interface KernelCall {
  /** `kernels/softmax.wgsl`; of a kernel that was made of a scalar expression, a name of its own: `map …`. */
  readonly file: string;
  /** As the compiler gets it. */
  readonly source: string;
}

/** Of an ordinary GPU; all but the memory of a workgroup are what every adapter has. https://www.w3.org/TR/webgpu/#limits */
const LIMITS = {
  maxComputeWorkgroupStorageSize: 2 ** 15,
  maxBufferSize: 2 ** 28,
  maxStorageBufferBindingSize: 2 ** 27,
  maxComputeWorkgroupsPerDimension: 65_535,
  minUniformBufferOffsetAlignment: 256,
  minStorageBufferOffsetAlignment: 256,
};
const TUNING: Tuning = { software: false, subgroup: 0 };

/**
 * A backend that computes nothing and has no memory: it calls `see` for each kernel that a GPU would be given instead. Which
 * they are is a matter of shapes and strides, so that what a real one runs can be looked at where there is none.
 */
export function hollowGpu(see: (call: KernelCall) => void): Backend {
  const gpu = new HollowGpu(see);
  gpu.queue.dry = true;
  return backend(gpu, { adapter: 'none: notes kernels', features: [], dtypes: ['f32', 'i32'], roundoff: 2 ** -23 }); // prettier-ignore
}

class HollowGpu extends Gpu {
  readonly #see: (call: KernelCall) => void;
  constructor(see: (call: KernelCall) => void) {
    super(nothing(), TUNING, { budget: 0, maxBinding: Infinity });
    this.#see = see;
  }
  override run<P extends object, O extends string>(
    { file, source }: Kernel<P, O>,
    { T = 'f32' }: Variant<O>,
  ): void {
    this.#see({ file, source: T === 'f32' ? source : retyped(source, T) });
  }
}

/** As much of a device as is asked before something is dispatched. */
function nothing(): GPUDevice {
  const none = (): void => undefined;
  return {
    limits: LIMITS,
    queue: { writeBuffer: none },
    createBuffer: () => ({ destroy: none }),
    pushErrorScope: none,
    popErrorScope: async () => null,
  } as unknown as GPUDevice;
}
