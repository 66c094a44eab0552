/** A GPU that is not there is given the kernels that one which is there runs, and nothing of it is computed. */
import { crossEntropy, gather, gelu, grad, type Backend, layerNorm, linear, loraLinear, attention, ones, scope, transpose, zeros, type Tensor } from '@bax/core'; // prettier-ignore
import { hollowGpu, type KernelCall, webgpu, type WebGpuBackend } from '@bax/webgpu';
import { afterAll, afterEach, beforeAll, expect, it, vi } from 'vitest';
import { Gpu } from '../../packages/webgpu/src/gpu.ts';
import { anyAdapter } from '../support/backends.ts';

/** With the kernels of an adapter that is no software. */
let real: WebGpuBackend;
beforeAll(async () => (real = await webgpu({ ...anyAdapter, features: { subgroups: false }, pretend: { software: false } }))); // prettier-ignore
afterAll(() => real.close());
afterEach(() => vi.restoreAllMocks());

/** A step of everything that a Transformer with an adapter asks for. */
function step(backend: Backend): void {
  const [tokens, d] = [32, 64];
  const weight = (...shape: number[]): Tensor => ones(shape, { backend });
  const [A, B] = [weight(4, d), weight(3 * d, 4)];
  A.requiresGrad = B.requiresGrad = true;
  const ids = zeros([1, tokens], { dtype: 'i32', backend });
  const x = layerNorm(gather(weight(100, d), ids), weight(d), weight(d));
  const branch = { z: x, A, B, scale: 2 };
  const y = loraLinear(x, transpose(weight(d, 3 * d)), weight(3 * d), [branch]); // [1, T, 3d]
  const heads = y.reshape([1, tokens, 6, 32]).permute([0, 2, 1, 3]);
  const joined = attention(heads, heads, heads, { causal: true }).permute([0, 2, 1, 3]).reshape([1, tokens, 3 * d]); // prettier-ignore
  const loss = crossEntropy(linear(gelu(joined), weight(100, 3 * d)), ids);
  grad(loss, [A, B]);
}

/** Kernels that are files; how many maps there are is a matter of fusion. */
const files = (all: readonly string[]): string[] => all.filter((file) => file.endsWith('.wgsl'));

it('is given what the real one is given, in its order', () => {
  const noted: KernelCall[] = [];
  scope(() => step(hollowGpu((call) => noted.push(call))));
  const ran: string[] = [];
  vi.spyOn(Gpu.prototype, 'run').mockImplementation(({ file }) => void ran.push(file)); // nothing runs
  scope(() => step(real));
  const names = noted.map(({ file }) => file);
  expect(files(names)).toEqual(files(ran));
  for (const stem of [
    'matmul-tiled',
    'attention',
    'attention-grad-key',
    'norm',
    'cross-entropy-grad',
    'gather',
  ])
    expect(names).toContain(`kernels/${stem}.wgsl`);
});

it('tells the text of a kernel that was made of an expression', () => {
  const noted: KernelCall[] = [];
  const backend = hollowGpu((call) => noted.push(call));
  scope(() => {
    const x = zeros([4, 4], { backend });
    noted.splice(0);
    gelu(x);
  });
  expect(noted.map(({ file }) => file.split(' ')[0])).toEqual(['map']);
  expect(noted[0].source).toContain('tanh');
});
