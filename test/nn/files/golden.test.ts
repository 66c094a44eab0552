// Our reader and writer against files that PyTorch and the safetensors library made (test/reference makes them).
import { createHash } from 'node:crypto';
import { readFileSync, readdirSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { bf16ToF32, f16ToF32, f32ToBf16, f32ToF16 } from '@bax/core';
import { type TensorToWrite, encodeSafetensors } from '../../../packages/nn/src/files/safetensors-write.ts';
import { type Safetensors, openSafetensors } from '../../../packages/nn/src/files/safetensors.ts';
import { bytesSource } from '../../../packages/nn/src/files/source.ts';
import { failure } from './support.ts';

const folder = new URL('../../golden/', import.meta.url);
const bytesOf = (file: string): Uint8Array => new Uint8Array(readFileSync(new URL(file, folder)));
const jsonOf = (file: string): unknown => JSON.parse(readFileSync(new URL(file, folder), 'utf8'));
const open = (file: string): Promise<Safetensors> => openSafetensors(bytesSource(bytesOf(file), file));
const files = readdirSync(folder, { recursive: true, encoding: 'utf8' })
  .map((file) => file.replaceAll('\\', '/'))
  .filter((file) => file.endsWith('.safetensors'));
const foreign = ['safetensors/complex.safetensors', 'safetensors/eight-bit.safetensors'];

test.each(files.filter((file) => !foreign.includes(file)))(
  'P23, P49: %s, read and written again, is the same file byte for byte',
  async (file) => {
    const opened = await open(file);
    const { tensors, metadata } = opened;
    const all: TensorToWrite[] = [];
    for (const name of tensors.keys()) all.unshift({ name, ...(await opened.read(name)) });
    const options = Object.keys(metadata).length > 0 ? { metadata } : {};
    expect(Buffer.compare(encodeSafetensors(all, options), bytesOf(file))).toBe(0);
  },
);

interface Described {
  metadata: Record<string, string> | null;
  tensors: {
    name: string;
    dtype: string;
    shape: number[];
    hex: string;
    values: (number | string | boolean)[];
  }[];
}

describe.each(['dtypes', 'shapes', 'names', 'no-tensors', 'unsigned'])('P49: %s.safetensors', (name) => {
  test('holds the names, dtypes, shapes, bytes and values that Python saw', async () => {
    const expected = jsonOf(`safetensors/${name}.json`) as Described;
    const opened = await open(`safetensors/${name}.safetensors`);
    expect({ ...opened.metadata }).toEqual({ ...expected.metadata });
    expect(new Set(opened.tensors.keys())).toEqual(new Set(expected.tensors.map((tensor) => tensor.name)));
    for (const { name, dtype, shape, hex, values } of expected.tensors) {
      const tensor = await opened.read(name);
      expect([tensor.dtype, tensor.shape]).toEqual([dtype, shape]);
      const { buffer, byteOffset, byteLength } = tensor.data;
      expect(Buffer.from(buffer, byteOffset, byteLength).toString('hex')).toBe(hex);
      const numbers = dtype.includes('F') ? await opened.readFloat(name, 'f64') : tensor.data;
      for (const [i, value] of values.entries()) expect(Number(numbers[i])).toBe(Number(value));
      if (dtype.endsWith('64') && dtype !== 'F64') expect(Array.from(tensor.data, String)).toEqual(values);
    }
  });
});

test.each(foreign)('P60: %s holds a dtype that is not read, and the error says which', async (file) => {
  expect(await failure(() => open(file))).toMatch(/tensor '(C64|F8_\w+)' has dtype "\1"; known are U64, /);
});

describe.each([
  ['f16', f16ToF32, f32ToF16, 0x7e00],
  ['bf16', bf16ToF32, f32ToBf16, 0x7fc0],
] as const)('P49: %s as PyTorch converts it', (name, widen, narrow, nan) => {
  test('all 65,536 patterns widen to the same f32 bits', () => {
    const bits = new Uint32Array(widen(Uint16Array.from({ length: 65536 }, (_, i) => i)).buffer);
    const canonical = bits.map((b) => ((b & 0x7fffffff) > 0x7f800000 ? 0x7fc00000 : b));
    const hashes = jsonOf('halves.json') as Record<string, string>;
    const hash = createHash('sha256').update(new Uint8Array(canonical.buffer)).digest('hex');
    expect(hash).toBe(hashes[`${name}.to_f32.sha256`]);
  });

  test('4,096 floats around ties, subnormals and overflow round to the same bits', async () => {
    const opened = await open('halves.safetensors');
    const rounded = (await opened.read(`${name}.rounded`)).data;
    const floats = await opened.readFloat('f32');
    const ours = narrow(floats).map((pattern, i) => (Number.isNaN(floats[i]) ? nan : pattern));
    expect(ours).toEqual(rounded);
  });
});
