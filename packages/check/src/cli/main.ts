// The only files that touch node: modules are in this folder; exported as `@bax/check/node`.
import { existsSync } from 'node:fs';
import { readFile, writeFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import { BaxError } from '@bax/core';
import type { Folder } from '@bax/nn';
import { openFolder } from '@bax/nn/node';
import { junitXml } from '../verify/junit.ts';
import { plain, showReport } from '../verify/report.ts';
import { verifyAdapter } from '../verify/verify-adapter.ts';
import { commandOf, HELP, readArgs, type VerifyArgs } from './args.ts';

/** Where it prints. */
export interface Output {
  readonly out: (text: string) => void;
  readonly err: (text: string) => void;
}

/** What a shell is told. */
export const EXIT = { ok: 0, broken: 1, usage: 2 } as const;

/**
 * `bax-check`, the command line. Resolves to its exit code: 0 if every law holds, 1 if one does not, 2 if it was called
 * wrongly.
 */
export async function main(argv: readonly string[], { out, err }: Output): Promise<number> {
  try {
    const args = readArgs(argv);
    if (args === 'version') out(await version());
    else if (args !== 'help') return await verify(args, { out, err });
    else out(HELP);
  } catch (error) {
    if (!(error instanceof BaxError)) throw error;
    err(`bax-check: ${plain(error.message)}\nsee npx @bax/check --help`);
    return EXIT.usage;
  }
  return argv.length === 0 ? EXIT.usage : EXIT.ok;
}

async function version(): Promise<string> {
  const text = await readFile(new URL('../../package.json', import.meta.url), 'utf8');
  return (JSON.parse(text) as { version: string }).version;
}

async function verify(args: VerifyArgs, { out, err }: Output): Promise<number> {
  const [base, adapter] = [await open(args.base), await open(args.adapter)];
  await assertNotSwapped(base, adapter);
  if (args.junit !== undefined) await write(args.junit, '', 'a'); // told now, if it cannot be written
  const { seed, cases, timeBudget } = args;
  const report = await verifyAdapter(base, adapter, { seed, cases, ...(timeBudget === undefined ? {} : { timeBudget }) }); // prettier-ignore
  const shown = { ...report, base: args.base, adapter: args.adapter };
  const command = commandOf(args);
  if (args.junit !== undefined) await write(args.junit, junitXml(shown, command));
  if (args.json) out(JSON.stringify({ ...shown, command }, null, 2));
  else out(showReport(shown));
  if (!report.ok && !args.json) err(`again: ${plain(command)}`);
  return report.ok ? EXIT.ok : EXIT.broken;
}

async function open(path: string): Promise<Folder> {
  if (!existsSync(path)) throw new BaxError(`there is no directory ${path}; give one that holds the files`);
  return openFolder(path, { followLinks: true });
}

/** @throws BaxError if the two directories were given in the other order. */
async function assertNotSwapped(base: Folder, adapter: Folder): Promise<void> {
  const isAdapter = async (folder: Folder): Promise<boolean> =>
    (await folder.has('adapter_config.json')) && !(await folder.has('config.json'));
  if ((await isAdapter(base)) && !(await isAdapter(adapter)))
    throw new BaxError(`${base.name} is an adapter, and ${adapter.name} is none; the base comes first: verify <base> <adapter>`); // prettier-ignore
}

async function write(path: string, text: string, flag: 'a' | 'w' = 'w'): Promise<void> {
  if (!existsSync(dirname(path)))
    throw new BaxError(`--junit ${path}: there is no directory ${dirname(path)}; make it first`);
  try {
    await writeFile(path, text, { flag });
  } catch (error) {
    throw new BaxError(`--junit ${path}: cannot be written (${(error as NodeJS.ErrnoException).code})`, { cause: error }); // prettier-ignore
  }
}
