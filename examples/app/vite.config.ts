import { readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { defineConfig, type Plugin } from 'vite';

/** Lets bax use threads: memory is shared only in a page that is isolated from others. */
export const ISOLATED = {
  'cross-origin-opener-policy': 'same-origin',
  'cross-origin-embedder-policy': 'require-corp',
};
/** What the page needs to be allowed; for models from elsewhere, name their hosts in `connect-src` too. */
export const POLICY = "default-src 'self'; script-src 'self' 'wasm-unsafe-eval'";

/** The folder of the model that comes with the repository. */
export const BASE = fileURLToPath(new URL('../finetune/base/', import.meta.url));
/** That model, at base/: served from where it is in development, copied into the build. */
export function baseModel(): Plugin {
  return {
    name: 'base-model',
    configureServer({ middlewares }) {
      middlewares.use((request, _, next) => {
        if (request.url?.startsWith('/base/'))
          request.url = `/@fs${BASE}${request.url.slice('/base/'.length)}`;
        next();
      });
    },
    generateBundle() {
      for (const file of readdirSync(BASE))
        this.emitFile({ type: 'asset', fileName: `base/${file}`, source: readFileSync(BASE + file) });
    },
  };
}

// oxlint-disable-next-line import/no-default-export -- vite asks for one
export default defineConfig({
  root: fileURLToPath(new URL('.', import.meta.url)),
  base: './',
  appType: 'mpa', // what is not there is a 404, not this page
  plugins: [baseModel()],
  // In this repository bax is taken from its source; with bax from npm, leave this out.
  resolve: { conditions: ['source', 'module', 'browser', 'development|production'] },
  worker: { format: 'es' },
  build: { target: 'es2022', assetsInlineLimit: 0 },
  server: { headers: ISOLATED, fs: { allow: ['../..'] } },
  preview: { headers: { ...ISOLATED, 'content-security-policy': POLICY } },
});
