import { crc32 } from 'node:zlib';
import { memoryFolder, openSafetensors } from '@bax/nn';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { faultOf, writeSealed } from '../../../packages/nn/src/files/sealed.ts';
import { bytesSource } from '../../../packages/nn/src/files/source.ts';
import { spiedSource } from './support.ts';
import { runs } from '../../support/runs.ts';

const tensors = [
  { name: 'zz', dtype: 'F32', shape: [2], data: Float32Array.of(1, -0) },
  { name: 'x', dtype: 'F64', shape: [1, 2], data: () => Float64Array.of(5e-324, 0.1) },
  { name: 'none', dtype: 'F32', shape: [0], data: new Float32Array() },
] as const;

async function sealed(): Promise<Uint8Array> {
  const folder = memoryFolder();
  const size = await writeSealed(folder, 'f', tensors, { about: 'it' });
  const source = await folder.open('f');
  expect(source.size).toBe(size);
  return source.read(0, size);
}
const fault = async (bytes: Uint8Array): Promise<string | undefined> => faultOf(bytesSource(bytes, 'f'));

test("its last four bytes are zlib's checksum of the others, and a tensor for other readers", async () => {
  const bytes = await sealed();
  const view = new DataView(bytes.buffer);
  expect(view.getUint32(bytes.length - 4, true)).toBe(crc32(bytes.subarray(0, -4)));
  expect(await fault(bytes)).toBeUndefined();
  const file = await openSafetensors(bytesSource(bytes, 'f'));
  expect(file.metadata).toEqual({ about: 'it' });
  expect([...file.tensors.keys()]).toEqual(['x', 'none', 'zz', 'crc32']);
  expect(await file.read('crc32')).toEqual({ dtype: 'U32', shape: [1], data: Uint32Array.of(view.getUint32(bytes.length - 4, true)) }); // prettier-ignore
});

test('P60: every bit that is turned, every end that is missing, is found, also where zeros came instead', async () => {
  const bytes = await sealed();
  for (let i = 0; i < bytes.length; i++)
    for (let bit = 0; bit < 8; bit++)
      expect(await fault(bytes.with(i, bytes[i] ^ (1 << bit))), `bit ${bit} of byte ${i}`).toBeDefined();
  for (let end = 0; end < bytes.length; end++) {
    expect(await fault(bytes.slice(0, end)), `up to ${end}`).toBeDefined();
    const zeros = bytes.slice().fill(0, end);
    if (zeros.some((byte, i) => byte !== bytes[i])) expect(await fault(zeros), `zeros from ${end}`).toBeDefined(); // prettier-ignore
  }
  await fc.assert(
    fc.asyncProperty(fc.uint8Array({ maxLength: 400 }), async (any) => {
      if (await fault(any)) return;
      expect(crc32(any.subarray(0, -4))).toBe(new DataView(any.buffer).getUint32(any.length - 4, true));
    }),
    runs(100),
  );
});

test('says what is wrong', async () => {
  const bytes = await sealed();
  const [sum, said] = [crc32(bytes.subarray(0, -4)), new DataView(bytes.buffer).getUint32(bytes.length - 4, true)]; // prettier-ignore
  expect(said).toBe(sum);
  const hex = said.toString(16).padStart(8, '0');
  const wrong = crc32(bytes.with(9, 0).subarray(0, -4)).toString(16).padStart(8, '0');
  expect(await fault(bytes.with(9, 0))).toBe(`the CRC-32 of its bytes is ${wrong}, and it says ${hex}`);
  expect(await fault(bytes.slice(0, 11))).toBe('it ends after 11 bytes');
});

test('is looked at a piece at a time, whatever its size, and an error of reading is no fault of the file', async () => {
  const size = 2 ** 22 + 5;
  const source = spiedSource(new Uint8Array(size));
  expect(await faultOf(source)).toBeDefined();
  expect(Math.max(...source.asked)).toBe(2 ** 20);
  expect(source.asked.reduce((a, b) => a + b)).toBe(size);
  const failing = { ...source, read: async () => Promise.reject(new Error('EIO')) };
  await expect(faultOf(failing)).rejects.toThrow('EIO');
});
