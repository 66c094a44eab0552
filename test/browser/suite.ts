/** What runs in the page, or in its worker. */
import { checkBackend, checkLoraOn } from '@bax/check';
import type { Backend } from '@bax/core';
import { isSupported, wasm } from '@bax/wasm';
import { webgpu, type WebGpuBackend } from '@bax/webgpu';
import { survival, training } from './training.ts';

type Options = { readonly only: string; readonly runs: number };

const programs = {
  conformance: async (backend: Backend, options: Options) => checkBackend(backend, options),
  lora: async (backend: Backend, options: Options) => checkLoraOn(backend, options),
  training: async (backend: Backend) => training(backend),
};
export type Results = { [P in keyof typeof programs]: Awaited<ReturnType<(typeof programs)[P]>> } & {
  survival: Awaited<ReturnType<typeof survival>>;
};
export type Program = keyof Results;

export interface Wanted extends Options {
  readonly program: Program;
  readonly backend: 'wasm' | 'webgpu';
  /** Of wasm. */
  readonly threads?: number;
  /** Of webgpu. */
  readonly software: boolean;
}
/** Plain data: it is posted. */
export interface Outcome<P extends Program = Program> {
  /** Whether WebAssembly is. */
  readonly supported: boolean;
  readonly isolated: boolean;
  /** Whether it ran on a page's main thread. */
  readonly main: boolean;
  readonly result?: Results[P];
  readonly error?: string;
}

export async function runSuite(wanted: Wanted): Promise<Outcome> {
  const where = {
    supported: isSupported(),
    isolated: crossOriginIsolated,
    main: typeof document !== 'undefined',
  };
  try {
    return { ...where, result: await run(wanted) };
  } catch (error) {
    return { ...where, error: error instanceof Error ? error.message : String(error) };
  }
}

async function run({
  program,
  backend: name,
  threads,
  software,
  ...options
}: Wanted): Promise<Results[Program]> {
  const open = async (): Promise<WebGpuBackend> => webgpu(software ? { software } : {});
  if (program === 'survival') return survival(open);
  const backend = name === 'webgpu' ? await open() : await wasm(threads === undefined ? {} : { threads });
  try {
    return await programs[program](backend, options);
  } finally {
    backend.close();
  }
}
