/** What `@sparticuz/chromium` carries for Linux x64 as brotli archives, unpacked here once: a Chromium, its libraries, and SwiftShader. */
import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { brotliDecompress } from 'node:zlib';

export interface Unpacked {
  readonly version: string;
  /** Holds `chromium`, `lib/`, `libvulkan.so.1` and `vk_swiftshader_icd.json`. */
  readonly folder: string;
}

export async function unpackNpmChromium(): Promise<Unpacked> {
  const entry = createRequire(import.meta.url).resolve('@sparticuz/chromium');
  const root = join(dirname(entry), '..');
  const { version } = JSON.parse(await readFile(join(root, 'package.json'), 'utf8')) as { version: string };
  const cache = fileURLToPath(new URL('../../node_modules/.cache/', import.meta.url));
  const folder = join(cache, `chromium-${version}`);
  if (!existsSync(folder)) {
    await mkdir(cache, { recursive: true });
    const fresh = await mkdtemp(join(cache, 'chromium-'));
    const unpacked = async (name: string): Promise<Buffer> =>
      promisify(brotliDecompress)(await readFile(join(root, 'bin', name)));
    await writeFile(join(fresh, 'chromium'), await unpacked('chromium.br'), { mode: 0o755 });
    for (const name of ['al2023.tar.br', 'swiftshader.tar.br']) await untar(await unpacked(name), fresh);
    // Renamed when complete: whoever finds the folder finds all of it. Another process may have been quicker.
    await rename(fresh, folder).catch(async (error: unknown) => {
      await rm(fresh, { recursive: true });
      if (!existsSync(folder)) throw error;
    });
  }
  return { version, folder };
}

/** Writes a tar archive's files. https://www.gnu.org/software/tar/manual/html_node/Standard.html */
async function untar(archive: Buffer, folder: string): Promise<void> {
  const text = (from: number, to: number): string => archive.toString('latin1', from, to).split('\0', 1)[0];
  for (let at = 0; at + 512 <= archive.length && archive[at] !== 0;) {
    const [name, size] = [text(at, at + 100), Number.parseInt(text(at + 124, at + 136), 8)];
    const isFile = text(at + 156, at + 157) === '0';
    if (isFile) {
      await mkdir(dirname(join(folder, name)), { recursive: true });
      await writeFile(join(folder, name), archive.subarray(at + 512, at + 512 + size), { mode: 0o755 });
    }
    at += 512 + Math.ceil(size / 512) * 512;
  }
}
