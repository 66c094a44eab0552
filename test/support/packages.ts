/** The packages as their users get them: packed by npm, and laid into the node_modules of a project of their own. */
import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdir, readdir, readFile, symlink } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { gunzipSync } from 'node:zlib';
import { tarFiles, writeFiles } from './untar.ts';

const ROOT = fileURLToPath(new URL('../../', import.meta.url));

/** What an export leads to, on what conditions. */
export type Target = string | { readonly [condition: string]: Target };

/** What is used of a package.json. */
export interface Manifest {
  readonly name: string;
  readonly version: string;
  readonly private?: boolean;
  readonly license: string;
  readonly engines: Readonly<Record<string, string>>;
  readonly files: readonly string[];
  readonly exports: Readonly<Record<string, Target>>;
  readonly dependencies?: Readonly<Record<string, string>>;
  readonly peerDependencies?: Readonly<Record<string, string>>;
  readonly peerDependenciesMeta?: Readonly<Record<string, { readonly optional?: boolean }>>;
}

export interface Packed {
  /** Its folder in packages/. */
  readonly folder: string;
  readonly manifest: Manifest;
  /** The tarball's path. */
  readonly tarball: string;
  readonly bytes: Buffer;
  /** What is in it, by path from the package's root. */
  readonly files: ReadonlyMap<string, Buffer>;
}

/** Every package that is published, by its folder. */
export async function packages(): Promise<ReadonlyMap<string, Manifest>> {
  const found = new Map<string, Manifest>();
  for (const folder of (await readdir(join(ROOT, 'packages'))).sort()) {
    const file = join(ROOT, 'packages', folder, 'package.json');
    if (!existsSync(file)) continue;
    const manifest = JSON.parse(await readFile(file, 'utf8')) as Manifest;
    if (!manifest.private) found.set(folder, manifest);
  }
  return found;
}

/** Packs every package into `into`, as publishing does: each one's prepack script builds it first. */
export async function pack(into: string): Promise<Packed[]> {
  const all = await packages();
  await npm('pack', '--pack-destination', into, ...workspaces(all.keys()));
  const packed = [...all].map(async ([folder, manifest]) => {
    const name = manifest.name.replace('@', '').replace('/', '-');
    const tarball = join(into, `${name}-${manifest.version}.tgz`);
    const bytes = await readFile(tarball);
    const files = [...tarFiles(gunzipSync(bytes))].map(
      ([path, content]) => [path.replace('package/', ''), content] as const,
    );
    return { folder, manifest, tarball, bytes, files: new Map(files) };
  });
  return Promise.all(packed);
}

/** What npm is told to do something with some of the packages. */
export const workspaces = (folders: Iterable<string>): string[] =>
  [...folders].flatMap((folder) => ['-w', `packages/${folder}`]);

/**
 * Installs the tarballs in `project`, without a network: what they depend on beside each other is linked from the
 * repository's node_modules, and nothing that they do not declare is there. Optional peers stay away.
 */
export async function install(packed: readonly Packed[], project: string): Promise<void> {
  const modules = join(project, 'node_modules');
  const own = new Set(packed.map(({ manifest }) => manifest.name));
  for (const { manifest, files } of packed) {
    await writeFiles(files, join(modules, manifest.name));
    for (const name of dependenciesOf(manifest)) {
      if (own.has(name) || existsSync(join(modules, name))) continue;
      await mkdir(dirname(join(modules, name)), { recursive: true });
      await symlink(join(ROOT, 'node_modules', name), join(modules, name), 'junction');
    }
  }
}

/** What must be installed beside a package. */
export const dependenciesOf = ({
  dependencies,
  peerDependencies,
  peerDependenciesMeta,
}: Manifest): string[] => [
  ...Object.keys(dependencies ?? {}),
  ...Object.keys(peerDependencies ?? {}).filter((name) => !peerDependenciesMeta?.[name]?.optional),
];

/** Runs npm in the repository, with no settings but the project's own; returns what it printed. */
export async function npm(...args: readonly string[]): Promise<string> {
  const npmCli = process.env.npm_execpath; // set by whoever runs this by npm
  const command = npmCli?.endsWith('npm-cli.js') ? [process.execPath, npmCli] : ['npm'];
  const none = (name: string): string => join(ROOT, 'node_modules', `no-${name}`);
  const noConfig = [
    '--userconfig',
    none('user'),
    '--globalconfig',
    none('global'),
    '--no-audit',
    '--no-fund',
  ];
  return run([...command, ...args, ...noConfig, '--no-update-notifier'], ROOT);
}

/** Runs a command, and returns what it printed on both streams. @throws if it does not exit with 0. */
export async function run(command: readonly string[], cwd: string): Promise<string> {
  const { code, output } = await runAny(command, cwd);
  if (code !== 0) throw new Error(`${command.join(' ')} ended with ${code}\n${output}`);
  return output;
}

/** Runs a command, and returns what it exited with and what it printed on both streams. */
export async function runAny(
  command: readonly string[],
  cwd: string,
  more: Readonly<Record<string, string>> = {},
): Promise<{ code: number | null; output: string }> {
  // Neither the runner's settings nor those with which npm started it.
  const env = Object.fromEntries(
    Object.entries(process.env).filter(
      ([name]) => !/^(npm_|NODE_OPTIONS|NODE_TEST|NODE_ENV|VITEST|TEST$)/i.test(name),
    ),
  );
  const shell = process.platform === 'win32' && command[0] === 'npm';
  const child = spawn(command[0], command.slice(1), { cwd, env: { ...env, ...more }, shell, stdio: ['ignore', 'pipe', 'pipe'] }); // prettier-ignore
  let output = '';
  for (const stream of [child.stdout, child.stderr])
    stream.setEncoding('utf8').on('data', (chunk: string) => (output += chunk));
  const code = await new Promise<number | null>((resolve, reject) => {
    child.on('error', reject);
    child.on('close', resolve);
  });
  return { code, output };
}
