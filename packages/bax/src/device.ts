import { BaxError, setBackend, type Backend } from '@bax/core';

/** `auto` takes the fastest that works here: webgpu where there is a GPU, else wasm, else cpu. */
export type DeviceName = 'auto' | Named;
type Named = 'cpu' | 'wasm' | 'webgpu';

export interface DeviceOptions {
  /** Lets webgpu take an adapter that computes on the processor. Never what `auto` wants: wasm is faster. Default false. */
  readonly software?: boolean;
  /** Told which device `auto` took instead of a faster one, and why. Default `console.info`. */
  readonly say?: (message: string) => void;
}

const makers: Readonly<Record<Named, (options: DeviceOptions) => Promise<Backend>>> = {
  webgpu: async ({ software = false }) => {
    const backend = await (await import('@bax/webgpu')).webgpu({ software });
    void backend.lost.then(() => {
      for (const [key, opened] of devices) // the next call opens it anew
        void opened.then((one) => one === backend && devices.delete(key), () => undefined); // prettier-ignore
    });
    return backend;
  },
  wasm: async () => (await import('@bax/wasm')).wasm(),
  cpu: async () => (await import('@bax/cpu')).cpu(),
};

const SOFTWARE = 'webgpu (software)';
const devices = new Map<Named | typeof SOFTWARE, Promise<Backend>>();
/**
 * Each device is opened once: a second call of `device()` shall not cost a second memory and more threads. An adapter
 * that computes on the processor is only for those who ask for it.
 */
async function opened(name: Named, options: DeviceOptions = {}): Promise<Backend> {
  const key = name === 'webgpu' && options.software ? SOFTWARE : name;
  const known = devices.get(name) ?? devices.get(key);
  if (known) return known;
  const opening = makers[name](options);
  devices.set(key, opening);
  try {
    const backend = await opening;
    if (key === SOFTWARE && !backend.info.adapter.endsWith('(software)')) devices.set(name, opening);
    return backend;
  } catch (error) {
    devices.delete(key);
    throw error;
  }
}

/** What `auto` took the first time. */
let chosen: Named | undefined;
async function fastest(say: (message: string) => void): Promise<Backend> {
  if (chosen !== undefined) return opened(chosen);
  try {
    const backend = await opened('webgpu');
    chosen = 'webgpu';
    return backend;
  } catch (error) {
    const { isSupported } = await import('@bax/wasm');
    chosen = isSupported() ? 'wasm' : 'cpu';
    const backend = await opened(chosen);
    const [reason] = (error instanceof Error ? error.message : String(error)).split('\n');
    say(`device: auto takes ${chosen} (${reason})`);
    return backend;
  }
}

/**
 * Opens a device (the first time), makes it the one on which tensors are created, and returns it. Only the chosen backend is loaded.
 * @throws if there is no device of that name, or it does not work here.
 */
export async function device(name: DeviceName = 'auto', options: DeviceOptions = {}): Promise<Backend> {
  const names = ['auto', ...Object.keys(makers)];
  if (!names.includes(name))
    throw new BaxError(`device: there is no '${name}'; choose one of ${names.join(', ')}`);
  const backend = name === 'auto' ? await fastest(options.say ?? console.info) : await opened(name, options);
  setBackend(backend);
  return backend;
}
