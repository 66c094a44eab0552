/**
 * Tries the laws on many random cases, as a nightly run does: npm run laws -- --cases 1000 [--seed 7] [--on webgpu] [FILES]
 * Without files: all laws of test/laws, and the backends' conformance. Ends with how many laws held, and on which backends.
 */
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';

const { values: args, positionals: files } = parseArgs({
  options: {
    cases: { type: 'string', default: '1000' },
    seed: { type: 'string', default: '1' },
    on: { type: 'string', default: '' },
  },
  allowPositionals: true,
});
for (const name of ['cases', 'seed'] as const)
  if (!/^\d+$/.test(args[name]) || (name === 'cases' && args.cases === '0')) {
    console.error(
      `laws: --${name} is '${args[name]}'; it is a whole number${name === 'cases' ? ' from 1' : ''}`,
    );
    process.exit(2);
  }
const folder = mkdtempSync(join(tmpdir(), 'bax-laws-'));
const report = join(folder, 'report.json');
const chosen = files.length > 0 ? files : ['test/laws', 'test/backend/conformance.test.ts'];
const flags = [
  '--testTimeout=86400000',
  '--reporter=default',
  '--reporter=json',
  `--outputFile.json=${report}`,
];
/** Tests of one kind of backend, as test/support/backends.ts names it; `host`: those of none. */
const only = args.on === '' ? [] : ['-t', args.on === 'host' ? "^(?!on ')" : `on '${args.on}'`];
try {
  const { status } = spawnSync(process.execPath, ['node_modules/vitest/vitest.mjs', 'run', ...flags, ...only, ...chosen], {
    stdio: ['ignore', 'inherit', 'inherit'],
    env: { ...process.env, LAW_CASES: args.cases, LAW_SEED: args.seed },
  }); // prettier-ignore
  interface Result {
    readonly testResults: readonly {
      readonly assertionResults: readonly { readonly fullName: string; readonly status: string }[];
    }[];
  }
  const results = (JSON.parse(readFileSync(report, 'utf8')) as Result).testResults.flatMap((file) => file.assertionResults); // prettier-ignore
  const by = new Map<string, { held: number; broken: number }>();
  for (const { fullName, status } of results) {
    if (status !== 'passed' && status !== 'failed') continue;
    const on = /^on '([^']+)'/.exec(fullName)?.[1] ?? 'on the host';
    const count = by.get(on) ?? { held: 0, broken: 0 };
    if (status === 'passed') count.held++;
    else count.broken++;
    by.set(on, count);
  }
  if (by.size === 0) console.error(`laws: none is tried on '${args.on}'; see test/support/backends.ts`);
  console.log(`laws, at least ${args.cases} random cases each where they are drawn, seed ${args.seed}:`);
  for (const [on, { held, broken }] of by) console.log(`  ${on}: ${held} held${broken > 0 ? `, ${broken} BROKEN` : ''}`);
  process.exitCode = by.size === 0 ? 2 : (status ?? 1);
} finally {
  rmSync(folder, { recursive: true, force: true });
} // prettier-ignore
