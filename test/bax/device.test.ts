import { device, type DeviceName, setBackend, tensor } from 'bax';
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
});

it('opens each device once', async () => {
  expect(await device('auto')).toBe(await device('wasm'));
  expect(await device('cpu')).toBe(await device('cpu'));
});

it('auto is cpu where wasm cannot run; wasm says why', async () => {
  vi.resetModules();
  const fresh = await import('bax'); // which has opened nothing yet
  vi.spyOn(WebAssembly, 'validate').mockReturnValue(false);
  expect((await fresh.device('auto')).name).toBe('cpu');
  await expect(fresh.device('wasm')).rejects.toThrow('wasm: this engine runs no WebAssembly with SIMD');
});

it('refuses another name', async () => {
  for (const name of ['gpu', 'toString', ''])
    await expect(device(name as DeviceName)).rejects.toThrow(
      `device: there is no '${name}'; choose one of auto, webgpu, wasm, cpu`,
    );
});
