import { BaxError, setBackend, type Backend } from '@bax/core';

/** `auto` takes the fastest that works here. */
export type DeviceName = 'auto' | 'cpu' | 'wasm';

const makers: Readonly<Record<DeviceName, () => Promise<Backend>>> = {
  async auto() {
    const { isSupported } = await import('@bax/wasm');
    return opened(isSupported() ? 'wasm' : 'cpu');
  },
  wasm: async () => (await import('@bax/wasm')).wasm(),
  cpu: async () => (await import('@bax/cpu')).cpu(),
};

const devices = new Map<DeviceName, Promise<Backend>>();
/** Each device is opened once: a second call of `device()` shall not cost a second memory and more threads. */
async function opened(name: DeviceName): Promise<Backend> {
  let backend = devices.get(name);
  if (!backend) {
    devices.set(name, (backend = makers[name]()));
    backend.catch(() => devices.delete(name));
  }
  return backend;
}

/**
 * Opens a device (the first time), makes it the one on which tensors are created, and returns it. Only the chosen backend is loaded.
 * @throws if there is no device of that name.
 */
export async function device(name: DeviceName = 'auto'): Promise<Backend> {
  if (!Object.hasOwn(makers, name))
    throw new BaxError(`device: there is no '${name}'; choose one of ${Object.keys(makers).join(', ')}`);
  const backend = await opened(name);
  setBackend(backend);
  return backend;
}
