/** P45: tensors that are larger than an adapter binds at once are computed in parts, or refused before anything runs. */
import { conformance } from '@bax/check';
import { type BufferRef, type View } from '@bax/core';
import { webgpu, type WebGpuBackend } from '@bax/webgpu';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { anyAdapter } from '../support/backends.ts';

let backend: WebGpuBackend;
const MOST = 2 ** 17;
beforeAll(async () => void (backend = await webgpu({ ...anyAdapter, pretend: { maxBinding: MOST } })));
afterAll(() => backend.close());

/** Those whose tensors are larger than that, or many. */
const families = [
  'map: every size',
  'map: more elements',
  'reduce: many results',
  'matmul: work for all',
  'matmul: across',
  'gather: every size',
  'random: core',
];
const checks = conformance.filter(({ name }) => families.some((family) => name.startsWith(family)));

describe('with bindings of 128 KiB', () => {
  it('the checks are there', () => expect(checks.length).toBe(families.length));
  it.each(checks)('$name', { timeout: 300_000 }, async ({ run }) => run(backend, { runs: 0.1, seed: 1 }));

  it('a table that scatterAdd would need whole is refused, and nothing is changed', async () => {
    const view = (buffer: BufferRef, ...shape: number[]): View => {
      const strides = shape.map((_, i) => shape.slice(i + 1).reduce((a, b) => a * b, 1));
      return { buffer, shape, strides, offset: 0 };
    };
    const table = backend.alloc(2 ** 16, 'f32');
    backend.write(table, new Float32Array(2 ** 16).fill(7));
    const [index, rows] = [backend.alloc(1, 'i32'), backend.alloc(2, 'f32')];
    backend.write(index, Int32Array.of(5));
    expect(() => backend.scatterAdd(view(index, 1), view(rows, 1, 2), view(table, 2 ** 15, 2))).toThrow(
      /^webgpu: a call needs 0\.3 MiB of one tensor \[32768, 2\] at once, and this adapter binds at most 0\.1 MiB; take a smaller model or batch, or the wasm backend$/,
    );
    expect(((await backend.read(table)) as Float32Array).every((v) => v === 7)).toBe(true);
    for (const buffer of [table, index, rows]) backend.free(buffer);
  });
});
