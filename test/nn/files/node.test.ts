import { execFileSync } from 'node:child_process';
import {
  type FileHandle,
  chmod,
  mkdir,
  mkdtemp,
  open,
  readFile,
  readdir,
  realpath,
  rm,
  stat,
  symlink,
  writeFile,
} from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { openFolder } from '@bax/nn/node';
import { ascii, failure } from './support.ts';

let path: string;
beforeEach(async () => {
  path = await realpath(await mkdtemp(join(tmpdir(), 'bax-files-')));
});
afterEach(async () => {
  vi.restoreAllMocks();
  await rm(path, { recursive: true });
});

/** The methods of every file handle, to make the disk fail. */
async function handleMethods(): Promise<FileHandle> {
  const handle = await open(path);
  await handle.close();
  return Object.getPrototypeOf(handle);
}

test('lists files, not folders, and reads ranges of them', async () => {
  await writeFile(join(path, 'b'), 'hello');
  await writeFile(join(path, 'a'), '');
  await mkdir(join(path, 'sub'));
  const folder = await openFolder(path);
  expect(await folder.list()).toEqual(['a', 'b']);
  expect([await folder.has('b'), await folder.has('c')]).toEqual([true, false]);
  const source = await folder.open('b');
  expect([source.name, source.size]).toEqual([join(path, 'b'), 5]);
  expect(await source.read(1, 3)).toEqual(ascii('ell'));
  expect(await failure(() => source.read(1, 5))).toBe(
    `${path}/b: cannot read 5 bytes from byte 1 on: the file has 5 bytes`,
  );
  await source.close();
  expect(await folder.readText('b', 5)).toBe('hello');
});

test('says what is missing or of the wrong kind, and where', async () => {
  await writeFile(join(path, 'file'), '');
  await mkdir(join(path, 'sub'));
  expect(await failure(() => openFolder(join(path, 'x')))).toBe(
    `openFolder: there is no directory ${path}/x; pass { create: true } to make it`,
  );
  for (const create of [false, true]) {
    expect(await failure(() => openFolder(join(path, 'file'), { create }))).toBe(
      `openFolder: expected a directory, found a file: ${path}/file`,
    );
  }
  const folder = await openFolder(path);
  expect(await failure(() => folder.open('x'))).toBe(`${path}: there is no file 'x'`);
  expect(await failure(() => folder.open('sub'))).toBe(
    `${path}/sub: expected a file, found a directory or a device`,
  );
});

test('makes a directory when asked to', async () => {
  const folder = await openFolder(join(path, 'deep', 'er'), { create: true });
  await folder.write('f', [ascii('x')]);
  expect(await readFile(join(path, 'deep', 'er', 'f'), 'utf8')).toBe('x');
});

test('a pipe is refused instead of waited for', async () => {
  execFileSync('mkfifo', [join(path, 'pipe')]);
  const folder = await openFolder(path);
  expect(await failure(() => folder.open('pipe'))).toMatch(/expected a file/);
});

test('P60: names and symbolic links do not lead out of the folder', async () => {
  await mkdir(join(path, 'inside'));
  await writeFile(join(path, 'secret'), 's');
  await writeFile(join(path, 'inside', 'real'), 'r');
  await symlink('../secret', join(path, 'inside', 'out'));
  await symlink('real', join(path, 'inside', 'in'));
  await symlink('nowhere', join(path, 'inside', 'broken'));
  // The name of the folder itself is the beginning of this one's.
  await mkdir(join(path, 'inside-not'));
  await writeFile(join(path, 'inside-not', 'x'), 'x');
  await symlink('../inside-not/x', join(path, 'inside', 'near'));

  const folder = await openFolder(join(path, 'inside'));
  expect(await folder.readText('in', 9)).toBe('r');
  expect(await folder.has('broken')).toBe(false);
  expect(await failure(() => folder.open('out'))).toBe(
    `${path}/inside/out: is a symbolic link out of its folder, to ${path}/secret; pass { followLinks: true } to follow it`,
  );
  expect(await failure(() => folder.open('near'))).toMatch(/out of its folder/);
  for (const act of [
    (n: string) => folder.open(n),
    (n: string) => folder.has(n),
    (name: string) => folder.write(name, []),
    (n: string) => folder.readText(n, 1),
    (n: string) => folder.remove(n),
  ]) {
    expect(await failure(() => act('../secret'))).toMatch(/is not a plain file name/);
  }
  const trusting = await openFolder(join(path, 'inside'), { followLinks: true });
  expect(await trusting.readText('out', 9)).toBe('s');
});

test('a link is replaced by a write, not followed', async () => {
  await mkdir(join(path, 'inside'));
  await writeFile(join(path, 'outside'), 'old');
  await symlink('../outside', join(path, 'inside', 'f'));
  await (await openFolder(join(path, 'inside'))).write('f', [ascii('new')]);
  expect(await readFile(join(path, 'outside'), 'utf8')).toBe('old');
  expect(await readFile(join(path, 'inside', 'f'), 'utf8')).toBe('new');
});

test('a write replaces the file, keeps its mode, and syncs the file and the directory', async () => {
  await writeFile(join(path, 'f'), 'old, and longer');
  await chmod(join(path, 'f'), 0o600);
  const sync = vi.spyOn(await handleMethods(), 'sync');
  const folder = await openFolder(path);
  expect(await folder.write('f', [ascii('ne'), new Uint8Array(0), ascii('w')], 3)).toBe(3);
  expect(await readFile(join(path, 'f'), 'utf8')).toBe('new');
  expect((await stat(join(path, 'f'))).mode & 0o777).toBe(0o600);
  expect(sync).toHaveBeenCalledTimes(2);
});

test('a source keeps reading the file that it opened while a new one takes its place', async () => {
  const folder = await openFolder(path);
  await folder.write('f', [ascii('old')]);
  const source = await folder.open('f');
  await folder.write('f', [ascii('newer')]);
  expect(await source.read(0, 3)).toEqual(ascii('old'));
  await source.close();
});

test('a file that shrinks while it is open is an error, not zeros', async () => {
  const folder = await openFolder(path);
  await folder.write('f', [ascii('12345')]);
  const source = await folder.open('f');
  await writeFile(join(path, 'f'), '12');
  expect(await failure(() => source.read(0, 5))).toBe(
    `${path}/f: ends at byte 2; it had 5 bytes when opened`,
  );
  await source.close();
});

test('a producer that fails leaves the old file whole and nothing beside it', async () => {
  const folder = await openFolder(path);
  await folder.write('f', [ascii('old')]);
  async function* failing(): AsyncGenerator<Uint8Array> {
    yield ascii('new');
    expect(await readdir(path)).toHaveLength(2); // the temporary file is there,
    expect(await folder.list()).toEqual(['f']); // but it is nobody's business
    throw new Error('the device was lost');
  }
  await expect(folder.write('f', failing())).rejects.toThrow('the device was lost');
  expect(await failure(() => folder.write('f', [ascii('new')], 9))).toBe(
    `${path}/f: 9 bytes were announced and 3 came`,
  );
  expect(await readdir(path)).toEqual(['f']);
  expect(await readFile(join(path, 'f'), 'utf8')).toBe('old');
});

test.each(['write', 'sync'] as const)(
  'a disk that is full at %s says so; the old file stays',
  async (method) => {
    const folder = await openFolder(path);
    await folder.write('f', [ascii('old')]);
    const full = Object.assign(new Error('ENOSPC: no space left on device'), { code: 'ENOSPC' });
    vi.spyOn(await handleMethods(), method).mockRejectedValueOnce(full);
    const done = method === 'write' ? 0 : 3;
    expect(await failure(() => folder.write('f', [ascii('new')], 3))).toBe(
      `${path}/f: the disk is full after ${done} bytes; the file needs 3 bytes; nothing was changed`,
    );
    expect(await readdir(path)).toEqual(['f']);
    expect(await readFile(join(path, 'f'), 'utf8')).toBe('old');
  },
);

test('a chunk that the system takes in parts is written whole', async () => {
  const methods = await handleMethods();
  type Write = (this: FileHandle, chunk: Uint8Array, at: number, length: number) => unknown;
  const write: Write = Reflect.get(methods, 'write');
  const halting: Write = function (chunk, at, length) {
    return write.call(this, chunk, at, Math.min(length, 2));
  };
  vi.spyOn(methods, 'write').mockImplementation(halting as FileHandle['write']);
  expect(await (await openFolder(path)).write('f', [ascii('12345')])).toBe(5);
  expect(await readFile(join(path, 'f'), 'utf8')).toBe('12345');
});

test('other failures of the system name the file', async () => {
  await mkdir(join(path, 'f'));
  const folder = await openFolder(path);
  expect(await failure(() => folder.write('f', [ascii('new')]))).toMatch(
    /^\S+\/f: could not be written \(E[A-Z]+\)$/,
  );
  expect(await readdir(path)).toEqual(['f']);
});

test('deletes a file, and says whether there was one', async () => {
  const folder = await openFolder(path);
  await folder.write('f', [ascii('x')]);
  const sync = vi.spyOn(await handleMethods(), 'sync');
  expect([await folder.remove('f'), await folder.remove('f')]).toEqual([true, false]);
  expect(sync).toHaveBeenCalledTimes(1); // of the directory
  expect(await readdir(path)).toEqual([]);
  await mkdir(join(path, 'sub'));
  expect(await failure(() => folder.remove('sub'))).toMatch(/^\S+\/sub: could not be deleted \(E[A-Z]+\)$/);
});

test('a link is deleted, not what it leads to', async () => {
  await mkdir(join(path, 'inside'));
  await writeFile(join(path, 'outside'), 'x');
  await symlink('../outside', join(path, 'inside', 'f'));
  expect(await (await openFolder(join(path, 'inside'))).remove('f')).toBe(true);
  expect(await readdir(path)).toEqual(['inside', 'outside']);
});

test('two writes at once leave one of the two, whole', async () => {
  const folder = await openFolder(path);
  const contents = ['a', 'b'].map((letter) => letter.repeat(100_000));
  await Promise.all(contents.map((text) => folder.write('f', [ascii(text)])));
  expect(contents).toContain(await readFile(join(path, 'f'), 'utf8'));
  expect(await readdir(path)).toEqual(['f']);
});
