// Where bytes come from and where they go: the one seam between file formats and the world. A format asks a
// `ByteSource` for a range and a `Folder` for a file by its plain name, so the same reader serves Node, a browser's
// File objects and a test's memory.
import { BaxError } from '@bax/core';

/** Random access to the bytes of one file that does not change while it is open. */
export interface ByteSource {
  /** How errors call it: a file name or a path. */
  readonly name: string;
  /** Bytes in all. */
  readonly size: number;
  /**
   * The `length` bytes from byte `offset` on, in memory that is the caller's own.
   * Rejects with a `BaxError` for a range that is not inside the file.
   */
  read(offset: number, length: number): Promise<Uint8Array>;
  /** Gives back what the source holds open. Reading afterwards is an error. */
  close(): Promise<void>;
}

/** A flat set of files. Every method rejects with a `BaxError` for a name that `checkFileName` refuses. */
export interface Folder {
  /** How errors call it: a path. */
  readonly name: string;
  /** The names of its files, sorted; sub-folders are not listed. */
  list(): Promise<string[]>;
  has(name: string): Promise<boolean>;
  /** Opens a file for reading. Rejects if there is none. Close it after use. */
  open(name: string): Promise<ByteSource>;
  /** A whole file as UTF-8 text, without a byte order mark. Rejects before reading one larger than `maxBytes`. */
  readText(name: string, maxBytes: number): Promise<string>;
}

/** What `write` takes: pieces of a file in their order, made one at a time. */
export type Chunks = Iterable<Uint8Array> | AsyncIterable<Uint8Array>;

/** A folder that files can be put into. */
export interface WritableFolder extends Folder {
  /**
   * Makes or replaces a file, all or nothing: on any failure, of the disk or of `chunks`, the old file is still there,
   * whole. `bytes`, where the total is known, lets an error say what was needed; another total is then an error.
   * Resolves to the bytes written.
   */
  write(name: string, chunks: Chunks, bytes?: number): Promise<number>;
  /** Deletes a file, for good once it resolves. Resolves to whether there was one. */
  remove(name: string): Promise<boolean>;
}

/** Throws a `BaxError` unless it is a folder: of a path, which is what one types first, too. */
export function checkFolder(by: string, folder: Folder): void {
  if (typeof (folder as Partial<Folder> | undefined)?.open === 'function') return;
  const path = typeof folder === 'string' ? JSON.stringify(folder) : 'path';
  throw new BaxError(`${by}: give it a folder: await openFolder(${path}) of bax/node, or httpFolder(url) in a page`);
} // prettier-ignore

/** Throws a `BaxError` unless `name` is a plain file name, which cannot lead out of the folder `where`. */
export function checkFileName(name: string, where: string): void {
  // A colon names a drive or an alternate stream on Windows.
  if (name === '' || name === '.' || name === '..' || /[/\\:\0]/.test(name)) {
    throw new BaxError(
      `${where}: ${JSON.stringify(name)} is not a plain file name; no '/', '\\', ':', NUL, '.' or '..' may lead out of the folder`,
    );
  }
}

/** Throws a `BaxError` unless bytes `offset` to `offset + length` lie inside a file of `size` bytes. */
export function checkRange(source: Pick<ByteSource, 'name' | 'size'>, offset: number, length: number): void {
  const whole = Number.isSafeInteger(offset) && Number.isSafeInteger(length) && offset >= 0 && length >= 0;
  if (!whole || offset + length > source.size) {
    const range = `${length} bytes from byte ${offset} on`;
    throw new BaxError(`${source.name}: cannot read ${range}: the file has ${source.size} bytes`);
  }
}

/** Reads `source` to its end as UTF-8 text and closes it: what every `readText` is made of. */
export async function textOf(source: ByteSource, maxBytes: number): Promise<string> {
  try {
    if (source.size > maxBytes) {
      throw new BaxError(
        `${source.name}: is ${source.size} bytes long, more than the ${maxBytes} that are read as text`,
      );
    }
    const bytes = await source.read(0, source.size);
    try {
      return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
    } catch (cause) {
      throw new BaxError(`${source.name}: is not valid UTF-8 text`, { cause });
    }
  } finally {
    await source.close();
  }
}

/** A source over bytes in memory. The bytes must not change while it is in use; what it hands out are copies. */
export function bytesSource(bytes: Uint8Array, name: string): ByteSource {
  const source = { name, size: bytes.byteLength };
  return {
    ...source,
    async read(offset, length): Promise<Uint8Array> {
      checkRange(source, offset, length);
      return new Uint8Array(bytes.subarray(offset, offset + length)); // slice() of Node's Buffer would be no copy
    },
    async close(): Promise<void> {},
  };
}

/** A source over a browser's Blob or File, read piece by piece: a model chosen by the user is never held whole. */
export function blobSource(blob: Blob, name: string): ByteSource {
  const source = { name, size: blob.size };
  return {
    ...source,
    async read(offset, length): Promise<Uint8Array> {
      checkRange(source, offset, length);
      try {
        return new Uint8Array(await blob.slice(offset, offset + length).arrayBuffer());
      } catch (cause) {
        throw new BaxError(`${name}: could not be read; was the file moved or changed since it was chosen?`, {
          cause,
        });
      }
    },
    async close(): Promise<void> {},
  };
}
