import { mkdtemp } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'vite';

/** A page of this folder and what it imports, from source, as `vite build` makes it for an application; in a fresh folder. */
export async function bundle(page = 'page.html'): Promise<string> {
  const outDir = await mkdtemp(join(tmpdir(), 'bax-page-'));
  const root = fileURLToPath(new URL('.', import.meta.url));
  await build({
    root,
    configFile: false,
    logLevel: 'warn',
    base: './',
    resolve: { conditions: ['source', 'module', 'browser', 'production'] },
    worker: { format: 'es' },
    build: { outDir, emptyOutDir: true, target: 'es2022', rollupOptions: { input: join(root, page) } },
  });
  return outDir;
}
