import { fileURLToPath } from 'node:url';
import { defineConfig, type Plugin } from 'vite';
import { baseModel, ISOLATED, POLICY } from '../app/vite.config.ts';
import { texts } from './texts.ts';

/** The texts that come with the lab, at texts/<name>.txt. */
function shippedTexts(): Plugin {
  const files = new Map([...texts()].map(([name, text]) => [`texts/${name}.txt`, text]));
  return {
    name: 'shipped-texts',
    configureServer({ middlewares }) {
      middlewares.use((request, response, next) => {
        const text = files.get(request.url?.slice(1) ?? '');
        if (text === undefined) return next();
        response.setHeader('content-type', 'text/plain; charset=utf-8');
        response.end(text);
      });
    },
    generateBundle() {
      for (const [fileName, source] of files) this.emitFile({ type: 'asset', fileName, source });
    },
  };
}

// oxlint-disable-next-line import/no-default-export -- vite asks for one
export default defineConfig({
  root: fileURLToPath(new URL('.', import.meta.url)),
  base: './',
  appType: 'mpa',
  plugins: [baseModel(), shippedTexts()],
  oxc: { jsx: { runtime: 'automatic', importSource: 'preact' } },
  // In this repository bax is taken from its source; with bax from npm, leave this out.
  resolve: { conditions: ['source', 'module', 'browser', 'development|production'] },
  worker: { format: 'es' },
  // light-dark() stays as it is: rewritten, it would follow the system alone, and not the page's own choice.
  build: { target: 'es2022', cssTarget: ['chrome123', 'firefox120', 'safari17.5'], assetsInlineLimit: 0 },
  server: { host: '127.0.0.1', headers: ISOLATED, fs: { allow: ['../..'] } },
  preview: {
    host: '127.0.0.1',
    // KaTeX and uPlot place what they draw by style attributes.
    headers: { ...ISOLATED, 'content-security-policy': `${POLICY}; style-src 'self' 'unsafe-inline'` },
  },
});
