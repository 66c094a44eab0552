// Exported as `@bax/nn/node`: with node-temp.ts the only file that touches node: modules.
import { constants } from 'node:fs';
import {
  type FileHandle,
  lstat,
  mkdir,
  open,
  readdir,
  realpath,
  rename,
  rm,
  stat,
  unlink,
} from 'node:fs/promises';
import { join, resolve, sep } from 'node:path';
import { BaxError } from '@bax/core';
import { isTemp, removeStale, tempName } from './node-temp.ts';
import {
  type ByteSource,
  type Chunks,
  type WritableFolder,
  checkFileName,
  checkRange,
  textOf,
} from './source.ts';

const MAX_READ = 2 ** 30; // one read call takes less than 2 GiB

export interface OpenFolderOptions {
  /** Make the directory, and those above it, if it is not there. */
  readonly create?: boolean;
  /** Also follow symbolic links that lead out of the directory, as those of the Hugging Face cache do. */
  readonly followLinks?: boolean;
}

/**
 * The directory at `path` as a folder. Files are read piece by piece; a file is written beside its place, synced and
 * then renamed, so that a crash or a full disk leaves the old one whole; what processes that were killed left beside is
 * deleted at the first writing.
 * Rejects with a `BaxError` that names the path if it is not a directory.
 */
export async function openFolder(path: string, options: OpenFolderOptions = {}): Promise<WritableFolder> {
  const root = await openRoot(resolve(path), options.create ?? false);
  let swept: Promise<void> | undefined;

  /** The true path of a regular file; undefined if there is none; an error if it is something else. */
  async function locate(name: string): Promise<string | undefined> {
    checkFileName(name, root);
    const path = join(root, name);
    try {
      const real = await realpath(path);
      if (!options.followLinks && !real.startsWith(root.endsWith(sep) ? root : root + sep)) {
        throw new BaxError(
          `${path}: is a symbolic link out of its folder, to ${real}; pass { followLinks: true } to follow it`,
        );
      }
      // Asked before opening: opening a pipe would wait for a writer.
      if (!(await stat(real)).isFile())
        throw new BaxError(`${path}: expected a file, found a directory or a device`);
      return real;
    } catch (error) {
      if (codeOf(error) === 'ENOENT') return undefined;
      throw explain(error, path, 'could not be opened');
    }
  }

  const folder: WritableFolder = {
    name: root,
    async list() {
      const entries = await readdir(root, { withFileTypes: true });
      const names = entries
        .filter((entry) => entry.isFile() || entry.isSymbolicLink())
        .map((entry) => entry.name);
      return names.filter((name) => !isTemp(name)).sort();
    },
    async has(name) {
      return (await locate(name)) !== undefined;
    },
    async open(name) {
      const real = await locate(name);
      if (real === undefined) throw new BaxError(`${root}: there is no file '${name}'`);
      return openFile(real, join(root, name));
    },
    async readText(name, maxBytes) {
      return textOf(await folder.open(name), maxBytes);
    },
    async write(name, chunks, bytes) {
      checkFileName(name, root);
      await (swept ??= removeStale(root).catch(() => {})); // what they leave does no harm
      return replace(root, name, chunks, bytes);
    },
    async remove(name) {
      checkFileName(name, root);
      const path = join(root, name);
      try {
        await unlink(path);
      } catch (error) {
        if (codeOf(error) === 'ENOENT') return false;
        throw explain(error, path, 'could not be deleted');
      }
      await syncDirectory(root);
      return true;
    },
  };
  return folder;
}

async function openRoot(path: string, create: boolean): Promise<string> {
  try {
    if (create) await mkdir(path, { recursive: true });
    if (!(await stat(path)).isDirectory())
      throw new BaxError(`openFolder: expected a directory, found a file: ${path}`);
    return await realpath(path);
  } catch (error) {
    const code = codeOf(error);
    if (code === 'ENOENT') {
      throw new BaxError(`openFolder: there is no directory ${path}; pass { create: true } to make it`, {
        cause: error,
      });
    }
    if (code === 'EEXIST' || code === 'ENOTDIR') {
      throw new BaxError(`openFolder: expected a directory, found a file: ${path}`, { cause: error });
    }
    throw explain(error, path, 'could not be opened');
  }
}

async function openFile(real: string, path: string): Promise<ByteSource> {
  let handle: FileHandle;
  try {
    handle = await open(real, constants.O_RDONLY | (constants.O_NOFOLLOW ?? 0));
  } catch (error) {
    throw explain(error, path, 'could not be opened');
  }
  const source = { name: path, size: (await handle.stat()).size };
  return {
    ...source,
    async read(offset, length) {
      checkRange(source, offset, length);
      const bytes = new Uint8Array(length);
      for (let at = 0; at < length;) {
        const { bytesRead } = await handle
          .read(bytes, at, Math.min(length - at, MAX_READ), offset + at)
          .catch((error: unknown) => {
            throw explain(error, path, 'could not be read');
          });
        if (bytesRead === 0)
          throw new BaxError(`${path}: ends at byte ${offset + at}; it had ${source.size} bytes when opened`);
        at += bytesRead;
      }
      return bytes;
    },
    async close() {
      await handle.close();
    },
  };
}

async function replace(
  root: string,
  name: string,
  chunks: Chunks,
  bytes: number | undefined,
): Promise<number> {
  const path = join(root, name);
  const temp = join(root, await tempName());
  let written = 0;
  try {
    const old = await lstat(path).catch(() => undefined);
    const handle = await open(temp, 'wx', old?.isFile() ? old.mode : 0o666);
    try {
      for await (const chunk of chunks) {
        for (let at = 0; at < chunk.byteLength;) {
          const { bytesWritten } = await handle.write(chunk, at, Math.min(chunk.byteLength - at, MAX_READ));
          at += bytesWritten;
          written += bytesWritten;
        }
      }
      if (bytes !== undefined && bytes !== written) {
        throw new BaxError(`${path}: ${bytes} bytes were announced and ${written} came`);
      }
      await handle.sync();
    } finally {
      await handle.close();
    }
    await rename(temp, path);
  } catch (error) {
    await rm(temp, { force: true }).catch(() => {}); // the first error is the one to tell
    if (codeOf(error) === 'ENOSPC') {
      const needed = bytes === undefined ? '' : `; the file needs ${bytes} bytes`;
      throw new BaxError(`${path}: the disk is full after ${written} bytes${needed}; nothing was changed`, {
        cause: error,
      });
    }
    throw explain(error, path, 'could not be written');
  }
  await syncDirectory(root);
  return written;
}

/** Makes what was renamed or deleted survive a power cut. Windows cannot sync a directory and needs none. */
async function syncDirectory(root: string): Promise<void> {
  if (sep === '\\') return;
  const handle = await open(root, constants.O_RDONLY);
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

const codeOf = (error: unknown): unknown =>
  error instanceof Error && 'code' in error ? error.code : undefined;

/** The system's error as a `BaxError` that names the path; any other error as it is. */
function explain(error: unknown, path: string, what: string): unknown {
  const code = codeOf(error);
  return typeof code === 'string' ? new BaxError(`${path}: ${what} (${code})`, { cause: error }) : error;
}
