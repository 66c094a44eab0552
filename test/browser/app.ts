/** An example's page as it is published: built, and served with the headers of its configuration. */
import { mkdtemp, rm } from 'node:fs/promises';
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
  const outDir = await mkdtemp(join(tmpdir(), `bax-${example}-`));
  const options = {
    configFile: configOf(example),
    logLevel: 'warn',
    build: { outDir, emptyOutDir: true },
  } as const;
  await build(options);
  const server = await preview({ ...options, preview: { port: 0, host: '127.0.0.1' } });
  return {
    url: server.resolvedUrls!.local[0],
    async close() {
      await server.close();
      await rm(outDir, { recursive: true });
    },
  };
}
