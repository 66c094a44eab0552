import { BaxError } from '@bax/core';
import { type Chunks, type WritableFolder, bytesSource, checkFileName, textOf } from './source.ts';

/**
 * A folder in memory, for browsers and tests, with `files` in it to begin with (text is stored as UTF-8).
 * Throws a `BaxError` for a name that is not a plain file name.
 */
export function memoryFolder(
  files: Readonly<Record<string, Uint8Array | string>> = {},
  name = 'memory',
): WritableFolder {
  const stored = new Map<string, Uint8Array>();
  for (const [file, content] of Object.entries(files)) {
    checkFileName(file, name);
    stored.set(
      file,
      typeof content === 'string' ? new TextEncoder().encode(content) : new Uint8Array(content),
    );
  }
  const folder: WritableFolder = {
    name,
    async list() {
      return [...stored.keys()].sort();
    },
    async has(file) {
      checkFileName(file, name);
      return stored.has(file);
    },
    async open(file) {
      checkFileName(file, name);
      const bytes = stored.get(file);
      if (!bytes) throw new BaxError(`${name}: there is no file '${file}'`);
      return bytesSource(bytes, `${name}/${file}`);
    },
    async readText(file, maxBytes) {
      return textOf(await folder.open(file), maxBytes);
    },
    async write(file, chunks, bytes) {
      checkFileName(file, name);
      const content = await join(chunks);
      if (bytes !== undefined && bytes !== content.byteLength) {
        throw new BaxError(`${name}/${file}: ${bytes} bytes were announced and ${content.byteLength} came`);
      }
      stored.set(file, content);
      return content.byteLength;
    },
    async remove(file) {
      checkFileName(file, name);
      return stored.delete(file);
    },
  };
  return folder;
}

async function join(chunks: Chunks): Promise<Uint8Array> {
  const parts: Uint8Array[] = [];
  let total = 0;
  for await (const chunk of chunks) {
    parts.push(new Uint8Array(chunk)); // a copy: a producer may fill the same buffer again
    total += chunk.byteLength;
  }
  const all = new Uint8Array(total);
  let at = 0;
  for (const part of parts) {
    all.set(part, at);
    at += part.byteLength;
  }
  return all;
}
