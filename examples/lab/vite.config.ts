import { readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { defineConfig, type Plugin, type UserConfig } from 'vite';
import { BASE, baseModel, ISOLATED, POLICY } from '../app/vite.config.ts';
import { offlineEdition } from './offline.ts';
import { texts } from './texts.ts';

/** The texts that come with the lab, by where the page finds them. */
const textFiles = new Map([...texts()].map(([name, text]) => [`texts/${name}.txt`, text]));
function shippedTexts(): Plugin {
  return {
    name: 'shipped-texts',
    configureServer({ middlewares }) {
      middlewares.use((request, response, next) => {
        const text = textFiles.get(request.url?.slice(1) ?? '');
        if (text === undefined) return next();
        response.setHeader('content-type', 'text/plain; charset=utf-8');
        response.end(text);
      });
    },
    generateBundle() {
      for (const [fileName, source] of textFiles) this.emitFile({ type: 'asset', fileName, source });
    },
  };
}

/** KaTeX names its fonts in older formats, too, which no browser asks for that can run the lab. */
const newFontsOnly: Plugin = {
  name: 'new-fonts-only',
  enforce: 'pre',
  transform: (code, id) =>
    id.endsWith('katex.min.css')
      ? code.replaceAll(/,url\([^)]*\.(woff|ttf)\) format\("\w+"\)/g, '')
      : undefined,
};

const common: UserConfig = {
  base: './',
  oxc: { jsx: { runtime: 'automatic', importSource: 'preact' } },
  // In this repository bax is taken from its source; with bax from npm, leave this out.
  resolve: { conditions: ['source', 'module', 'browser', 'development|production'] },
  worker: { format: 'es' },
  // light-dark() stays as it is: rewritten, it would follow the system alone, and not the page's own choice.
  build: {
    target: 'es2022',
    cssTarget: ['chrome123', 'firefox120', 'safari17.5'],
    assetsInlineLimit: 0,
    chunkSizeWarningLimit: 1000, // kB; KaTeX is half of it
    rolldownOptions: { checks: { pluginTimings: false } },
  },
};
const carried = new Map<string, Uint8Array>([
  ...readdirSync(BASE).map((file) => [`base/${file}`, readFileSync(BASE + file)] as const),
  ...[...textFiles].map(([path, text]) => [path, Buffer.from(text)] as const),
]);

// oxlint-disable-next-line import/no-default-export -- vite asks for one
export default defineConfig({
  ...common,
  root: fileURLToPath(new URL('.', import.meta.url)),
  appType: 'mpa',
  plugins: [newFontsOnly, baseModel(), shippedTexts(), offlineEdition(common, carried)],
  server: { host: '127.0.0.1', headers: ISOLATED, fs: { allow: ['../..'] } },
  preview: {
    host: '127.0.0.1',
    // KaTeX and uPlot place what they draw by style attributes.
    headers: { ...ISOLATED, 'content-security-policy': `${POLICY}; style-src 'self' 'unsafe-inline'` },
  },
});
