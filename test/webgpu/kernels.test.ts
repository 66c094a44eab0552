/** Each WGSL file is a whole: it compiles as it lies on disk, and the host's idea of its parameters is the shader's. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { webgpu, type WebGpuBackend } from '@bax/webgpu';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Kernel, pack } from '../../packages/webgpu/src/kernel.ts';
import { Pipelines } from '../../packages/webgpu/src/pipelines.ts';
import * as embedded from '../../packages/webgpu/src/wgsl.generated.ts';
import { anyAdapter } from '../support/backends.ts';

const FOLDER = fileURLToPath(new URL('../../kernels/', import.meta.url));
const files = readdirSync(FOLDER, { recursive: true, encoding: 'utf8' }).filter((f) => f.endsWith('.wgsl'));
const kernels = Object.values(embedded) as Kernel[];

let backend: WebGpuBackend;
beforeAll(async () => void (backend = await webgpu(anyAdapter)));
afterAll(() => backend.close());

describe.each(files)('%s', (file) => {
  const source = readFileSync(join(FOLDER, file), 'utf8');
  const needsSubgroups = source.includes('enable subgroups;');

  it('compiles alone', async () => {
    if (needsSubgroups) expect(backend.info.features).toContain('subgroups');
    backend.device.pushErrorScope('validation');
    const module = backend.device.createShaderModule({ code: source });
    const { messages } = await module.getCompilationInfo();
    expect(messages.map(({ lineNum, message }) => `${lineNum}: ${message}`)).toEqual([]);
    expect(await backend.device.popErrorScope()).toBe(null);
  });

  it('says what it computes before anything else', () => {
    expect(source).toMatch(/^\/\/ .{20}/);
  });

  it('is embedded as it is, with a layout that the adapter accepts for it', async () => {
    const kernel = kernels.find((k) => k.file === `kernels/${file.replaceAll('\\', '/')}`)!;
    expect(kernel.source).toBe(source);
    const pipelines = new Pipelines(backend.device, () => undefined);
    const pipeline = pipelines.of(kernel);
    await pipeline.settled;
    expect(pipeline.failure).toBeUndefined();
    // Parameters do not overlap, and end where the struct does.
    const bytes = new DataView(new ArrayBuffer(kernel.size));
    const fields = Object.entries(kernel.params as Record<string, readonly [string, number]>);
    const ones = fields.map(([name, [type]]) => [
      name,
      type.startsWith('vec') ? Array.from({ length: 4 }, () => -1) : -1,
    ]);
    pack(
      kernel as Kernel<Record<string, number>>,
      Object.fromEntries(ones) as Record<string, number>,
      bytes,
      0,
    );
    const sizes: Record<string, number> = { vec2u: 8, vec4u: 16, vec4i: 16 };
    const written = new Uint8Array(bytes.buffer).filter((byte) => byte !== 0).length;
    const f32 = fields.filter(([, [type]]) => type === 'f32').length;
    const all = fields.reduce((sum, [, [type]]) => sum + (sizes[type] ?? 4), 0);
    expect(written).toBe(all - 2 * f32); // −1 is all ones, but as an f32: 0xbf800000
  });
});

it('nothing else is embedded', () => {
  expect(kernels.length).toBe(files.length);
});
