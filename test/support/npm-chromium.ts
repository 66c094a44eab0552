/** What `@sparticuz/chromium` carries for Linux x64 as brotli archives, unpacked here once: a Chromium, its libraries, and SwiftShader. */
import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { brotliDecompress } from 'node:zlib';
import { tarFiles, writeFiles } from './untar.ts';

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
    for (const name of ['al2023.tar.br', 'swiftshader.tar.br'])
      await writeFiles(tarFiles(await unpacked(name)), fresh, 0o755);
    // Renamed when complete: whoever finds the folder finds all of it. Another process may have been quicker.
    await rename(fresh, folder).catch(async (error: unknown) => {
      await rm(fresh, { recursive: true });
      if (!existsSync(folder)) throw error;
    });
  }
  return { version, folder };
}
