// The browser's private file system, which belongs to a page's origin and stays when the page is closed: what a user
// trained is kept here. In a window and in a Worker. https://fs.spec.whatwg.org/#sandboxed-filesystem
import { BaxError } from '@bax/core';
import { isTemp, removeStale, withTemp } from './opfs-temp.ts';
import { type Chunks, type WritableFolder, blobSource, checkFileName, textOf } from './source.ts';

export interface OpfsFolderOptions {
  /** Make the folder, and those above it, if it is not there. */
  readonly create?: boolean;
}

/**
 * The folder at `path` (`adapters/ishmael`) of the origin's private file system. A file is written beside its place and
 * then moved there, so that a failure or a closed tab leaves the old one whole; what a closed tab left beside is deleted
 * at the first writing.
 * Rejects with a `BaxError` if there is no such folder, or no such file system: on pages without https, in old browsers.
 */
export async function opfsFolder(path: string, options: OpfsFolderOptions = {}): Promise<WritableFolder> {
  const directory = await find(path, options.create ?? false);
  if (!directory)
    throw new BaxError(`opfsFolder: there is no folder ${path}; pass { create: true } to make it`);
  const place = `opfs:${path}`;
  let swept: Promise<void> | undefined;

  async function locate(name: string): Promise<FileSystemFileHandle | undefined> {
    checkFileName(name, place);
    return unlessMissing(async () => directory!.getFileHandle(name), `${place}/${name}`);
  }

  const folder: WritableFolder = {
    name: place,
    async list() {
      const entries = await told(async () => entriesOf(directory), place, 'could not be listed');
      return namesOf(entries, 'file').filter((name) => !isTemp(name));
    },
    async has(name) {
      return (await locate(name)) !== undefined;
    },
    async open(name) {
      const handle = await locate(name);
      if (!handle) throw new BaxError(`${place}: there is no file '${name}'`);
      const where = `${place}/${name}`;
      return blobSource(await told(async () => handle.getFile(), where, 'could not be opened'), where);
    },
    async readText(name, maxBytes) {
      return textOf(await folder.open(name), maxBytes);
    },
    async write(name, chunks, bytes) {
      checkFileName(name, place);
      await (swept ??= removeStale(directory).catch(() => undefined)); // what they leave does no harm
      return withTemp(async (temp) => replace(directory, temp, name, chunks, bytes, `${place}/${name}`));
    },
    async remove(name) {
      if (!(await locate(name))) return false;
      await told(async () => directory.removeEntry(name), `${place}/${name}`, 'could not be deleted');
      return true;
    },
  };
  return folder;
}

/** The names of the folders in the one at `path`, sorted; of the outermost ones without it. None if there is no such folder. */
export async function opfsFolders(path?: string): Promise<string[]> {
  const directory = path === undefined ? await root() : await find(path, false);
  if (!directory) return [];
  return namesOf(await told(async () => entriesOf(directory), `opfs:${path}`, 'could not be listed'), 'directory'); // prettier-ignore
}

/** Deletes the folder at `path` and all that is in it. Resolves to whether there was one. */
export async function removeOpfsFolder(path: string): Promise<boolean> {
  const names = namesIn(path);
  const parent = names.length === 1 ? await root() : await find(names.slice(0, -1).join('/'), false);
  if (!parent || !(await find(path, false))) return false;
  const remove = async (): Promise<void> => parent.removeEntry(names.at(-1)!, { recursive: true });
  await told(remove, `opfs:${path}`, 'could not be deleted');
  return true;
}

async function root(): Promise<FileSystemDirectoryHandle> {
  const { navigator } = globalThis as { navigator?: Partial<Navigator> };
  if (!navigator?.storage?.getDirectory)
    throw new BaxError('opfs: here is no private file system; it needs a browser of 2023 or later, and a page on https or localhost'); // prettier-ignore
  return told(async () => navigator.storage!.getDirectory(), 'opfs', 'this page may not keep files; is it in a private window?'); // prettier-ignore
}

function namesIn(path: string): string[] {
  const names = path.split('/');
  for (const name of names) checkFileName(name, `opfs:${path}`);
  return names;
}

async function find(path: string, create: boolean): Promise<FileSystemDirectoryHandle | undefined> {
  const names = namesIn(path);
  let directory: FileSystemDirectoryHandle | undefined = await root();
  for (const name of names) {
    const parent: FileSystemDirectoryHandle = directory;
    directory = await unlessMissing(async () => parent.getDirectoryHandle(name, { create }), `opfs:${path}`);
    if (!directory) return undefined;
  }
  return directory;
}

type Entry = FileSystemDirectoryHandle | FileSystemFileHandle;
async function entriesOf(directory: FileSystemDirectoryHandle): Promise<Entry[]> {
  const entries: Entry[] = [];
  for await (const entry of directory.values()) entries.push(entry);
  return entries;
}
const namesOf = (entries: readonly Entry[], kind: Entry['kind']): string[] =>
  entries
    .filter((entry) => entry.kind === kind)
    .map(({ name }) => name)
    .sort();

async function replace(
  directory: FileSystemDirectoryHandle,
  temp: string,
  name: string,
  chunks: Chunks,
  bytes: number | undefined,
  path: string,
): Promise<number> {
  let written = 0;
  const done = async <T>(f: () => Promise<T>): Promise<T> =>
    told(f, path, 'could not be written', async () => quota(written, bytes));
  try {
    const handle = await done(async () => directory.getFileHandle(temp, { create: true }));
    const out = await done(async () => writable(handle, path));
    try {
      for await (const chunk of chunks) {
        await done(async () => out.write(new Uint8Array(chunk))); // the stream takes no shared memory
        written += chunk.byteLength;
      }
      if (bytes !== undefined && bytes !== written)
        throw new BaxError(`${path}: ${bytes} bytes were announced and ${written} came`);
    } catch (error) {
      await out.abort().catch(() => undefined); // the first error is the one to tell
      throw error;
    }
    await done(async () => out.close());
    await done(async () => moveTo(directory, handle, name, path));
    return written;
  } finally {
    await directory.removeEntry(temp).catch(() => undefined); // it is there only if something failed
  }
}

async function writable(handle: FileSystemFileHandle, path: string): Promise<FileSystemWritableFileStream> {
  if ('createWritable' in handle) return handle.createWritable();
  throw new BaxError(`${path}: this browser cannot write files as a stream; it needs a newer version`);
}

/** A file that can be moved: in all engines, but not yet in the standard. */
interface Movable {
  move(name: string): Promise<void>;
}
const isMovable = (handle: object): handle is Movable => 'move' in handle;

async function moveTo(
  directory: FileSystemDirectoryHandle,
  handle: FileSystemFileHandle,
  name: string,
  path: string,
): Promise<void> {
  if (isMovable(handle)) {
    const moved = await handle.move(name).then(() => true, () => false); // prettier-ignore
    if (moved) return;
  }
  // Where there is no such move, or not onto a file that is there: a stream, which takes the file's place when closed.
  const old = await directory.getFileHandle(name).catch(() => undefined);
  try {
    const out = await writable(await directory.getFileHandle(name, { create: true }), path);
    await out.write(await handle.getFile());
    await out.close();
  } catch (error) {
    if (!old) await directory.removeEntry(name).catch(() => undefined);
    throw error;
  }
}

/** Says how much there is room for, as far as the browser tells. */
async function quota(written: number, bytes: number | undefined): Promise<string> {
  const { usage, quota: most } = await navigator.storage.estimate().catch(() => ({}) as StorageEstimate);
  const used = most === undefined ? '' : ` (${usage} of ${most} bytes are used)`;
  const needed = bytes === undefined ? '' : `; the file needs ${bytes} bytes`;
  return `the browser lets this site keep no more${used}, after ${written} bytes${needed}; nothing was changed`;
}

/** What `f` resolves to, undefined if the file or folder is not there. */
async function unlessMissing<T>(f: () => Promise<T>, path: string): Promise<T | undefined> {
  return told(async () => {
    try {
      return await f();
    } catch (error) {
      if (nameOf(error) === 'NotFoundError') return undefined;
      throw error;
    }
  }, path, 'could not be opened', async () => quota(0, undefined)); // prettier-ignore
}

/** Runs `f`; the browser's errors become `BaxError`s that say what they mean for `path`. */
async function told<T>(
  f: () => Promise<T>,
  path: string,
  what: string,
  full?: () => Promise<string>,
): Promise<T> {
  try {
    return await f();
  } catch (cause) {
    if (cause instanceof BaxError) throw cause;
    const reasons: Record<string, string> = {
      TypeMismatchError: 'is a folder where a file was expected, or a file where a folder was',
      NotFoundError: `${what}: its folder was deleted`,
      NoModificationAllowedError: `${what}: it is in use, perhaps in another tab; close that and try again`,
    };
    const name = nameOf(cause);
    const reason = name === 'QuotaExceededError' && full ? await full() : reasons[name];
    throw new BaxError(`${path}: ${reason ?? `${what} (${name}: ${String(cause)})`}`, { cause });
  }
}

const nameOf = (error: unknown): string => (error instanceof Error ? error.name : 'unknown');
