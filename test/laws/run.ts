/**
 * Tries the laws on many random cases, as a nightly run does: npm run laws -- --cases 1000 [--seed 7] [--on webgpu] [FILES]
 * Without files: all laws of test/laws, and the backends' conformance. Ends with how many laws held, and on which backends.
 *
 * A thousand cases are eight rounds of 125, of seeds that follow one another, each file in a process of its own: a software
 * GPU never gives back what it compiled, and random cases ask for gigabytes of it, in more pieces than Linux maps for a
 * process (vm.max_map_count: 65,530): there lavapipe crashes.
 */
import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, relative } from 'node:path';
import { parseArgs } from 'node:util';

const MOST_OF_A_ROUND = 125;

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
const chosen = files.length > 0 ? files : ['test/laws', 'test/backend/conformance.test.ts'];
/** Tests of one kind of backend, as test/support/backends.ts names it; `host`: those of none. */
const only = args.on === '' ? [] : ['-t', args.on === 'host' ? "^(?!on ')" : `on '${args.on}'`];

interface Report {
  readonly testResults: readonly {
    readonly name: string;
    readonly assertionResults: readonly { readonly fullName: string; readonly status: string }[];
  }[];
}

/** What became of each law, and whether the run ended as a run should. */
function round(cases: number, seed: number): { results: Map<string, 'held' | 'BROKEN'>; ended: boolean } {
  const folder = mkdtempSync(join(tmpdir(), 'bax-laws-'));
  const report = join(folder, 'report.json');
  const flags = ['--isolate', '--testTimeout=86400000', '--reporter=default', '--reporter=json', `--outputFile.json=${report}`]; // prettier-ignore
  try {
    const { status } = spawnSync(process.execPath, ['node_modules/vitest/vitest.mjs', 'run', ...flags, ...only, ...chosen], {
      stdio: ['ignore', 'inherit', 'inherit'],
      env: { ...process.env, LAW_CASES: String(cases), LAW_SEED: String(seed) },
    }); // prettier-ignore
    if (!existsSync(report)) return { results: new Map(), ended: false }; // it did not even start, and said why
    const { testResults } = JSON.parse(readFileSync(report, 'utf8')) as Report;
    const results = new Map<string, 'held' | 'BROKEN'>();
    for (const { name, assertionResults } of testResults)
      for (const { fullName, status: became } of assertionResults)
        if (became === 'passed' || became === 'failed')
          results.set(`${relative('', name)} ${fullName}`, became === 'passed' ? 'held' : 'BROKEN');
    return { results, ended: status === 0 || [...results.values()].includes('BROKEN') };
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

const all = new Map<string, 'held' | 'BROKEN'>();
let ended = true;
for (let left = Number(args.cases), seed = Number(args.seed); left > 0; left -= MOST_OF_A_ROUND, seed++) {
  const one = round(Math.min(left, MOST_OF_A_ROUND), seed);
  for (const [law, became] of one.results) if (all.get(law) !== 'BROKEN') all.set(law, became);
  ended &&= one.ended;
}

const by = new Map<string, { held: number; broken: string[] }>();
for (const [law, became] of all) {
  const backend = / on '([^']+)' /.exec(law)?.[1] ?? 'on the host';
  const count = by.get(backend) ?? { held: 0, broken: [] };
  if (became === 'held') count.held++;
  else count.broken.push(law);
  by.set(backend, count);
}
if (by.size === 0 && ended)
  console.error(`laws: none is tried on '${args.on}'; see test/support/backends.ts`);
console.log(`laws, at least ${args.cases} random cases each where they are drawn, seeds from ${args.seed}:`);
for (const [backend, { held, broken }] of by) {
  console.log(`  ${backend}: ${held} held${broken.length > 0 ? `, ${broken.length} BROKEN` : ''}`);
  for (const law of broken) console.log(`    BROKEN: ${law}`);
}
if (!ended) console.log('  NOT ALL WERE TRIED: a process died or never began, see above');
process.exitCode = by.size === 0 ? 2 : ended && ![...all.values()].includes('BROKEN') ? 0 : 1;
