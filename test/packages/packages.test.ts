/** What is published is what works: the tarballs, and programs of which they are the only bax. */
import { cp, mkdir, mkdtemp, readdir, readFile, realpath, rm, stat, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { availableParallelism, tmpdir } from 'node:os';
import { join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { checkPackage, createPackageFromTarballData } from '@arethetypeswrong/core';
import { build as esbuild, type BuildOptions } from 'esbuild';
import { publint } from 'publint';
import { build as viteBuild, type InlineConfig } from 'vite';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { launch } from '../browser/chromium.ts';
import { serve } from '../browser/server.ts';
import {
  dependenciesOf,
  install,
  npm,
  pack,
  packages,
  type Packed,
  run,
  type Target,
  workspaces,
} from '../support/packages.ts';
import type { Learned } from './app/program.ts';
import { layRunners, proofExample, provesUnder, RUNNERS } from './runners.ts';

const ROOT = fileURLToPath(new URL('../../', import.meta.url));
const manifests = [...(await packages())];
const names = manifests.map(([, { name }]) => name);
const entries = manifests.flatMap(([, { name, exports }]) =>
  Object.keys(exports).map((path) => name + path.slice(1)),
);
/** But those that are Node's alone. */
const universal = entries.filter((entry) => !entry.endsWith('/node'));

/** The modules that a compiled module or its declarations import. */
const importsOf = (text: string): string[] =>
  [
    /^(?:import|export)\b(?:[^'"\n]*\bfrom)? ['"]([^'"]+)['"]/gm,
    /\bimport\(['"]([^'"]+)['"]\)/g, // also as a type
  ].flatMap((form) => [...text.matchAll(form)].map(([, specifier]) => specifier));

let folder = '';
/** Where the tarballs are installed; its `app` is test/packages/app, and the code of each package's README. */
let project = '';
let packed: readonly Packed[] = [];
const packageOf = (name: string): Packed => packed.find(({ manifest }) => manifest.name === name)!;

beforeAll(async () => {
  folder = await realpath(await mkdtemp(join(tmpdir(), 'bax-packages-')));
  project = join(folder, 'project');
  await mkdir(join(folder, 'tarballs'));
  packed = await pack(join(folder, 'tarballs'));
  await install(packed, project);
  await cp(fileURLToPath(new URL('./app', import.meta.url)), join(project, 'app'), { recursive: true });
  await writeFile(join(project, 'package.json'), JSON.stringify({ private: true, type: 'module' }));
  await layRunners(project);
  for (const { folder: name, files } of packed) {
    const blocks = String(files.get('README.md')).matchAll(/^```ts\n(.*?)^```$/gms);
    for (const [i, [, code]] of [...blocks].entries())
      await writeFile(join(project, 'app', `readme-${name}-${i}.ts`), code);
  }
}, 120_000);
afterAll(async () => {
  if (folder) await rm(folder, { recursive: true });
});

/** The files below a folder or the one file of a package, by their paths in it. */
async function filesOf(dir: string, path: string): Promise<string[]> {
  const root = join(ROOT, 'packages', dir);
  if (!(await stat(join(root, path))).isDirectory()) return [path];
  const entries = await readdir(join(root, path), { recursive: true, withFileTypes: true });
  return entries
    .filter((entry) => entry.isFile())
    .map((entry) => relative(root, join(entry.parentPath, entry.name)).replaceAll('\\', '/'));
}

describe.each(manifests)('the tarball of %s', (dir, { name, exports, files: named }) => {
  it('holds the build, the source, a licence and a README, and nothing else', async () => {
    const { files } = packageOf(name);
    const src = await filesOf(dir, 'src');
    const dist = src
      .filter((path) => path.endsWith('.ts'))
      .flatMap((path) =>
        ['.js', '.js.map', '.d.ts', '.d.ts.map'].map((end) => path.replace(/^src(.*)\.ts$/, `dist$1${end}`)),
      );
    const others = named.filter((path) => !/^(!.*|dist|src)$/.test(path));
    const more = (await Promise.all(others.map(async (path) => filesOf(dir, path)))).flat();
    const expected = ['LICENSE', 'README.md', 'package.json', ...more, ...src, ...dist];
    expect([...files.keys()].sort()).toEqual(expected.sort());
    expect(String(files.get('LICENSE'))).toBe(await readFile(join(ROOT, 'LICENSE'), 'utf8'));
    expect(String(files.get('README.md'))).toMatch(new RegExp(`^# ${name}\n`));
  });

  it('has what its exports, its source maps and its declarations name', () => {
    const { files } = packageOf(name);
    const missing: string[] = [];
    const check = (path: string, from: string): void => {
      if (!files.has(new URL(path, `file:///${from}`).pathname.slice(1))) missing.push(`${from}: ${path}`);
    };
    const checkTarget = (target: Target): void => {
      if (typeof target === 'string') check(target, 'package.json');
      else Object.values(target).forEach(checkTarget);
    };
    checkTarget(exports);
    for (const [path, content] of files) {
      const text = String(content);
      if (path.endsWith('.map'))
        for (const source of (JSON.parse(text) as { sources: string[] }).sources) check(source, path);
      else if (path.startsWith('dist/'))
        for (const to of importsOf(text).filter((specifier) => specifier.startsWith('.')))
          check(path.endsWith('.d.ts') ? to.replace(/\.[jt]s$/, '.d.ts') : to, path);
    }
    expect(missing).toEqual([]);
  });

  it('is in order for publint', async () => {
    const { buffer, byteOffset, length } = packageOf(name).bytes;
    const tarball = buffer.slice(byteOffset, byteOffset + length) as ArrayBuffer;
    const { messages } = await publint({ pack: { tarball }, level: 'suggestion', strict: true });
    expect(messages).toEqual([]);
  });

  it('has types for every way to resolve an ES module', async () => {
    const result = await checkPackage(createPackageFromTarballData(packageOf(name).bytes));
    expect(result.types).toEqual({ kind: 'included' });
    // An ES module alone: old resolution, and require() before Node 20.19, do not find it.
    const ours = (of: unknown): boolean => of !== 'node10' && of !== 'node16-cjs';
    const problems = result.types === false ? [] : result.problems;
    expect(problems.filter((p) => ours('resolutionKind' in p ? p.resolutionKind : undefined))).toEqual([]);
    expect(Object.keys(result.types === false ? {} : result.entrypoints).sort()).toEqual(
      Object.keys(exports).sort(),
    );
  });
});

describe('the packages', () => {
  it('are released together, and depend on each other at that version', () => {
    const version = manifests[0][1].version;
    for (const [, { name, version: own, dependencies = {}, peerDependencies = {} }] of manifests) {
      expect([name, own]).toEqual([name, version]);
      for (const [other, range] of Object.entries({ ...dependencies, ...peerDependencies }))
        if (names.includes(other)) expect([name, other, range]).toEqual([name, other, version]);
    }
  });

  it('say alike what npm should know of them', () => {
    const [, { engines, license }] = manifests[0];
    for (const [, manifest] of manifests)
      expect(manifest).toMatchObject({
        type: 'module', license, engines,
        description: expect.stringMatching(/\.$/), keywords: expect.arrayContaining([expect.any(String)]),
        publishConfig: { access: 'public' }, scripts: { prepack: expect.stringMatching(/\btsc -b\b/) }, sideEffects: expect.anything(),
      }); // prettier-ignore
  });

  it('declare what they import', () => {
    for (const { manifest, files } of packed) {
      const declared = [
        manifest.name,
        ...dependenciesOf(manifest),
        ...Object.keys(manifest.peerDependencies ?? {}),
      ];
      for (const [path, content] of files)
        if (/^dist\/.*\.(js|d\.ts)$/.test(path))
          for (const to of importsOf(String(content)))
            if (!/^(\.|node:)/.test(to))
              expect(declared, `${manifest.name}/${path}`).toContain(/^(@[^/]+\/)?[^/]+/.exec(to)![0]);
    }
  });

  it('npm would publish without a warning', async () => {
    const registry = createServer((_, response) => response.writeHead(404).end('{}')); // that knows none of them
    await new Promise<void>((resolve) => registry.listen(0, '127.0.0.1', resolve));
    const at = `//127.0.0.1:${(registry.address() as AddressInfo).port}/`;
    try {
      const output = await npm(
        'publish', '--dry-run', '--ignore-scripts', ...workspaces(manifests.map(([dir]) => dir)),
        '--registry', `http:${at}`, `--${at}:_authToken=none`,
      ); // prettier-ignore
      expect(output).not.toMatch(/npm (warn|error)|notice.*corrected/i);
      for (const { manifest, files } of packed) {
        expect(output).toContain(`+ ${manifest.name}@${manifest.version}`);
        expect(output).toMatch(new RegExp(`filename: .*\\n(.*\\n)*?.*total files: ${files.size}\n`));
      }
    } finally {
      registry.close();
    }
  });
});

/** The last line of what a program printed. */
const last = <T>(output: string): T => JSON.parse(output.trim().split('\n').at(-1)!) as T;

function expectLearned(learned: readonly Learned[], expected: readonly string[], threads: RegExp): void {
  expect(learned.map(({ device }) => device)).toEqual(expected);
  for (const { device, losses, backend, adapter } of learned) {
    if (device !== 'auto') expect(backend).toBe(device);
    expect(losses.length).toBe(8);
    expect(losses.at(-1)!).toBeLessThan(0.7 * losses[0]);
    if (backend === 'wasm') expect(adapter).toMatch(threads);
  }
}
const EACH = ['cpu', 'wasm', 'auto'];
const THREADS = availableParallelism() > 1 ? /[2-4] threads/ : /one thread/;

/** Compiles the project's `app` with a user's settings, declarations of the packages included. */
async function compile(options: Readonly<Record<string, unknown>>): Promise<string> {
  const compilerOptions = {
    target: 'es2022', lib: ['es2022', 'dom'], types: [], strict: true, skipLibCheck: false, exactOptionalPropertyTypes: true,
    rewriteRelativeImportExtensions: true, rootDir: 'app', ...options,
  }; // prettier-ignore
  const file = join(project, 'tsconfig.json');
  await writeFile(file, JSON.stringify({ compilerOptions, include: ['app'] }));
  const tsc = join(ROOT, 'node_modules/typescript/bin/tsc');
  return run([process.execPath, tsc, '-p', file], project);
}
const node = async (...args: readonly string[]): Promise<string> => run([process.execPath, ...args], project);

describe('in Node', () => {
  beforeAll(async () => void (await compile({ module: 'nodenext', outDir: 'out' })));

  it('types are found with moduleResolution bundler, too', async () => {
    expect(await compile({ module: 'esnext', moduleResolution: 'bundler', noEmit: true })).toBe('');
  });

  it('a mistake is a type error', async () => {
    const file = join(project, 'app', 'mistake.ts');
    await writeFile(file, "import { tensor } from 'bax';\ntensor([1]).mull(2);\n");
    await expect(compile({ module: 'nodenext', noEmit: true })).rejects.toThrow(
      "Property 'mull' does not exist",
    );
    await rm(file);
  });

  it('a program trains on each device, and reads a folder', async () => {
    const { learned, files } = last<{ learned: Learned[]; files: string[] }>(await node('out/node.js'));
    expectLearned(learned, EACH, THREADS);
    expect(files).toEqual(expect.arrayContaining(['package.json', 'tsconfig.json']));
  });

  it('the code of each README runs', async () => {
    const programs = (await readdir(join(project, 'out'))).filter((file) => file.startsWith('readme-'));
    expect(programs.map((file) => file.split('-')[1])).toEqual(
      expect.arrayContaining(['bax', 'check', 'core', 'cpu', 'nn', 'wasm']),
    );
    await Promise.all(programs.map(async (file) => node(join('out', file))));
  });

  it('importing touches nothing of a page, a worker or a process, as where pages are rendered', async () => {
    const { touched, exported } = last<{ touched: string[]; exported: Record<string, number> }>(
      await node('out/server.js', ...universal),
    );
    expect(touched).toEqual([]);
    expect(Object.keys(exported).sort()).toEqual([...universal].sort());
    expect(Object.values(exported).filter((count) => count === 0)).toEqual([]);
  });
});

describe('@bax/check', () => {
  it.each(RUNNERS)('proves under %s', async (...runner) => provesUnder(runner, project), 120_000);

  it('proves the example project, and its adapter with bax-check', async () => {
    expect(await proofExample(packed, folder)).toMatch(/\n17 laws hold\.\n/);
  }, 180_000);
});

describe('bundled', () => {
  const vite = async (config: NonNullable<InlineConfig['build']>): Promise<unknown> =>
    viteBuild({
      root: join(project, 'app'),
      configFile: false,
      logLevel: 'warn',
      base: './',
      worker: { format: 'es' },
      build: { emptyOutDir: true, target: 'es2022', ...config },
    });
  const bundle = async (entry: string, options: BuildOptions): Promise<string[]> => {
    const { warnings } = await esbuild({
      absWorkingDir: project, entryPoints: [entry], bundle: true, minify: true, logLevel: 'silent', ...options,
    }); // prettier-ignore
    return warnings.map(({ id }) => id);
  };
  /** Opens a page, and waits for its `outcome`. */
  async function visit<T>(site: string, page: string): Promise<T> {
    const { browser } = await launch();
    const server = await serve(site);
    try {
      const tab = await browser.newPage();
      const trouble: string[] = [];
      tab.on('pageerror', (error) => trouble.push(String(error)));
      tab.on('console', (message) => message.type() === 'error' && trouble.push(message.text()));
      tab.on(
        'response',
        (response) => response.ok() || trouble.push(`${response.url()}: ${response.status()}`),
      );
      await tab.goto(`${server.origin}/strict-isolated/${page}`);
      const outcome = await tab.evaluate<T>('globalThis.outcome');
      expect({ trouble }).toEqual({ trouble: [] });
      return outcome;
    } finally {
      await browser.close();
      server.close();
    }
  }

  it('by Vite, a program trains in a page and in its worker, with threads', async () => {
    const outDir = join(project, 'vite');
    await vite({ outDir, rollupOptions: { input: join(project, 'app/page.html') } });
    const [inPage, inWorker] = await visit<[Learned[], Learned[]]>(outDir, 'page.html');
    expectLearned(inPage, EACH, /one thread/); // a page's main thread may not wait for others
    expectLearned(inWorker, ['wasm'], THREADS);
  }, 120_000); // the first time a browser is unpacked

  it('by esbuild, it trains in a page', async () => {
    const outdir = join(project, 'esbuild');
    const contents =
      "import { learnAll } from './program.ts';\nglobalThis.outcome = learnAll('cpu', 'wasm', 'auto');";
    await mkdir(outdir);
    await writeFile(join(project, 'app/plain.js'), contents);
    expect(await bundle('app/plain.js', { outdir, format: 'esm', splitting: true })).toEqual([]);
    await writeFile(
      join(outdir, 'index.html'),
      '<!doctype html><script type="module" src="plain.js"></script>',
    );
    expectLearned(await visit<Learned[]>(outdir, 'index.html'), EACH, /one thread/);
  }, 120_000);

  it.each(['esm', 'cjs'] as const)('by esbuild as %s, it trains in Node, on one thread', async (format) => {
    const outfile = join(project, 'bundles', format === 'esm' ? 'node.mjs' : 'node.cjs');
    const warnings = await bundle('app/node.ts', { outfile, format, platform: 'node' });
    expect(warnings.filter((id) => id !== 'empty-import-meta')).toEqual([]);
    const { learned } = last<{ learned: Learned[] }>(await node(outfile));
    expectLearned(learned, EACH, /one thread/); // its worker.js was left behind
  });

  /** Bundlers drop whatever `sideEffects` lets them drop, the more the less a program imports. */
  it.each(['bax', '@bax/core'])(
    'a program that imports no more than tensor from %s has its methods',
    async (from) => {
      const entry = join(project, 'app', 'method.js');
      await writeFile(
        entry,
        `import { setBackend, tensor } from '${from}';\nimport { cpu } from '@bax/cpu';\n` +
          `setBackend(cpu());\nconsole.log(JSON.stringify([...(await tensor([1, 2]).mul(2).data())]));\n`,
      );
      await bundle('app/method.js', { outfile: join(project, 'method/esbuild.js'), format: 'esm' });
      await vite({
        outDir: join(project, 'method/vite'),
        lib: { entry, formats: ['es'], fileName: () => 'index.js' },
      });
      for (const file of ['method/esbuild.js', 'method/vite/index.js'])
        expect(last<number[]>(await node(file))).toEqual([2, 4]);
    },
  );
});
