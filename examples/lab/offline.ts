/** The lab as a .zip to take home: one page that has all in it, and that a browser opens from a disk, without a network. */
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { strToU8, zipSync } from 'fflate';
import { build, type Plugin, type UserConfig } from 'vite';
import { viteSingleFile } from 'vite-plugin-singlefile';

const ROOT = fileURLToPath(new URL('.', import.meta.url));
const ARCHIVE = 'bax-lab.zip';
/** The page is all that there is: it may fetch nothing. */
const POLICY =
  "default-src 'none'; script-src 'unsafe-inline' 'wasm-unsafe-eval' blob:; worker-src blob:; style-src 'unsafe-inline'; img-src data: blob:; font-src data:";
const README = `bax: see LoRA learn

Open lab.html in a browser. It needs no network and no server, and nothing that you type leaves it.

ブラウザで lab.html を開いてください。ネットワークもサーバーも不要で、入力した内容はどこにも送られません。
`;

/** What a single file cannot have beside it comes in it: the workers' code, and the icon. */
const inside: Plugin = {
  name: 'inside',
  enforce: 'pre',
  async resolveId(source, importer) {
    if (!source.endsWith('?worker')) return undefined;
    return this.resolve(`${source}&inline`, importer, { skipSelf: true });
  },
  transformIndexHtml: {
    order: 'pre',
    handler: (html) =>
      html.replace(
        './icon.svg',
        `data:image/svg+xml;base64,${readFileSync(`${ROOT}icon.svg`).toString('base64')}`,
      ),
  },
};

/** Adds `bax-lab.zip` to the build: the same page once more, with `files` in it. */
export function offlineEdition(config: UserConfig, files: ReadonlyMap<string, Uint8Array>): Plugin {
  return {
    name: 'offline-edition',
    apply: 'build',
    async generateBundle() {
      const result: unknown = await build({
        ...config,
        configFile: false,
        root: ROOT,
        logLevel: 'warn',
        plugins: [inside, viteSingleFile()],
        // A page from a disk may start no module as a worker.
        worker: { format: 'iife', rolldownOptions: { output: { codeSplitting: false } } },
        build: {
          ...config.build,
          write: false,
          assetsInlineLimit: Infinity,
          chunkSizeWarningLimit: Infinity,
          copyPublicDir: false,
        },
      });
      const { output } = result as { output: readonly { fileName: string; source?: unknown }[] };
      let whole = '';
      for (const { fileName, source } of output) {
        if (fileName === 'index.html') whole = String(source);
        // @bax/wasm's threads, which only a page that is served can have.
        else if (!/^(assets\/)?worker-[^/]*\.js$/.test(fileName))
          this.error(`the page is not one file: there is ${fileName}, too`);
      }
      const carried = [...files].map(
        ([path, bytes]) =>
          `<script type="text/plain" data-file="${path}">${Buffer.from(bytes).toString('base64')}</script>`,
      );
      const policy = `<meta http-equiv="content-security-policy" content="${POLICY}" />`;
      whole = whole
        .replace('<meta charset="utf-8" />', (charset) => `${charset}\n${policy}`)
        .replace('</body>', () => `${carried.join('\n')}\n</body>`);
      const archive = zipSync(
        { 'bax-lab': { 'lab.html': strToU8(whole), 'README.txt': strToU8(README) } },
        { level: 9 },
      );
      this.emitFile({ type: 'asset', fileName: ARCHIVE, source: archive });
    },
  };
}
