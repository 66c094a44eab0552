/**
 * A GPU for the tests: a real one if this machine has one, else Mesa's lavapipe if it is installed, else SwiftShader, which
 * npm carries for Linux x64. BAX_GPU=hardware, lavapipe or swiftshader asks for one of them. A missing GPU is never
 * silently green: without any of them the run fails.
 */
import { execFile } from 'node:child_process';
import { existsSync, readdirSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { unpackNpmChromium } from '../npm-chromium.ts';

export interface Driver {
  readonly kind: Kind;
  readonly name: string;
  /** What a process must have in its environment when it starts. */
  readonly env: Readonly<Record<string, string>>;
}
const KINDS = ['hardware', 'lavapipe', 'swiftshader'] as const;
type Kind = (typeof KINDS)[number];

export async function chooseDriver(): Promise<Driver> {
  const wanted = process.env.BAX_GPU;
  if (wanted !== undefined && !KINDS.some((kind) => kind === wanted))
    throw new Error(`BAX_GPU is ${wanted}; choose one of ${KINDS.join(', ')}`);
  const tried: string[] = [];
  for (const kind of KINDS) {
    if (wanted !== undefined && wanted !== kind) continue;
    const env = await environments[kind]();
    const found = env && (await probe(env));
    if (env && found && (kind === 'hardware') !== found.software) return { kind, name: found.name, env };
    tried.push(
      `${kind}: ${env ? (found ? `only ${found.name}` : 'Dawn finds no adapter') : 'not on this machine'}`,
    );
  }
  throw new Error(`webgpu tests: there is no GPU, nor a software one (${tried.join('; ')}); install mesa-vulkan-drivers (Mesa 23 or newer)`); // prettier-ignore
}

const environments: Readonly<Record<Kind, () => Promise<Record<string, string> | undefined>>> = {
  hardware: async () => ({}),
  async lavapipe() {
    const manifest = ['/usr/share/vulkan/icd.d', '/etc/vulkan/icd.d']
      .filter((folder) => existsSync(folder))
      .flatMap((folder) => readdirSync(folder).map((file) => join(folder, file)))
      .find((file) => /lvp_icd.*\.json$/.test(file));
    return manifest === undefined
      ? undefined
      : { VK_ICD_FILENAMES: manifest, XDG_RUNTIME_DIR: process.env.XDG_RUNTIME_DIR ?? tmpdir() };
  },
  async swiftshader() {
    if (process.platform !== 'linux' || process.arch !== 'x64') return undefined;
    const { folder } = await unpackNpmChromium();
    return { VK_ICD_FILENAMES: join(folder, 'vk_swiftshader_icd.json'), LD_LIBRARY_PATH: folder };
  },
};

async function probe(env: Record<string, string>): Promise<{ name: string; software: boolean } | null> {
  const script = fileURLToPath(new URL('probe.mjs', import.meta.url));
  try {
    const { stdout } = await promisify(execFile)(process.execPath, [script], {
      env: { ...process.env, ...env },
    });
    return JSON.parse(stdout.trim().split('\n').at(-1) ?? 'null') as {
      name: string;
      software: boolean;
    } | null;
  } catch {
    return null;
  }
}
