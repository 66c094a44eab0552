import { expect, test } from 'vitest';
import { memoryFolder } from '../../../packages/nn/src/files/memory.ts';
import { ascii, failure } from './support.ts';

test('lists, finds, opens and reads what was put in', async () => {
  const folder = memoryFolder({ 'b.txt': 'text', 'a.bin': Uint8Array.of(1, 2) });
  expect(await folder.list()).toEqual(['a.bin', 'b.txt']);
  expect(await folder.has('a.bin')).toBe(true);
  expect(await folder.has('c')).toBe(false);
  expect(await folder.readText('b.txt', 4)).toBe('text');
  const source = await folder.open('a.bin');
  expect([source.name, source.size]).toEqual(['memory/a.bin', 2]);
  expect(await source.read(1, 1)).toEqual(Uint8Array.of(2));
});

test('writes chunks, from an iterable or an async one, even if their buffer is used again', async () => {
  const folder = memoryFolder();
  function* reused(): Generator<Uint8Array> {
    const buffer = new Uint8Array(2);
    yield buffer.fill(1);
    yield buffer.fill(2);
  }
  async function* slow(): AsyncGenerator<Uint8Array> {
    yield* reused();
  }
  for (const chunks of [reused(), slow()]) {
    expect(await folder.write('f', chunks)).toBe(4);
    expect(await (await folder.open('f')).read(0, 4)).toEqual(Uint8Array.of(1, 1, 2, 2));
  }
});

test('P52: copies what it is given, also of Node, whose Buffers share what they slice', async () => {
  const pool = Buffer.from('xtext');
  const folder = memoryFolder({ f: pool.subarray(1) });
  await folder.write('g', [pool.subarray(1)]);
  const read = await Promise.all(['f', 'g'].map(async (file) => (await folder.open(file)).read(0, 4)));
  pool.fill(0);
  read[0].fill(1);
  for (const file of ['f', 'g']) expect(await folder.readText(file, 4)).toBe('text');
  expect(read[1]).toEqual(ascii('text'));
});

test('a write that fails leaves the old file whole', async () => {
  const folder = memoryFolder({ f: 'old' });
  async function* failing(): AsyncGenerator<Uint8Array> {
    yield ascii('new');
    throw new Error('no more');
  }
  await expect(folder.write('f', failing())).rejects.toThrow('no more');
  expect(await failure(() => folder.write('f', [ascii('new')], 4))).toBe(
    'memory/f: 4 bytes were announced and 3 came',
  );
  expect(await folder.readText('f', 9)).toBe('old');
});

test('a source keeps the file that it opened', async () => {
  const folder = memoryFolder({ f: 'old' });
  const source = await folder.open('f');
  await folder.write('f', [ascii('newer')]);
  expect(await source.read(0, source.size)).toEqual(ascii('old'));
});

test('deletes a file, and says whether there was one', async () => {
  const folder = memoryFolder({ f: 'old', g: '' });
  expect([await folder.remove('f'), await folder.remove('f')]).toEqual([true, false]);
  expect(await folder.list()).toEqual(['g']);
});

test('says which file is missing; P60: refuses names that lead elsewhere', async () => {
  const folder = memoryFolder({}, 'adapter');
  expect(await failure(() => folder.open('x'))).toBe("adapter: there is no file 'x'");
  for (const act of [
    (n: string) => folder.open(n),
    (n: string) => folder.has(n),
    (name: string) => folder.write(name, []),
    (n: string) => folder.readText(n, 1),
    (n: string) => folder.remove(n),
  ]) {
    expect(await failure(() => act('../x'))).toMatch(/is not a plain file name/);
  }
  expect(await failure(() => memoryFolder({ 'a/b': '' }))).toMatch(/is not a plain file name/);
});
