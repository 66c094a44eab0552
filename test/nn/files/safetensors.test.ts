import { BaxError } from '@bax/core';
import { describe, expect, test } from 'vitest';
import { memoryFolder } from '@bax/nn';
import { openSafetensors, openSafetensorsIn } from '../../../packages/nn/src/files/safetensors.ts';
import { type ByteSource, bytesSource } from '../../../packages/nn/src/files/source.ts';
import { failure, fileOf, spiedSource } from './support.ts';

// A file made by hand. Its header is 1 byte longer than a multiple of 8, so every tensor lies askew.
const entries: [
  name: string,
  dtype: string,
  shape: number[],
  bytes: number[],
  values: ArrayLike<number | bigint>,
][] = [
  ['f64', 'F64', [1], [0, 0, 0, 0, 0, 0, 0xf8, 0x3f], Float64Array.of(1.5)],
  ['i64', 'I64', [1, 1], [0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff], BigInt64Array.of(-2n)],
  ['u64', 'U64', [1], [1, 0, 0, 0, 0, 0, 0, 0x80], BigUint64Array.of(2n ** 63n + 1n)],
  ['bool', 'BOOL', [3], [1, 0, 1], Uint8Array.of(1, 0, 1)],
  ['f32', 'F32', [2], [0, 0, 0x80, 0x3f, 1, 0, 0xa0, 0xff], Float32Array.of(1, Number.NaN)],
  ['i32', 'I32', [], [0xff, 0xff, 0xff, 0xff], Int32Array.of(-1)],
  ['u32', 'U32', [1], [0xff, 0xff, 0xff, 0xff], Uint32Array.of(2 ** 32 - 1)],
  ['empty', 'F32', [2, 0], [], new Float32Array(0)],
  ['f16', 'F16', [2], [0x00, 0x3c, 0x01, 0x80], Uint16Array.of(0x3c00, 0x8001)],
  ['bf16', 'BF16', [2], [0x80, 0x3f, 0x00, 0xc0], Uint16Array.of(0x3f80, 0xc000)],
  ['i16', 'I16', [1], [0xfe, 0xff], Int16Array.of(-2)],
  ['u16', 'U16', [1], [0xfe, 0xff], Uint16Array.of(0xfffe)],
  ['i8', 'I8', [1, 2], [0x80, 0x7f], Int8Array.of(-128, 127)],
  ['u8', 'U8', [2], [0, 255], Uint8Array.of(0, 255)],
];
const data = entries.flatMap(([, , , bytes]) => bytes);
let at = 0;
const members = entries.map(([name, dtype, shape, { length }]) => {
  const offsets = [at, (at += length)];
  return `"${name}":${JSON.stringify({ dtype, shape, data_offsets: offsets })}`;
});
const json = `{"__metadata__":{"format":"pt"},${members.join(',')}}`;
const header = json + ' '.repeat(((9 - (json.length % 8)) % 8) + 0);
const file = fileOf(header, data);
/** The exact bits, NaN payloads too. */
const bitsOf = (array: ArrayBufferView): Uint8Array =>
  new Uint8Array(array.buffer, array.byteOffset, array.byteLength);

test('P49: the file is askew', () => expect(header.length % 8).toBe(1));

describe('P49: every dtype is read bit for bit from an unaligned place', () => {
  /** A source that hands out views into the whole file. */
  const viewing: ByteSource = {
    ...bytesSource(file, 'm'),
    read: async (from, n) => file.subarray(from, from + n),
  };
  test.each([
    ['copies', bytesSource(file, 'm')],
    ['views', viewing],
  ])('from a source of %s', async (_, source) => {
    const opened = await openSafetensors(source);
    expect([...opened.tensors.keys()].sort()).toEqual(entries.map(([name]) => name).sort());
    expect({ ...opened.metadata }).toEqual({ format: 'pt' });
    for (const [name, dtype, shape, bytes, values] of entries) {
      const tensor = await opened.read(name);
      expect([tensor.dtype, tensor.shape]).toEqual([dtype, shape]);
      expect(tensor.data.constructor).toBe(values.constructor);
      expect([...bitsOf(tensor.data)]).toEqual(bytes);
      if (name !== 'f32') expect(tensor.data).toEqual(values);
    }
  });
});

test('opening reads the header alone, reading a tensor reads that tensor', async () => {
  const source = spiedSource(file);
  const opened = await openSafetensors(source);
  expect(source.asked).toEqual([8, header.length]);
  expect(opened.tensors.get('f32')).toEqual({
    dtype: 'F32',
    shape: [2],
    offset: 8 + header.length + 27,
    bytes: 8,
  });
  await opened.read('f32');
  expect(source.asked).toEqual([8, header.length, 8]);
  await opened.close();
  expect(source.closed).toBe(1);
});

test('floats are widened without loss; nothing else is', async () => {
  const opened = await openSafetensors(bytesSource(file, 'm.safetensors'));
  expect(await opened.readFloat('bf16')).toEqual(Float32Array.of(1, -2));
  expect(await opened.readFloat('f16', 'f64')).toEqual(Float64Array.of(1, -(2 ** -24)));
  expect(await opened.readFloat('f32', 'f32')).toEqual(Float32Array.of(1, Number.NaN));
  expect(await opened.readFloat('f32', 'f64')).toEqual(Float64Array.of(1, Number.NaN));
  expect(await opened.readFloat('f64', 'f64')).toEqual(Float64Array.of(1.5));
  expect(await opened.readFloat('empty')).toEqual(new Float32Array(0));
  expect(await failure(() => opened.readFloat('f64'))).toBe(
    "safetensors: m.safetensors: tensor 'f64' is F64 and would be rounded to f32; read it as 'f64'",
  );
  expect(await failure(() => opened.readFloat('i32'))).toBe(
    "safetensors: m.safetensors: tensor 'i32' holds I32, not floats; use read()",
  );
});

test('a tensor that is not there: the error names some that are', async () => {
  const opened = await openSafetensors(bytesSource(file, 'm.safetensors'));
  expect(await failure(() => opened.read('toString'))).toBe(
    "safetensors: m.safetensors: no tensor 'toString'; it holds 14: f64, i64, u64, bool, f32, i32, u32, empty",
  );
});

test('an empty file and one without tensors', async () => {
  expect(await failure(() => openSafetensors(bytesSource(new Uint8Array(7), 'm')))).toBe(
    'safetensors: m: 7 bytes are too short to be a .safetensors file',
  );
  expect((await openSafetensors(bytesSource(fileOf('{}'), 'm'))).tensors.size).toBe(0);
});

test('a source that gives less than it was asked for', async () => {
  const short: ByteSource = {
    ...bytesSource(file, 'm'),
    read: async (from, n) => file.slice(from, from + n - 1),
  };
  expect(await failure(() => openSafetensors(short))).toBe(
    'safetensors: m: asked for 8 bytes at 0, its source gave 7',
  );
});

test('what is no .safetensors file is closed again', async () => {
  for (const bytes of [
    new Uint8Array(3),
    new Uint8Array(20).fill(255),
    new TextEncoder().encode('{}{}{}{}'),
  ]) {
    let closed = 0;
    const source = bytesSource(bytes, 'a file');
    const folder = { ...memoryFolder(), open: async () => ({ ...source, close: async () => void closed++ }) };
    await expect(openSafetensorsIn(folder, 'a file')).rejects.toThrow(BaxError);
    expect(closed).toBe(1);
  }
});
