import { BaxError, setBackend, type Backend } from '@bax/core';

/** `auto` takes the fastest that works here. */
export type DeviceName = 'auto' | 'cpu' | 'wasm';

const makers: Readonly<Record<DeviceName, () => Promise<Backend>>> = {
  async auto() {
    const { isSupported, wasm } = await import('@bax/wasm');
    return isSupported() ? wasm() : makers.cpu();
  },
  wasm: async () => (await import('@bax/wasm')).wasm(),
  cpu: async () => (await import('@bax/cpu')).cpu(),
};

/**
 * Opens a device, makes it the one on which tensors are created, and returns it. Only the chosen backend is loaded.
 * @throws if there is no device of that name.
 */
export async function device(name: DeviceName = 'auto'): Promise<Backend> {
  const make = Object.hasOwn(makers, name) ? makers[name] : undefined;
  if (!make)
    throw new BaxError(`device: there is no '${name}'; choose one of ${Object.keys(makers).join(', ')}`);
  const backend = await make();
  setBackend(backend);
  return backend;
}
