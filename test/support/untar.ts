import { mkdir, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';

/** The files of a tar archive, by path. https://www.gnu.org/software/tar/manual/html_node/Standard.html */
export function tarFiles(archive: Buffer): Map<string, Buffer> {
  const files = new Map<string, Buffer>();
  const text = (from: number, to: number): string => archive.toString('utf8', from, to).split('\0', 1)[0];
  for (let at = 0; at + 512 <= archive.length && archive[at] !== 0;) {
    const size = Number.parseInt(text(at + 124, at + 136), 8);
    const path = [text(at + 345, at + 500), text(at, at + 100)].filter(Boolean).join('/');
    const isFile = ['0', ''].includes(text(at + 156, at + 157));
    if (isFile) files.set(path, archive.subarray(at + 512, at + 512 + size));
    at += 512 + Math.ceil(size / 512) * 512;
  }
  return files;
}

/** Writes files below a folder. */
export async function writeFiles(
  files: Iterable<readonly [path: string, content: Buffer]>,
  folder: string,
  mode = 0o644,
): Promise<void> {
  for (const [path, content] of files) {
    await mkdir(dirname(join(folder, path)), { recursive: true });
    await writeFile(join(folder, path), content, { mode });
  }
}
