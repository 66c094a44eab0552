/**
 * What each package weighs, and what an application loads: npm run size. Packs the packages as publishing does, bundles
 * what is in the tarballs, and exits with 1 if anything weighs more than size.json allows, or is not named there.
 */
import { mkdtemp, readFile, realpath, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, relative } from 'node:path';
import { gzipSync } from 'node:zlib';
import { build, type BuildResult } from 'esbuild';
import { install, pack, type Packed } from '../test/support/packages.ts';

interface Row {
  readonly what: string;
  /** Of its tarball. */
  readonly files?: number;
  readonly tarball?: number;
  /** Bytes, minified and gzipped. */
  readonly gzipped: number;
}
type Chunks = BuildResult<{ metafile: true; write: false }>;

const HEAD = ['', 'files', 'tarball kB', 'min+gz kB', 'budget kB'];

/** Bundles all that `name` exports, but not the modules that `external` names. */
const bundle = async (name: string, project: string, external: readonly string[]): Promise<Chunks> =>
  build({
    stdin: { contents: `export * from '${name}';`, resolveDir: project },
    absWorkingDir: project,
    bundle: true,
    minify: true,
    splitting: true,
    format: 'esm',
    outdir: 'chunks',
    external: ['node:*', ...external],
    metafile: true,
    write: false,
    logLevel: 'warning',
  });

/** One row for each package, of its own code and of what it depends on that is not ours. */
async function weighPackages(packed: readonly Packed[], project: string): Promise<Row[]> {
  const own = packed.map(({ manifest }) => manifest.name);
  const rows = packed.map(async ({ manifest, bytes, files }) => {
    const peers = Object.keys(manifest.peerDependencies ?? {});
    const others = own.filter((name) => name !== manifest.name);
    const { outputFiles } = await bundle(manifest.name, project, [...others, ...peers]);
    const gzipped = outputFiles.reduce((sum, { contents }) => sum + gzipSync(contents).length, 0);
    return { what: manifest.name, files: files.size, tarball: bytes.length, gzipped };
  });
  return Promise.all(rows);
}

/** What an application that uses all of `bax` loads at first, and then for each device. */
async function weighApplication(packed: readonly Packed[], project: string): Promise<Row[]> {
  const peers = packed.flatMap(({ manifest }) => Object.keys(manifest.peerDependencies ?? {}));
  const { metafile, outputFiles } = await bundle('bax', project, peers);
  const chunks = new Map(
    outputFiles.map(({ path: file, contents }) => {
      const path = relative(project, file).replaceAll('\\', '/'); // as the metafile has it
      return [path, { ...metafile.outputs[path], gzipped: gzipSync(contents).length }] as const;
    }),
  );
  const entry = [...chunks.keys()].find((path) => chunks.get(path)?.entryPoint === '<stdin>')!;
  /** A chunk, and those that come with it. */
  const loaded = (path: string, all = new Set<string>()): Set<string> => {
    if (all.has(path)) return all;
    all.add(path);
    for (const { path: next, kind } of chunks.get(path)?.imports ?? [])
      if (kind === 'import-statement' && chunks.has(next)) loaded(next, all);
    return all;
  };
  const weight = (paths: Iterable<string>): number =>
    [...paths].reduce((sum, path) => sum + chunks.get(path)!.gzipped, 0);
  const first = loaded(entry);
  const later = [...chunks].flatMap(([path, { entryPoint }]) => {
    if (!entryPoint || first.has(path)) return [];
    const name = /.*node_modules\/((?:@[^/]+\/)?[^/]+)/.exec(entryPoint)?.[1] ?? entryPoint;
    const more = [...loaded(path)].filter((chunk) => !first.has(chunk));
    return [{ what: `bax, then ${name}`, gzipped: weight(more) }];
  });
  return [{ what: 'bax, at first', gzipped: weight(first) }, ...later];
}

const kB = (bytes: number | undefined): string => (bytes === undefined ? '' : (bytes / 1000).toFixed(1));

function show(rows: readonly Row[], budgets: Readonly<Record<string, number>>): string {
  const cells = rows.map(({ what, files, tarball, gzipped }) => [
    what, String(files ?? ''), kB(tarball), kB(gzipped), budgets[what]?.toFixed(1) ?? 'none',
  ]); // prettier-ignore
  const widths = HEAD.map((head, i) => Math.max(head.length, ...cells.map((line) => line[i].length)));
  const line = (texts: readonly string[]): string =>
    `| ${texts.map((text, i) => (i === 0 ? text.padEnd(widths[i]) : text.padStart(widths[i]))).join(' | ')} |`;
  const rule = `|${widths.map((width, i) => '-'.repeat(width + 1) + (i === 0 ? '-' : ':')).join('|')}|`;
  return [line(HEAD), rule, ...cells.map(line)].join('\n');
}

/** What is wrong with the weights, a line each. */
function excess(rows: readonly Row[], budgets: Readonly<Record<string, number>>): string[] {
  const trouble = rows.flatMap(({ what, gzipped }) => {
    const budget = budgets[what];
    if (budget === undefined) {
      const proposed = Math.ceil((gzipped * 1.15) / 100) / 10;
      return [`${what}: has no budget; give it one in bench/size.json: "${what}": ${proposed}`];
    }
    return gzipped > 1000 * budget
      ? [`${what}: ${kB(gzipped)} kB are more than its budget, ${budget} kB`]
      : [];
  });
  const gone = Object.keys(budgets).filter((what) => rows.every((row) => row.what !== what));
  return [...trouble, ...gone.map((what) => `${what}: has a budget in bench/size.json, and is not there`)];
}

const folder = await realpath(await mkdtemp(join(tmpdir(), 'bax-size-')));
try {
  const packed = await pack(folder);
  await install(packed, folder);
  const rows = [...(await weighPackages(packed, folder)), ...(await weighApplication(packed, folder))];
  const file = new URL('./size.json', import.meta.url);
  const budgets = JSON.parse(await readFile(file, 'utf8')) as Record<string, number>;
  console.log(show(rows, budgets));
  const trouble = excess(rows, budgets);
  if (trouble.length > 0) {
    console.error(`\n${trouble.join('\n')}`);
    process.exitCode = 1;
  }
} finally {
  await rm(folder, { recursive: true });
}
