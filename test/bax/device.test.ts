import { device, type DeviceName, setBackend, tensor } from 'bax';
import { cpu } from '@bax/cpu';
import type { WebGpuBackend } from '@bax/webgpu';
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

it('a software adapter is for those who ask for it, though it is open', async () => {
  vi.resetModules();
  const fresh = await import('bax');
  const asked = await fresh.device('webgpu', { software: true });
  const isSoftware = asked.info.adapter.endsWith('(software)');
  const say = vi.fn();
  const auto = await fresh.device('auto', { say });
  expect(auto === asked).toBe(!isSoftware);
  expect(say).toHaveBeenCalledTimes(isSoftware ? 1 : 0);
  if (isSoftware) await expect(fresh.device('webgpu')).rejects.toThrow('pass { software: true }');
  expect(await fresh.device('webgpu', { software: true })).toBe(asked);
  (asked as WebGpuBackend).close();
  await (asked as WebGpuBackend).lost;
  await new Promise((resolve) => setTimeout(resolve));
  const anew = await fresh.device('webgpu', { software: true });
  expect(anew).not.toBe(asked);
  (anew as WebGpuBackend).close();
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
