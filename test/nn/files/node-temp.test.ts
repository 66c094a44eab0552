/** What killed processes leave beside is deleted at the next writing; what live ones write is not. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readdir, rm, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { openFolder } from '@bax/nn/node';
import { ascii } from './support.ts';

let path: string;
beforeEach(async () => {
  path = await mkdtemp(join(tmpdir(), 'bax-temp-'));
});
afterEach(async () => rm(path, { recursive: true }));

const beside = async (): Promise<string[]> => (await readdir(path)).filter((name) => name !== 'f').sort();
const write = async (): Promise<number> => (await openFolder(path)).write('f', [ascii('x')]);

/** A process that begins to write a file and never ends. */
async function writer(): Promise<ChildProcess> {
  const url = new URL('../../../packages/nn/src/files/node.ts', import.meta.url).href;
  const program = `
    const { openFolder } = await import(${JSON.stringify(url)});
    async function* chunks() {
      yield new Uint8Array(9);
      console.log('began');
      await new Promise((resolve) => setTimeout(resolve, 1e9));
    }
    await (await openFolder(${JSON.stringify(path)})).write('f', chunks());`;
  const args = ['--import', 'tsx', '--conditions', 'source', '--input-type=module', '-e', program];
  const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] });
  await once(child.stdout!, 'data');
  return child;
}
async function kill(child: ChildProcess): Promise<void> {
  child.kill('SIGKILL');
  await once(child, 'exit');
}

test('one of a process that lives stays; when it is killed, it goes', async () => {
  const child = await writer();
  const [name, ...others] = await beside();
  expect(others).toEqual([]);
  expect(name).toMatch(new RegExp(`^\\.bax-[0-9a-f]{8}-${child.pid}-\\d+-[0-9a-f-]{36}\\.tmp$`));
  await write();
  expect(await beside()).toEqual([name]);
  await kill(child);
  const folder = await openFolder(path);
  expect([await folder.list(), await beside()]).toEqual([['f'], [name]]); // reading deletes nothing
  await folder.write('f', [ascii('y')]);
  expect(await beside()).toEqual([]);
});

test('one of our own that is being written stays', async () => {
  let others: string[] = [];
  async function* chunks(): AsyncGenerator<Uint8Array> {
    const [own] = await beside();
    await write();
    others = await beside();
    expect(others).toEqual([own]);
    yield ascii('long');
  }
  expect(await (await openFolder(path)).write('f', chunks())).toBe(4);
  expect(others).toHaveLength(1);
});

test('of others, whose process cannot be asked for, those of the last day stay', async () => {
  const uuid = '01234567-89ab-cdef-0123-456789abcdef';
  // Of another machine, and of a version that named nobody.
  const names = [`.bax-00000000-1-1-${uuid}.tmp`, `.bax-${uuid}.tmp`];
  for (const name of [...names, `.bax-${uuid}`, `${uuid}.tmp`]) await writeFile(join(path, name), '');
  await write();
  expect(await beside()).toHaveLength(4);
  const hoursAgo = (hours: number): number => Date.now() / 1000 - hours * 3600;
  for (const name of await beside()) await utimes(join(path, name), hoursAgo(23), hoursAgo(23));
  await write();
  expect(await beside()).toHaveLength(4);
  for (const name of await beside()) await utimes(join(path, name), hoursAgo(25), hoursAgo(25));
  await write();
  expect(await beside()).toEqual([`.bax-${uuid}`, `${uuid}.tmp`]); // and what is not ours
});

test('another process that has come to have its number does not keep it, where the system tells them apart', async () => {
  const child = await writer();
  const [name] = await beside();
  const of = (pid: number, start: string): string =>
    name!.replace(/-(\d+)-(\d+)-/, () => `-${pid}-${start}-`);
  await kill(child);
  const [other, unknown] = [of(process.pid, '12345'), of(process.pid, '0')];
  for (const left of [other, unknown]) await writeFile(join(path, left), '');
  await write();
  expect(await beside()).toEqual(process.platform === 'linux' ? [unknown] : [unknown, other]);
});
