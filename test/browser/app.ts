/** An example's page as it is published: built, and served with the headers of its configuration. */
import { existsSync } from 'node:fs';
import { mkdtemp, rename, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build, preview } from 'vite';

export const configOf = (example: 'app' | 'lab'): string =>
  fileURLToPath(new URL(`../../examples/${example}/vite.config.ts`, import.meta.url));

export interface ServedApp {
  readonly url: string;
  close(): Promise<void>;
}

export async function serveApp(example: 'app' | 'lab' = 'app'): Promise<ServedApp> {
  const shared = process.env.BAX_PAGES; // the test run's, which removes it
  const home = shared ?? (await mkdtemp(join(tmpdir(), 'bax-pages-')));
  const outDir = await built(example, home);
  const server = await preview({
    configFile: configOf(example),
    logLevel: 'warn',
    build: { outDir },
    preview: { port: 0, host: '127.0.0.1' },
  });
  return {
    url: server.resolvedUrls!.local[0],
    async close() {
      await server.close();
      if (!shared) await rm(home, { recursive: true });
    },
  };
}

/** Builds the page unless it stands in `home` already; of those who build it at once, one is taken. */
async function built(example: 'app' | 'lab', home: string): Promise<string> {
  const outDir = join(home, example);
  if (existsSync(outDir)) return outDir;
  const mine = await mkdtemp(join(home, `${example}-`));
  await build({
    configFile: configOf(example),
    logLevel: 'warn',
    build: { outDir: mine, emptyOutDir: true },
  });
  await rename(mine, outDir).catch((error: unknown) => {
    if (!existsSync(outDir)) throw error;
  });
  return outDir;
}
