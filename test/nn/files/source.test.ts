import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  type ByteSource,
  blobSource,
  bytesSource,
  checkFileName,
  textOf,
} from '../../../packages/nn/src/files/source.ts';
import { ascii, failure, spiedSource } from './support.ts';
import { runs } from '../../support/runs.ts';

const makers: Record<string, (bytes: Uint8Array<ArrayBuffer>, name: string) => ByteSource> = {
  bytesSource,
  blobSource: (bytes, name) => blobSource(new Blob([bytes]), name),
};

describe.each(Object.entries(makers))('%s', (_, make) => {
  test('reads any range of the bytes', async () => {
    await fc.assert(
      fc.asyncProperty(fc.uint8Array({ maxLength: 50 }), fc.nat(50), fc.nat(50), async (bytes, a, b) => {
        const [begin, end] = [a, b].map((x) => Math.min(x, bytes.length)).sort((x, y) => x - y);
        const source = make(Uint8Array.from(bytes), 'f');
        expect(source.size).toBe(bytes.length);
        expect(await source.read(begin, end - begin)).toEqual(bytes.slice(begin, end));
      }),
      runs(50),
    );
  });

  test('P60: refuses a range that is not inside', async () => {
    const source = make(new Uint8Array(10), 'model.safetensors');
    const bad: [number, number][] = [
      [0, 11],
      [10, 1],
      [-1, 2],
      [0, -1],
      [0.5, 1],
      [0, Number.NaN],
      [2 ** 53, 0],
    ];
    for (const [offset, length] of bad) {
      expect(await failure(() => source.read(offset, length))).toBe(
        `model.safetensors: cannot read ${length} bytes from byte ${offset} on: the file has 10 bytes`,
      );
    }
  });

  test('P52: what it hands out is not the file', async () => {
    const source = make(Uint8Array.of(1, 2, 3), 'f');
    (await source.read(0, 3)).fill(9);
    expect(await source.read(0, 3)).toEqual(Uint8Array.of(1, 2, 3));
  });
});

test("P52: also of Node's Buffers copies are handed out, at the start of memory of their own", async () => {
  const file = Buffer.from('xabcd').subarray(1);
  const read = await bytesSource(file, 'f').read(1, 2);
  read.fill(0);
  expect([file.toString(), read.byteOffset]).toEqual(['abcd', 0]);
});

test('P60: names that could lead out of the folder are refused', async () => {
  for (const name of ['', '.', '..', '/etc/passwd', 'a/b', '..\\b', 'a\0b', 'C:b', '../x']) {
    expect(await failure(() => checkFileName(name, 'folder x'))).toBe(
      `folder x: ${JSON.stringify(name)} is not a plain file name; no '/', '\\', ':', NUL, '.' or '..' may lead out of the folder`,
    );
  }
  for (const name of ['model.safetensors', '.hidden', '...', 'a..b', 'größe 1.json'])
    checkFileName(name, 'x');
});

test('text is read whole, without its byte order mark, and the source is closed', async () => {
  const source = spiedSource(ascii('\ufeffgrün'), 'f');
  expect(await textOf(source, 100)).toBe('grün');
  expect(source.closed).toBe(1);
});

test('P60: text that is too long is refused before it is read', async () => {
  const source = spiedSource(ascii('12345'), 'config.json');
  expect(await failure(() => textOf(source, 4))).toBe(
    'config.json: is 5 bytes long, more than the 4 that are read as text',
  );
  expect(source.asked).toEqual([]);
  expect(source.closed).toBe(1);
});

test('text that is not UTF-8 is refused', async () => {
  expect(await failure(() => textOf(bytesSource(Uint8Array.of(0x41, 0xff), 'f'), 9))).toBe(
    'f: is not valid UTF-8 text',
  );
});
