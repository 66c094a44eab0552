/** Finds a GPU: `navigator.gpu` in a browser, Dawn (npm `webgpu`) in Node. Nothing is touched before it is asked for. */
import { BaxError } from '@bax/core';

export interface AdapterOptions {
  /** Default 'high-performance'. */
  readonly powerPreference?: 'high-performance' | 'low-power';
  /** Part of the adapter's name, in Node: which of several is taken. */
  readonly adapter?: string;
  /** Also take an adapter that computes on the processor (SwiftShader, lavapipe, WARP). Default false: `wasm` is faster. */
  readonly software?: boolean;
}

interface NodeGpu {
  create(options: string[]): GPU;
}
/** What `create` returned: if it is collected while a device is in use, the process dies. */
const held: GPU[] = [];

/** Whether this is a process of Node (or Bun, Deno), which has no GPU of its own. */
const nodeVersion = (): string | undefined =>
  (globalThis as { process?: { versions?: { node?: string } } }).process?.versions?.node;
const platform = (): string => (globalThis as { process?: { platform?: string } }).process?.platform ?? '';

const WHAT_TO_INSTALL: Readonly<Record<string, string>> = {
  linux:
    "the graphics driver's Vulkan library and the loader, libvulkan1; without a GPU, Mesa's software one from 23 on (mesa-vulkan-drivers) and { software: true }",
  darwin: 'macOS 11 or newer on a machine with Metal',
  win32: 'a graphics driver with Direct3D 12',
};

/**
 * An adapter.
 * @throws BaxError if there is none, which says what was tried and what to do here.
 */
export async function findAdapter(options: AdapterOptions): Promise<{ adapter: GPUAdapter; where: string }> {
  const { gpu, where } = await findGpu(options.adapter);
  const powerPreference = options.powerPreference ?? 'high-performance';
  const adapter = await request(gpu, { powerPreference }, options.adapter);
  if (!adapter) {
    const hint =
      nodeVersion() === undefined
        ? 'this browser has WebGPU but no adapter for it: look at its page about graphics (chrome://gpu, about:support), update the driver, or use device wasm'
        : `install ${WHAT_TO_INSTALL[platform()] ?? 'a graphics driver'}; or use device wasm`;
    throw new BaxError(
      `webgpu: there is no adapter${options.adapter ? ` '${options.adapter}'` : ''} (${where}): ${hint}`,
    );
  }
  if (isSoftware(adapter) && !options.software)
    throw new BaxError(
      `webgpu: the only adapter here is ${nameOf(adapter)}, which computes on the processor (${where}): wasm is faster; pass { software: true } to take it all the same`,
    );
  return { adapter, where };
}

async function request(
  gpu: GPU,
  options: GPURequestAdapterOptions,
  name: string | undefined,
): Promise<GPUAdapter | null> {
  try {
    return await gpu.requestAdapter(options);
  } catch (error) {
    // Dawn throws where no adapter has the name, and lists those that there are.
    const reason = error instanceof Error ? error.message : String(error);
    throw new BaxError(`webgpu: there is no adapter '${name ?? ''}': ${reason}`, { cause: error });
  }
}

async function findGpu(name: string | undefined): Promise<{ gpu: GPU; where: string }> {
  const own = typeof navigator === 'undefined' ? undefined : (navigator as { gpu?: GPU }).gpu;
  if (own) {
    if (name !== undefined)
      throw new BaxError(
        "webgpu: a browser chooses the adapter itself; pass { powerPreference: 'low-power' } or leave out { adapter }",
      );
    return { gpu: own, where: 'navigator.gpu' };
  }
  if (nodeVersion() === undefined) {
    const insecure = (globalThis as { isSecureContext?: boolean }).isSecureContext === false;
    throw new BaxError(
      insecure
        ? 'webgpu: this page is not secure, and only secure ones have WebGPU: serve it by https or from localhost; or use device wasm'
        : 'webgpu: this browser has no WebGPU (no navigator.gpu): Chrome and Edge have it from 113 on, Safari from 26, Firefox from 141; or use device wasm',
    );
  }
  // By a variable: a bundler for the browser shall not look for it.
  const module = 'webgpu';
  let node: NodeGpu;
  try {
    node = (await import(/* @vite-ignore */ /* webpackIgnore: true */ module)) as NodeGpu;
  } catch (cause) {
    throw new BaxError(
      "webgpu: Node has no WebGPU of its own: npm install webgpu, which brings Dawn's; or use device wasm",
      { cause },
    );
  }
  try {
    const gpu = node.create(name === undefined ? [] : [`adapter=${name}`]);
    held.push(gpu);
    return { gpu, where: 'Dawn, npm webgpu' };
  } catch (cause) {
    throw new BaxError(
      `webgpu: npm webgpu could not start: ${cause instanceof Error ? cause.message : String(cause)}`,
      { cause },
    );
  }
}

/** Whether the adapter computes on the processor. */
export const isSoftware = (adapter: GPUAdapter): boolean =>
  adapter.info.isFallbackAdapter || (adapter as { isFallbackAdapter?: boolean }).isFallbackAdapter === true;

/** The adapter in words. */
export function nameOf({ info }: GPUAdapter): string {
  return (
    info.description ||
    [info.vendor, info.architecture, info.device].filter(Boolean).join(' ') ||
    'an adapter without a name'
  );
}
