import { device, type DeviceName, setBackend, tensor } from 'bax';
import { BaxError } from '@bax/core';
import { cpu } from '@bax/cpu';
import { afterAll, afterEach, expect, it, vi } from 'vitest';

afterEach(() => void vi.restoreAllMocks());
afterAll(() => setBackend(cpu()));

it.each([
  ['cpu', 'cpu'],
  ['wasm', 'wasm'],
  ['auto', 'wasm'],
  [undefined, 'wasm'],
] as const)('device(%s) opens %s, and tensors are made there', async (name, opened) => {
  const backend = await device(name);
  expect(backend.name).toBe(opened);
  const x = tensor([1, 2, 3]);
  expect(x.backend).toBe(backend);
  expect([...(await x.mul(2).data())]).toEqual([2, 4, 6]);
  x.dispose();
  (backend as { close?(): void }).close?.();
});

it('auto is cpu where wasm cannot run; wasm says why', async () => {
  vi.spyOn(WebAssembly, 'validate').mockReturnValue(false);
  expect((await device('auto')).name).toBe('cpu');
  await expect(device('wasm')).rejects.toThrow(BaxError);
});

it('refuses another name', async () => {
  for (const name of ['gpu', 'toString', ''])
    await expect(device(name as DeviceName)).rejects.toThrow(
      `device: there is no '${name}'; choose one of auto, wasm, cpu`,
    );
});
