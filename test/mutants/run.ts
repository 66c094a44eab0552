/**
 * Applies each mutant to a copy of the sources, one at a time, runs its tests there, and says which of them noticed, and
 * which laws those prove: npm run mutants [-- --only 'scale|decay'] [-- --write]
 */
import { execFileSync, spawn } from 'node:child_process';
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
import { chooseDriver } from '../support/gpu/driver.ts';
import { LAWS, lawsOf } from './laws.ts';
import { type Mutant, mutants } from './mutants.ts';

const { values: args } = parseArgs({
  options: {
    /** Parts of names or of files, with | between them. */
    only: { type: 'string', default: '' },
    write: { type: 'boolean', default: false },
  },
});
const root = fileURLToPath(new URL('../..', import.meta.url));
const MINUTE = 60_000;
/** Found once, and not by each run. */
const { kind: gpu } = await chooseDriver();

/** What the mutants of a folder are tried on: all tests that name no backend, and those on its own. */
const kindOf = ({ file }: Mutant): 'cpu' | 'wasm' | 'webgpu' => {
  if (file.startsWith('packages/wasm/')) return 'wasm';
  return file.startsWith('kernels/') || file.startsWith('packages/webgpu/') ? 'webgpu' : 'cpu';
};

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
  /** `file: name` of each test. */
  readonly failed: readonly string[];
}
let running: number | undefined; // whose group it is: a worker in an endless loop hears no signal that its parent gets
const end = (): void => {
  if (running !== undefined) process.kill(-running, 'SIGKILL');
};
for (const signal of ['SIGINT', 'SIGTERM'] as const)
  process.once(signal, () => {
    end();
    rmSync(copy, { recursive: true, force: true });
    process.exit(1);
  });

async function test(tests: readonly string[], on: string, minutes: number): Promise<Outcome> {
  const report = join(copy, 'report.json');
  rmSync(report, { force: true });
  const files = [...new Set(tests)].map((t) => `test/${t}`);
  const flags = ['--reporter=json', `--outputFile=${report}`, '--experimental.fsModuleCache', `--testTimeout=${3 * MINUTE}`, '-t', `^(?!on )|^on '?${on}`]; // prettier-ignore
  let late = false;
  await new Promise<void>((done, fail) => {
    const child = spawn(process.execPath, ['node_modules/vitest/vitest.mjs', 'run', ...flags, ...files], { cwd: copy, env: { ...process.env, BAX_GPU: gpu }, stdio: 'ignore', detached: true }); // prettier-ignore
    running = child.pid;
    const timer = setTimeout(() => {
      late = true;
      end();
    }, minutes * MINUTE);
    child.on('error', fail).on('exit', () => {
      running = undefined;
      clearTimeout(timer);
      done();
    });
  });
  if (!existsSync(report))
    return { passed: 0, failed: [`${tests.join(', ')}: does not ${late ? 'end' : 'run'}`] };
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

/** The laws that failed, in order. */
const broken = ({ failed }: Outcome): string[] => {
  const laws = new Set(failed.flatMap((test) => lawsOf(test, (file) => readFileSync(join(root, 'test', file), 'utf8')))); // prettier-ignore
  return LAWS.filter((law) => laws.has(law));
};
/** The laws and files that noticed, in few words. */
function killers(outcome: Outcome): string {
  const { failed } = outcome;
  for (const verb of ['end', 'run'])
    if (failed[0]?.endsWith(`: does not ${verb}`)) return `its tests do not ${verb}`;
  const laws = broken(outcome);
  const files = new Set(failed.map((name) => name.split(':')[0]));
  return `${failed.length} ${failed.length === 1 ? 'test' : 'tests'} (${[...files].join(', ')}${laws.length > 0 ? `; ${laws.join(', ')}` : ''})`;
}

/** All must pass without a mutant; what only took too long on a busy machine has another chance. */
async function passing(some: readonly Mutant[], on: string): Promise<number> {
  const { passed, failed } = await test(some.flatMap(({ tests }) => tests), on, 60); // prettier-ignore
  if (passed === 0)
    throw new Error(`without a mutant no test passes on ${on}: ${failed.slice(0, 3).join('; ')}`);
  if (failed.length === 0) return passed;
  const again = await test(failed.map((name) => name.split(':')[0]!), on, 60); // prettier-ignore
  if (again.failed.length > 0)
    throw new Error(`without a mutant ${again.failed.length} tests fail already: ${again.failed.slice(0, 3).join('; ')}`); // prettier-ignore
  return passed + failed.length;
}

const chosen = mutants.filter(({ name, file }) => args.only.split('|').some((part) => `${name} ${file}`.includes(part))); // prettier-ignore
const copy = copyOf();
const rows: string[] = [];
const killed = new Map<string, string[]>(LAWS.map((law) => [law, []]));
let survived = 0;
try {
  let passed = 0;
  for (const on of new Set(chosen.map(kindOf)))
    passed += await passing(chosen.filter((mutant) => kindOf(mutant) === on), on); // prettier-ignore
  console.log(`${chosen.length} mutants; without one, all ${passed} of their tests pass`);
  for (const mutant of chosen) {
    const outcome = await tried(mutant);
    const dead = outcome.failed.length > 0;
    if (!dead) survived++;
    const line = `${dead ? 'killed  ' : 'SURVIVED'}  ${mutant.name}`;
    console.log(`${line}: ${dead ? killers(outcome) : mutant.tests.join(', ')}`);
    rows.push(
      `| ${mutant.name} | \`${mutant.file}\` | ${dead ? `killed by ${killers(outcome)}` : '**survived**'} |`,
    );
    for (const law of broken(outcome)) killed.get(law)!.push(mutant.name);
  }
} finally {
  rmSync(copy, { recursive: true, force: true });
}
console.log(`${chosen.length - survived} killed, ${survived} survived`);
if (args.only === '')
  for (const [law, names] of killed) if (names.length === 0) console.log(`${law} kills none of them`);
if (args.write) {
  const day = new Date().toISOString().slice(0, 10);
  const laws = [...killed].map(([law, names]) => `| ${law} | ${names.join('; ') || '**none**'} |`);
  const text = `# npm run mutants, ${day}\n\n${chosen.length - survived} killed, ${survived} survived. Each was applied alone to a copy of the sources; the tests that were asked are named in \`test/mutants/mutants.ts\`, and were run on the cpu, those of mutants of a backend on that backend.\n\n| mutant | file | |\n|---|---|---|\n${rows.join('\n')}\n\nBy law: the mutants that its tests killed.\n\n| law | mutants |\n|---|---|\n${laws.join('\n')}\n`;
  writeFileSync(join(root, `bench/results/${day}-mutants.md`), text);
}
process.exitCode = survived > 0 ? 1 : 0;

async function tried(mutant: Mutant): Promise<Outcome> {
  const { file, find, put, tests } = mutant;
  const path = join(copy, file);
  const source = readFileSync(path, 'utf8');
  if (source.split(find).length !== 2) throw new Error(`${file} does not hold '${find}' once`);
  writeFileSync(
    path,
    source.replace(find, () => put),
  );
  try {
    return await test(tests, kindOf(mutant), 5);
  } finally {
    writeFileSync(path, source);
  }
}
