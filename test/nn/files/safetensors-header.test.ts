import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { BaxError } from '@bax/core';
import { openSafetensors } from '../../../packages/nn/src/files/safetensors.ts';
import { ascii, failure, fileOf, spiedSource } from './support.ts';
import { runs } from '../../support/runs.ts';

const info = (begin: number | string, end: number | string, shape = '[2]', dtype = '"F32"'): string =>
  `{"dtype":${dtype},"shape":${shape},"data_offsets":[${begin},${end}]}`;

describe('P60: a header that breaks the format is refused', () => {
  // "H" stands for where the data begins, "E" for the end of the file.
  const cases: [what: string, header: string, dataBytes: number, message: string][] = [
    [
      'past the end',
      `{"x":${info(0, 8)}}`,
      4,
      "tensor 'x' ends at byte H+8, past the end of the file (E bytes)",
    ],
    ['begin after end', `{"x":${info(8, 0)}}`, 8, "tensor 'x' begins at byte H+8 and ends before it, at H+0"],
    [
      'overlap',
      `{"x":${info(0, 8)},"y":${info(4, 12)}}`,
      12,
      "tensor 'y' overlaps the one before it at byte H+4",
    ],
    [
      'the same bytes twice',
      `{"x":${info(0, 8)},"y":${info(0, 8)}}`,
      8,
      "tensor 'y' overlaps the one before it at byte H+0",
    ],
    ['a hole', `{"x":${info(0, 8)},"y":${info(12, 20)}}`, 20, 'bytes H+8 to H+12 belong to no tensor'],
    ['a hole at the beginning', `{"x":${info(4, 12)}}`, 12, 'bytes H+0 to H+4 belong to no tensor'],
    ['a tail', `{"x":${info(0, 8)}}`, 9, 'bytes H+8 to H+9, the end of the file, belong to no tensor'],
    ['data without tensors', '{}', 1, 'bytes H+0 to H+1, the end of the file, belong to no tensor'],
    [
      'an empty tensor within another',
      `{"x":${info(0, 8)},"y":${info(4, 4, '[0]')}}`,
      8,
      "tensor 'y' overlaps the one before it at byte H+4",
    ],
    [
      'a wrong size',
      `{"x":${info(0, 8, '[3]')}}`,
      8,
      "tensor 'x': F32 [3] takes 12 bytes; its data_offsets span 8",
    ],
    [
      'a size that wraps around 2^64',
      `{"x":${info(0, 8, '[4294967296,4294967296,2]')}}`,
      8,
      "tensor 'x' has shape [4294967296,4294967296,2]: not whole numbers with a product below 2^53",
    ],
    [
      'a huge dimension',
      `{"x":${info(0, 8, '[9007199254740993]')}}`,
      8,
      "tensor 'x' has shape [9007199254740992]: not whole numbers with a product below 2^53",
    ],
    [
      'a huge tensor',
      `{"x":${info(0, 8, '[1099511627776]')}}`,
      8,
      "tensor 'x': F32 [1099511627776] takes 4398046511104 bytes; its data_offsets span 8",
    ],
    [
      'a negative dimension',
      `{"x":${info(0, 8, '[-2]')}}`,
      8,
      "tensor 'x' has shape [-2]: not whole numbers with a product below 2^53",
    ],
    [
      'a fractional dimension',
      `{"x":${info(0, 8, '[0.5,4]')}}`,
      8,
      "tensor 'x' has shape [0.5,4]: not whole numbers with a product below 2^53",
    ],
    [
      'a dimension of text',
      `{"x":${info(0, 8, '["2"]')}}`,
      8,
      `tensor 'x' has shape ["2"]: not whole numbers with a product below 2^53`,
    ],
    [
      'no shape',
      '{"x":{"dtype":"F32","data_offsets":[0,8]}}',
      8,
      "tensor 'x' has shape undefined: not whole numbers with a product below 2^53",
    ],
    [
      'an infinite dimension',
      `{"x":${info(0, 8, '[1e999]')}}`,
      8,
      "tensor 'x' has shape [null]: not whole numbers with a product below 2^53",
    ],
    [
      'a negative offset',
      `{"x":${info(-8, 0)}}`,
      8,
      "tensor 'x' has data_offsets [-8,0]: not two whole numbers",
    ],
    [
      'three offsets',
      '{"x":{"dtype":"F32","shape":[2],"data_offsets":[0,8,8]}}',
      8,
      "tensor 'x' has data_offsets [0,8,8]: not two whole numbers",
    ],
    [
      'no offsets',
      '{"x":{"dtype":"F32","shape":[2]}}',
      8,
      "tensor 'x' has data_offsets undefined: not two whole numbers",
    ],
    [
      'huge offsets',
      `{"x":${info(0, '1e300')}}`,
      8,
      "tensor 'x' has data_offsets [0,1e+300]: not two whole numbers",
    ],
    [
      'an unknown dtype',
      `{"x":${info(0, 8, '[8]', '"F8_E4M3"')}}`,
      8,
      `tensor 'x' has dtype "F8_E4M3"; known are U64, I64, F64, F32, U32, I32, BF16, F16, U16, I16, I8, U8, BOOL`,
    ],
    [
      'a dtype of the prototype',
      `{"x":${info(0, 8, '[2]', '"toString"')}}`,
      8,
      `tensor 'x' has dtype "toString"; known are U64, I64, F64, F32, U32, I32, BF16, F16, U16, I16, I8, U8, BOOL`,
    ],
    ['a tensor that is no object', '{"x":[]}', 0, "tensor 'x' is not described by an object"],
    ['metadata that is no text', '{"__metadata__":{"n":1}}', 0, "__metadata__ 'n' is not a string"],
    ['metadata that is no object', '{"__metadata__":[]}', 0, '__metadata__ is not an object'],
    [
      'duplicate tensors',
      `{"x":${info(0, 8)},"x":${info(0, 8)}}`,
      8,
      'header: duplicate key "x" at offset 54 (line 1, column 55)',
    ],
    [
      'duplicate fields',
      '{"x":{"dtype":"F32","dtype":"F32"}}',
      0,
      'header: duplicate key "dtype" at offset 20 (line 1, column 21)',
    ],
    [
      'deep nesting',
      `{"x":${'['.repeat(50)}`,
      0,
      'header: nested deeper than 3 at offset 7 (line 1, column 8)',
    ],
    ['not JSON', '{"x":nul}', 0, 'header: expected a value at offset 5 (line 1, column 6)'],
    ['not an object', '[]', 0, "the header does not begin with '{'"],
    ['white space first', ' {}', 0, "the header does not begin with '{'"],
  ];
  test.each(cases)('%s', async (_, header, dataBytes, message) => {
    const source = spiedSource(fileOf(header, new Uint8Array(dataBytes)));
    const start = 8 + header.length;
    const filled = message
      .replace(/H\+(\d+)/g, (__, n: string) => `${start + Number(n)}`)
      .replace('(E ', `(${source.size} `);
    expect(await failure(() => openSafetensors(source))).toBe(`safetensors: m.safetensors: ${filled}`);
  });

  test('a length that is too small, past the end, or absurd; nothing is read on its word', async () => {
    const cases: [bigint, string][] = [
      [0n, 'a header of 0 bytes is too short to be one'],
      [1n, 'a header of 1 bytes is too short to be one'],
      [3n, 'the header ends at byte 11, past the end of the file (10 bytes)'],
      [100_000_000n, 'the header ends at byte 100000008, past the end of the file (10 bytes)'],
      [100_000_001n, 'a header of 100000001 bytes; is this a .safetensors file?'],
      [2n ** 32n + 2n, 'a header of 4294967298 bytes; is this a .safetensors file?'],
      [2n ** 64n - 1n, 'a header of 18446744073709552000 bytes; is this a .safetensors file?'],
    ];
    for (const [claimed, message] of cases) {
      const source = spiedSource(fileOf('{}', [], claimed));
      expect(await failure(() => openSafetensors(source))).toBe(`safetensors: m.safetensors: ${message}`);
      expect(source.asked).toEqual([8]);
    }
  });

  test('text that is not UTF-8', async () => {
    const source = spiedSource(fileOf(Uint8Array.of(0x7b, 0xff, 0x7d)));
    expect(await failure(() => openSafetensors(source))).toBe(
      'safetensors: m.safetensors: header: is not valid UTF-8 text',
    );
  });

  test('a message holds only the beginning of a long name', async () => {
    const source = spiedSource(fileOf(`{"${'n'.repeat(100_000)}":[]}`));
    expect((await failure(() => openSafetensors(source))).length).toBeLessThan(200);
  });
});

test('P60: names and metadata keys of the prototype are like any other', async () => {
  const header = `{"__metadata__":{"__proto__":"m"},"__proto__":${info(0, 8)},"constructor":${info(8, 16)}}`;
  const opened = await openSafetensors(spiedSource(fileOf(header, new Uint8Array(16))));
  expect([...opened.tensors.keys()]).toEqual(['__proto__', 'constructor']);
  expect(Object.entries(opened.metadata)).toEqual([['__proto__', 'm']]);
});

test('tensors may be listed in any order, be empty, and have names like numbers', async () => {
  const header = `{"2":${info(8, 16)},"10":${info(0, 8)},"e":${info(8, 8, '[0,5]')},"f":${info(16, 16, '[9007199254740991,0]')}}`;
  const opened = await openSafetensors(spiedSource(fileOf(header, new Uint8Array(16))));
  expect([...opened.tensors.keys()]).toEqual(['10', 'e', '2', 'f']);
});

describe('P60: fuzz', () => {
  const good = `{"__metadata__":{"format":"pt"},"a":${info(0, 8)},"b.weight":${info(8, 20, '[2,3]', '"BF16"')},"c":${info(20, 20, '[0]')}}  `;
  const data = Uint8Array.from({ length: 20 }, (_, i) => i + 1);

  /** Opens and reads all. An error must be ours; a success must be what an independent reader of the JSON finds. */
  async function survives(file: Uint8Array): Promise<void> {
    const source = spiedSource(file);
    try {
      const opened = await openSafetensors(source);
      const length = Number(new DataView(file.buffer).getBigUint64(0, true));
      const json: Record<string, { dtype: string; shape: number[]; data_offsets: [number, number] }> =
        JSON.parse(new TextDecoder().decode(file.slice(8, 8 + length)));
      expect([...opened.tensors.keys()].sort()).toEqual(
        Object.keys(json)
          .filter((k) => k !== '__metadata__')
          .sort(),
      );
      const covered = new Uint8Array(file.length).fill(1, 0, 8 + length);
      for (const name of opened.tensors.keys()) {
        const tensor = await opened.read(name);
        const [begin, end] = json[name].data_offsets.map((offset) => offset + 8 + length);
        expect([tensor.dtype, tensor.shape.join()]).toEqual([
          json[name].dtype,
          json[name].shape.join().replace(/-0/g, '0'),
        ]);
        expect(tensor.shape.reduce((a, b) => a * b, 1)).toBe(tensor.data.length);
        expect(new Uint8Array(tensor.data.buffer, 0, tensor.data.byteLength)).toEqual(file.slice(begin, end));
        for (let i = begin; i < end; i++) covered[i]++;
      }
      expect(covered.every((times) => times === 1)).toBe(true);
    } catch (error) {
      if (!(error instanceof BaxError)) throw error;
    }
    expect(Math.max(...source.asked)).toBeLessThanOrEqual(file.length);
    expect(source.asked.reduce((a, b) => a + b, 0)).toBeLessThanOrEqual(file.length);
  }

  test('the file without a change survives', () => survives(fileOf(good, data)));

  test('bytes changed anywhere in the length and the header', async () => {
    const change = fc.tuple(fc.nat(8 + good.length - 1), fc.integer({ min: 0, max: 255 }));
    await fc.assert(
      fc.asyncProperty(fc.array(change, { minLength: 1, maxLength: 4 }), async (changes) => {
        const file = fileOf(good, data);
        for (const [at, byte] of changes) file[at] = byte;
        await survives(file);
      }),
      runs(3000),
    );
  });

  test('numbers, words and signs of the header exchanged for others', async () => {
    const tokens = good.match(/"[^"]*"|\d+|\S/g) ?? [];
    const other = fc.constantFrom(
      '0',
      '-0',
      '1',
      '2',
      '4',
      '8',
      '20',
      '-1',
      '0.5',
      '2e0',
      '9007199254740991',
      '9007199254740993',
      '18446744073709551615',
      '1e308',
      '1e999',
      'null',
      '[]',
      '{}',
      '"F64"',
      '"I8"',
      '"a"',
      '"__proto__"',
      '"__metadata__"',
      '"shape"',
      ',',
      '',
    );
    const change = fc.tuple(fc.nat(tokens.length - 1), other);
    await fc.assert(
      fc.asyncProperty(fc.array(change, { minLength: 1, maxLength: 3 }), async (changes) => {
        const mutant = [...tokens];
        for (const [at, token] of changes) mutant[at] = token;
        await survives(fileOf(mutant.join(''), data));
      }),
      runs(3000),
    );
  });

  test('files cut off, and any bytes at all', async () => {
    const whole = fileOf(good, data);
    for (let end = 0; end < whole.length; end++) {
      expect(await failure(() => openSafetensors(spiedSource(whole.slice(0, end))))).toMatch(
        /^safetensors: /,
      );
    }
    await fc.assert(
      fc.asyncProperty(fc.uint8Array({ maxLength: 100 }), (bytes) => survives(fileOf(bytes))),
      runs(500),
    );
    await survives(fileOf(ascii('{"a":'.repeat(100_000))));
  });
});
