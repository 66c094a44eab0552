/** The examples as their users run them: in a process of their own, on a model small enough to be made on the fly. */
import { spawn, type ChildProcess } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { createGpt2, gpt2Config, key, saveGpt2, trainBpe, writeTokenizer, type Gpt2Config } from 'bax';
import { openFolder } from 'bax/node';

export const ROOT: string = fileURLToPath(new URL('../../', import.meta.url));

export interface Ended {
  /** null if a signal ended it. */
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly stdout: string;
  readonly stderr: string;
}
export interface Running {
  readonly child: ChildProcess;
  readonly ended: Promise<Ended>;
}

export interface StartOptions {
  /** In a process group of its own. */
  readonly detached?: boolean;
  /** Where; default: the repository's root. */
  readonly cwd?: string;
  readonly env?: Readonly<Record<string, string>>;
  /** Let it find the GPU of the tests. */
  readonly gpu?: boolean;
}

/** What Dawn itself says of the system's graphics drivers, if it finds none or a strange one. */
const OF_DAWN = /^Warning: .*\n(?: +at .*\n|\n)*/gm;
/** Without a GPU, not even a software one: `auto` is then wasm on every machine. */
const NO_GPU = { VK_ICD_FILENAMES: 'none', VK_DRIVER_FILES: 'none' };

/** Starts a command. */
export function start(command: readonly string[], options: StartOptions = {}): Running {
  const { NODE_OPTIONS: _, ...env } = process.env;
  const child = spawn(command[0], command.slice(1), {
    cwd: ROOT,
    ...options,
    stdio: ['ignore', 'pipe', 'pipe'],
    env: { ...env, ...(options.gpu ? {} : NO_GPU), ...options.env },
  });
  const text = { stdout: '', stderr: '' };
  for (const name of ['stdout', 'stderr'] as const)
    child[name].setEncoding('utf8').on('data', (chunk: string) => (text[name] += chunk));
  const ended = new Promise<Ended>((resolve, reject) => {
    child.on('error', reject);
    child.on('close', (code, signal) =>
      resolve({ code, signal, ...text, stderr: text.stderr.replace(OF_DAWN, '') }),
    );
  });
  return { child, ended };
}

/** Node with TypeScript, and the packages as source. */
export const node = (file: string, ...args: readonly string[]): string[] => [
  process.execPath,
  '--import',
  'tsx',
  '--conditions',
  'source',
  file,
  ...args,
];

/** Resolves as soon as there is a file at `path`; rejects if the process ends without it. */
export async function appears(path: string, { ended }: Running): Promise<void> {
  let end: Ended | undefined;
  void ended.then((value) => (end = value));
  while (!existsSync(path)) {
    if (end) throw new Error(`${path} was never written: ${JSON.stringify(end)}`);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

/** Every file below a directory, by its path from there; none if there is no such directory. */
export const files = (directory: string): string[] => {
  try {
    return readdirSync(directory, { withFileTypes: true, recursive: true })
      .filter((entry) => entry.isFile())
      .map((entry) => join(entry.parentPath, entry.name).slice(directory.length + 1))
      .sort();
  } catch {
    return [];
  }
};

/** A new directory, and what removes it. */
export function scratch(): { readonly path: string; remove(): void } {
  const path = mkdtempSync(join(tmpdir(), 'bax-test-'));
  return { path, remove: () => rmSync(path, { recursive: true, force: true }) };
}

const SENTENCES =
  'The whale swam on. Call me Ishmael; some years ago, never mind how long. The sea was wide and the ship was small. ';
export const text = (times: number): string => SENTENCES.repeat(times);

/** Writes a GPT-2 of width 16 with 2 layers, a context of 32 and 300 tokens, with its tokenizer. */
export async function tinyModel(directory: string, config: Partial<Gpt2Config> = {}): Promise<void> {
  const folder = await openFolder(directory, { create: true });
  await writeTokenizer(folder, await trainBpe([text(1)], { vocabSize: 300 }));
  const full = gpt2Config({
    n_layer: 2, n_embd: 16, n_head: 2, n_positions: 32, vocab_size: 300, bos_token_id: 299, eos_token_id: 299,
    resid_pdrop: 0, embd_pdrop: 0, attn_pdrop: 0, ...config,
  }); // prettier-ignore
  await saveGpt2(createGpt2(full, { key: key(1) }), folder);
}

/** Writes a file and the directories above it; returns its path. */
export function put(path: string, content: string | Uint8Array): string {
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, content);
  return path;
}
