/**
 * Applies each mutant to a copy of the sources, one at a time, runs its tests there, and says which of them noticed:
 * npm run mutants [-- --only scale] [-- --write]
 */
import { execFileSync, spawnSync } from 'node:child_process';
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { type Mutant, mutants } from './mutants.ts';

const { values: args } = parseArgs({
  options: {
    only: { type: 'string', default: '' },
    write: { type: 'boolean', default: false },
  },
});
const root = fileURLToPath(new URL('../..', import.meta.url));

/** The working tree as it is, with its own links to the packages: else the tests would run the original. */
function copyOf(): string {
  const copy = mkdtempSync(join(tmpdir(), 'bax-mutants-'));
  const files = execFileSync('git', ['ls-files', '--cached', '--others', '--exclude-standard'], { cwd: root, encoding: 'utf8' }); // prettier-ignore
  for (const file of files.split('\n').filter(Boolean))
    try {
      mkdirSync(dirname(join(copy, file)), { recursive: true });
      cpSync(join(root, file), join(copy, file));
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error; // deleted, and not committed yet
    }
  const modules = join(copy, 'node_modules');
  mkdirSync(join(modules, '@bax'), { recursive: true });
  for (const name of readdirSync(join(root, 'node_modules')))
    if (name !== '@bax' && name !== 'bax') symlinkSync(join(root, 'node_modules', name), join(modules, name));
  for (const name of readdirSync(join(copy, 'packages')))
    symlinkSync(join(copy, 'packages', name), join(modules, name === 'bax' ? 'bax' : `@bax/${name}`));
  return copy;
}

interface Outcome {
  readonly passed: number;
  readonly failed: readonly string[];
}
function test(copy: string, tests: readonly string[]): Outcome {
  const report = join(copy, 'report.json');
  rmSync(report, { force: true });
  const files = [...new Set(tests)].map((t) => `test/${t}`);
  spawnSync(process.execPath, ['node_modules/vitest/vitest.mjs', 'run', '--reporter=json', `--outputFile=${report}`, ...files], { cwd: copy, stdio: 'ignore', timeout: 1_200_000 }); // prettier-ignore
  if (!existsSync(report)) return { passed: 0, failed: [`${tests.join(', ')}: does not end`] };
  interface File {
    readonly name: string;
    readonly status: string;
    readonly assertionResults: readonly { readonly fullName: string; readonly status: string }[];
  }
  const { testResults } = JSON.parse(readFileSync(report, 'utf8')) as { testResults: File[] };
  const all = testResults.flatMap((file) =>
    file.assertionResults.map((t) => ({ ...t, file: relative(join(copy, 'test'), file.name) })),
  );
  const broken = testResults.filter((file) => file.status === 'failed' && file.assertionResults.length === 0); // it did not even load
  return {
    passed: all.filter((t) => t.status === 'passed').length,
    failed: [
      ...all.filter((t) => t.status === 'failed').map((t) => `${t.file}: ${t.fullName}`),
      ...broken.map((file) => `${relative(join(copy, 'test'), file.name)}: does not run`),
    ],
  };
}

/** The laws and files that noticed, in few words. */
function killers({ failed }: Outcome): string {
  const laws = new Set(failed.flatMap((name) => name.match(/\bP\d+\b/g) ?? []));
  const files = new Set(failed.map((name) => name.split(':')[0]));
  return `${failed.length} tests (${[...files].join(', ')}${laws.size > 0 ? `; ${[...laws].join(', ')}` : ''})`;
}

const chosen = mutants.filter(({ name, file }) => `${name} ${file}`.includes(args.only));
const copy = copyOf();
const rows: string[] = [];
let survived = 0;
try {
  const before = test(copy, chosen.flatMap(({ tests }) => tests)); // prettier-ignore
  if (before.failed.length > 0 || before.passed === 0)
    throw new Error(
      `without a mutant ${before.failed.length} tests fail already: ${before.failed.slice(0, 3).join('; ')}`,
    );
  console.log(`${chosen.length} mutants; without one, all ${before.passed} of their tests pass`);
  for (const mutant of chosen) {
    const outcome = tried(mutant);
    const dead = outcome.failed.length > 0;
    if (!dead) survived++;
    const line = `${dead ? 'killed  ' : 'SURVIVED'}  ${mutant.name}`;
    console.log(`${line}: ${dead ? killers(outcome) : mutant.tests.join(', ')}`);
    rows.push(
      `| ${mutant.name} | \`${mutant.file}\` | ${dead ? `killed by ${killers(outcome)}` : '**survived**'} |`,
    );
  }
} finally {
  rmSync(copy, { recursive: true, force: true });
}
console.log(`${chosen.length - survived} killed, ${survived} survived`);
if (args.write) {
  const day = new Date().toISOString().slice(0, 10);
  const text = `# npm run mutants, ${day}\n\n${chosen.length - survived} killed, ${survived} survived. Each was applied alone to a copy of the sources; the tests that were asked are named in \`test/mutants/mutants.ts\`.\n\n| mutant | file | |\n|---|---|---|\n${rows.join('\n')}\n`;
  writeFileSync(join(root, `bench/results/${day}-mutants.md`), text);
}
process.exitCode = survived > 0 ? 1 : 0;

function tried({ file, find, put, tests }: Mutant): Outcome {
  const path = join(copy, file);
  const source = readFileSync(path, 'utf8');
  if (source.split(find).length !== 2) throw new Error(`${file} does not hold '${find}' once`);
  writeFileSync(
    path,
    source.replace(find, () => put),
  );
  try {
    return test(copy, tests);
  } finally {
    writeFileSync(path, source);
  }
}
