/**
 * The WebGPU backend, in browsers and in Node: kernels of ../../../kernels, and elementwise ones made from core's scalar
 * expressions. Calls are recorded and submitted in batches; only `read` waits.
 *
 * From a call to the device: calls/ (which kernel, which parameters), gpu.ts (a view becomes a binding), queue.ts (the
 * order of things), pipelines.ts and memory.ts.
 */
import { BaxError, type Backend, type BackendInfo, dryRun, fuse, scope } from '@bax/core';
import { findAdapter, isSoftware, nameOf } from './adapter.ts';
import { backend } from './backend.ts';
import { GpuError } from './errors.ts';
import { Gpu, type Tuning } from './gpu.ts';
import { checkOptions, featuresOf, type WebGpuOptions } from './options.ts';

export { type Fault, GpuError, type Place } from './errors.ts';
export { hollowGpu, type KernelCall } from './hollow-gpu.ts';
export type { Feature, WebGpuOptions } from './options.ts';

/** What was made on the device so far: in steady state a training step makes nothing new. */
export interface Counts {
  readonly dispatches: number;
  readonly submits: number;
  readonly buffers: number;
  readonly pipelines: number;
  readonly bindGroups: number;
}

export interface WebGpuBackend extends Backend {
  /** Gives the device back. Whatever is read afterwards rejects. */
  close(): void;
  /** Resolves with a fault when the device is lost, which a machine that sleeps or a driver that restarts may bring about. */
  readonly lost: Promise<GpuError>;
  counts(): Counts;
  /**
   * A dry run: the step's code runs, the device computes nothing, and all pipelines that it asks for are compiled, several
   * at a time, before the first real step has to wait for them. Tensors keep their contents; what the step counts on the
   * host (an optimiser's stepCount) is counted. What it returns is freed; what it leaves behind elsewhere (a `grad` of
   * `backward()`, an optimiser's new state) has no values, and using it is an error.
   * @throws `GpuError` if a kernel does not compile; `BaxError` if the step reads or waits.
   */
  warmUp(step: () => unknown): Promise<void>;
  readonly device: GPUDevice;
}

/**
 * Opens the backend.
 * @throws BaxError if an option is unknown or there is no adapter (see `software`).
 */
export async function webgpu(options: WebGpuOptions = {}): Promise<WebGpuBackend> {
  checkOptions(options);
  const { adapter } = await findAdapter(options);
  const features = featuresOf(adapter, options);
  let device: GPUDevice;
  try {
    device = await adapter.requestDevice({ requiredFeatures: features, requiredLimits: limitsOf(adapter) });
  } catch (cause) {
    throw new BaxError(
      `webgpu: ${nameOf(adapter)} gave no device: ${cause instanceof Error ? cause.message : String(cause)}`,
      { cause },
    );
  }
  const { subgroupMinSize: least, subgroupMaxSize: most } = adapter.info;
  const software = options.pretend?.software ?? isSoftware(adapter);
  const tuning: Tuning = { software, subgroup: features.includes('subgroups') && least === most ? most : 0 };
  const info: BackendInfo = {
    adapter: `${nameOf(adapter)}${isSoftware(adapter) ? ' (software)' : ''}`,
    features,
    dtypes: ['f32', 'i32'],
    roundoff: 2 ** -23,
  };
  return open(device, info, tuning, options);
}

/** The limits that matter here, as large as the adapter has them. */
function limitsOf({ limits }: GPUAdapter): Record<string, number> {
  const names = [
    'maxBufferSize',
    'maxStorageBufferBindingSize',
    'maxStorageBuffersPerShaderStage',
    'maxComputeWorkgroupStorageSize',
    'maxComputeInvocationsPerWorkgroup',
    'maxComputeWorkgroupSizeX',
    'maxComputeWorkgroupsPerDimension',
  ] as const;
  return Object.fromEntries(names.map((name) => [name, limits[name]]));
}

function open(device: GPUDevice, info: BackendInfo, tuning: Tuning, options: WebGpuOptions): WebGpuBackend {
  const { poolBytes = 2 ** 30, pretend, debug = false } = options;
  const gpu = new Gpu(device, tuning, {
    budget: poolBytes,
    maxBinding: pretend?.maxBinding ?? Infinity,
    debug,
  });
  const lost = device.lost.then(({ reason, message }) => {
    const why = reason === 'destroyed' ? 'it was closed' : message || 'the driver gave no reason';
    const error = new GpuError(
      'lost',
      `the device is lost: ${why}; open another and go on from a checkpoint`,
      gpu.queue.place,
    );
    gpu.queue.lose(error);
    return error;
  });
  device.addEventListener('uncapturederror', (event) => {
    event.preventDefault();
    const { error } = event as GPUUncapturedErrorEvent;
    gpu.queue.fault(new GpuError('validation', error.message, gpu.queue.place));
  });
  const fast = fuse(backend(gpu, info));
  return {
    ...fast,
    lost,
    device,
    counts() {
      const { buffers, ...counts } = gpu.queue.counts;
      return { ...counts, buffers: buffers + gpu.memory.created, pipelines: gpu.pipelines.created };
    },
    async warmUp(step) {
      fast.settle();
      gpu.queue.flush();
      gpu.queue.dry = true;
      const run = (): void => {
        try {
          const result = step();
          if (typeof (result as { then?: unknown } | undefined)?.then === 'function')
            throw new BaxError('warmUp: the step is synchronous; await what it needs before');
        } finally {
          fast.settle();
        }
      };
      try {
        gpu.memory.dry(() => dryRun(() => scope(run)));
      } finally {
        gpu.queue.dry = false;
      }
      await gpu.pipelines.settled();
    },
    close() {
      fast.settle();
      gpu.queue.flush();
      device.destroy();
    },
  };
}
