import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { memoryFolder } from '../../../packages/nn/src/files/memory.ts';
import { ARRAYS, DTYPES } from '../../../packages/nn/src/files/safetensors-header.ts';
import {
  type TensorToWrite,
  encodeSafetensors,
  writeSafetensors,
} from '../../../packages/nn/src/files/safetensors-write.ts';
import { openSafetensors } from '../../../packages/nn/src/files/safetensors.ts';
import { type WritableFolder, bytesSource } from '../../../packages/nn/src/files/source.ts';
import { failure, fileOf } from './support.ts';
import { runs } from '../../support/runs.ts';

const bitsOf = (array: ArrayBufferView): Uint8Array =>
  new Uint8Array(array.buffer, array.byteOffset, array.byteLength).slice();
const headerOf = (file: Uint8Array): string => {
  const length = Number(new DataView(file.buffer).getBigUint64(0, true));
  expect(length % 8).toBe(0);
  return new TextDecoder().decode(file.subarray(8, 8 + length));
};

describe("P49: the reference library's own examples, byte for byte", () => {
  // https://github.com/huggingface/safetensors, tests of safetensors/src/tensor.rs
  const floats = Float32Array.of(0, 1, 2, 3, 4, 5);
  test('one tensor', () => {
    const file = encodeSafetensors([{ name: 'attn.0', dtype: 'F32', shape: [1, 2, 3], data: floats }]);
    const header = '{"attn.0":{"dtype":"F32","shape":[1,2,3],"data_offsets":[0,24]}}';
    expect(file).toEqual(fileOf(header, bitsOf(floats)));
  });
  test('a padded header', () => {
    const file = encodeSafetensors([{ name: 'attn0', dtype: 'F32', shape: [1, 1, 2, 3], data: floats }]);
    const header = '{"attn0":{"dtype":"F32","shape":[1,1,2,3],"data_offsets":[0,24]}}       ';
    expect(file).toEqual(fileOf(header, bitsOf(floats)));
  });
  test('no tensor, without and with metadata', () => {
    expect(encodeSafetensors([])).toEqual(fileOf('{}      '));
    expect(encodeSafetensors([], { metadata: { framework: 'pt' } })).toEqual(
      fileOf('{"__metadata__":{"framework":"pt"}}     '),
    );
  });
});

test('P49: the order is by dtype, widest first, then by the UTF-8 bytes of the name', () => {
  const names = ['10', '9', 'B', 'a', 'é', '\uff5e', '\u{1f600}']; // in the order of their bytes
  const order = [
    'U64',
    'I64',
    'F64',
    'F32',
    'U32',
    'I32',
    'BF16',
    'F16',
    'U16',
    'I16',
    'I8',
    'U8',
    'BOOL',
  ] as const;
  const sorted = order.flatMap((dtype) => names.map((name) => `${name} ${dtype}`));
  const tensors = fc.shuffledSubarray(sorted, { minLength: sorted.length });
  fc.assert(
    fc.property(tensors, (shuffled) => {
      const file = encodeSafetensors(
        shuffled.map((name) => {
          const dtype = name.split(' ')[1] as TensorToWrite['dtype'];
          return {
            name,
            dtype,
            shape: [0],
            data: new ARRAYS[dtype](new ArrayBuffer(0), 0, 0),
          } as TensorToWrite;
        }),
      );
      const written = headerOf(file)
        .match(/"[^"]* [A-Z0-9]+":/g)
        ?.map((key) => key.slice(1, -2));
      expect(written).toEqual(sorted);
    }),
    runs(20),
  );
});

/** Any tensors: random bits, NaN payloads and negative zeros among them, in arrays that begin anywhere. */
const anyTensors: fc.Arbitrary<TensorToWrite[]> = fc
  .uniqueArray(
    fc.record({
      name: fc.string({ unit: 'binary' }).filter((name) => name !== '__metadata__'),
      dtype: fc.constantFrom(...DTYPES),
      shape: fc.array(fc.nat(4), { maxLength: 4 }),
      skip: fc.nat(3),
      seed: fc.nat(250),
    }),
    { selector: ({ name }) => name, maxLength: 6 },
  )
  .map((list) =>
    list.map(({ name, dtype, shape, skip, seed }) => {
      const array = ARRAYS[dtype];
      const count = shape.reduce((a, b) => a * b, 1);
      const buffer = Uint8Array.from(
        { length: (skip + count) * array.BYTES_PER_ELEMENT },
        (_, i) => seed + i * 7,
      ).buffer;
      return {
        name,
        dtype,
        shape,
        data: new array(buffer, skip * array.BYTES_PER_ELEMENT, count),
      } as TensorToWrite;
    }),
  );

test('P23: what is written is read again, bit for bit; the size is 8 + header + the bytes', async () => {
  const metadata = fc.dictionary(fc.string({ unit: 'binary' }), fc.string({ unit: 'binary' }));
  await fc.assert(
    fc.asyncProperty(anyTensors, metadata, async (tensors, metadata) => {
      const folder = memoryFolder();
      const size = await writeSafetensors(folder, 'm', tensors, { metadata });
      const source = await folder.open('m');
      const bytes = await source.read(0, source.size);
      const total = tensors.reduce((sum, { data }) => sum + (data as Uint8Array).byteLength, 0);
      const header = new TextEncoder().encode(headerOf(bytes)).length;
      expect([size, source.size]).toEqual([8 + header + total, 8 + header + total]);
      expect(encodeSafetensors(tensors, { metadata })).toEqual(bytes);

      const opened = await openSafetensors(source);
      expect(opened.tensors.size).toBe(tensors.length);
      expect(new Map(Object.entries(opened.metadata))).toEqual(new Map(Object.entries(metadata)));
      for (const { name, dtype, shape, data } of tensors) {
        const read = await opened.read(name);
        expect([read.dtype, read.shape]).toEqual([dtype, shape]);
        expect(bitsOf(read.data)).toEqual(bitsOf(data as Uint8Array));
        expect((opened.tensors.get(name)?.offset ?? 0) % ARRAYS[dtype].BYTES_PER_ELEMENT).toBe(0);
      }
    }),
    runs(200),
  );
});

test('data may be made when its turn comes, one tensor at a time', async () => {
  const folder = memoryFolder();
  const log: string[] = [];
  const lazy = (name: string): TensorToWrite => ({
    name,
    dtype: 'F32',
    shape: [1],
    data: async () => {
      log.push(name);
      return Float32Array.of(name.charCodeAt(0));
    },
  });
  const watched: WritableFolder = {
    ...folder,
    write(name, chunks, bytes) {
      async function* seen(): AsyncGenerator<Uint8Array> {
        for await (const chunk of chunks) {
          log.push(`${chunk.byteLength}`);
          yield chunk;
        }
      }
      return folder.write(name, seen(), bytes);
    },
  };
  await writeSafetensors(watched, 'm', [lazy('b'), lazy('a')]);
  expect(log).toEqual(['120', 'a', '4', 'b', '4']);
  const opened = await openSafetensors(await folder.open('m'));
  expect(await opened.readFloat('a')).toEqual(Float32Array.of(97));
});

test('P23: what cannot be a file is refused and nothing is written', async () => {
  const x = { name: 'x', dtype: 'F32', shape: [2], data: new Float32Array(2) } as const;
  const cases: [TensorToWrite[], string][] = [
    [[x, { ...x }], "tensor 'x' is given twice"],
    [
      [{ ...x, name: '__metadata__' }],
      "tensor '__metadata__': this name is taken by the format; pass it as metadata",
    ],
    [[{ ...x, shape: [3] }], "tensor 'x': shape [3] has 3 elements, its data 2"],
    [[{ ...x, shape: [] }], "tensor 'x': shape [] has 1 elements, its data 2"],
    [[{ ...x, shape: [-1, -2] }], "tensor 'x' has a shape that cannot be: [-1, -2]"],
    [[{ ...x, shape: [0.5, 4] }], "tensor 'x' has a shape that cannot be: [0.5, 4]"],
    [
      [{ ...x, shape: [2 ** 32, 2 ** 32] }],
      "tensor 'x' has a shape that cannot be: [4294967296, 4294967296]",
    ],
    [
      [{ ...x, data: new Int32Array(2) } as unknown as TensorToWrite],
      "tensor 'x': F32 is written from a Float32Array, not from Int32Array",
    ],
    [
      [{ ...x, data: [1, 2] } as unknown as TensorToWrite],
      "tensor 'x': F32 is written from a Float32Array, not from Array",
    ],
    [[{ ...x, data: async () => new Float32Array(3) }], "tensor 'x': shape [2] has 2 elements, its data 3"],
    [
      [{ ...x, dtype: 'f32' } as unknown as TensorToWrite],
      "tensor 'x' has dtype 'f32'; known are U64, I64, F64, F32, U32, I32, BF16, F16, U16, I16, I8, U8, BOOL",
    ],
    [[{ ...x, name: 'a\ud800' }], "tensor 'a\ud800' has half of a character in it, which UTF-8 cannot hold"],
  ];
  for (const [tensors, message] of cases) {
    const folder = memoryFolder({ m: 'old' });
    expect(await failure(() => writeSafetensors(folder, 'm', tensors))).toBe(
      `writeSafetensors: m: ${message}`,
    );
    expect(await folder.readText('m', 9)).toBe('old');
  }
  const metadata = { n: 1 } as unknown as Record<string, string>;
  expect(await failure(() => encodeSafetensors([x], { metadata }))).toBe(
    "encodeSafetensors: metadata 'n' is not a string",
  );
  expect(await failure(() => encodeSafetensors([{ ...x, data: () => new Float32Array(2) }]))).toBe(
    "encodeSafetensors: tensor 'x': F32 is written from a Float32Array, not from Function",
  );
});

test('P23: an empty save can be made impossible', async () => {
  expect(
    await failure(() => writeSafetensors(memoryFolder(), 'a.safetensors', [], { atLeastOne: true })),
  ).toBe('writeSafetensors: a.safetensors: there is no tensor to write');
  expect(await openSafetensors(bytesSource(encodeSafetensors([]), 'm'))).toHaveProperty('tensors.size', 0);
});
