/**
 * Every block of packages/check/README.md is run as a reader would run it: here its tests, its shell, its workflow and its failure;
 * its `ts` programs in ../packages, with the packed tarballs.
 */
import { mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { parseXml } from '../support/xml.ts';
import { node, put, ROOT, start } from '../examples/support.ts';

const README = readFileSync(join(ROOT, 'packages/check/README.md'), 'utf8');
interface Block {
  readonly kind: string;
  readonly file: string | undefined;
  readonly code: string;
}
const blocks = [...README.matchAll(/^```(\w+)(?: (\S+))?\n(.*?)^```$/gms)].map(
  ([, kind, file, code]): Block => ({ kind: kind!, file, code: code! }),
);
const of = (kind: string): Block[] => blocks.filter((block) => block.kind === kind);
const programs = of('ts').filter(({ file }) => file === undefined);
const tests = of('ts').filter(({ file }) => file !== undefined);

/** Inside the repository, where the packages resolve; git ignores it. */
let folder: string;
beforeAll(() => {
  mkdirSync(join(ROOT, '.bax-out'), { recursive: true });
  folder = mkdtempSync(join(ROOT, '.bax-out', 'check-readme-'));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

it('has blocks of which we know how they are run, and no others', () => {
  const known = [...programs, ...tests, ...of('sh'), ...of('yaml'), ...of('text')];
  expect(blocks.filter((block) => !known.includes(block))).toEqual([]);
  expect(README.match(/^```/gm)).toHaveLength(2 * blocks.length);
  expect([programs.length, tests.length, of('sh').length, of('yaml').length, of('text').length]).toEqual([6, 1, 2, 1, 1]); // prettier-ignore
});

it('names only what the package exports', async () => {
  const exported = { ...(await import('@bax/check')), ...(await import('@bax/check/node')) };
  const [, table] = README.split('## All of it');
  const names = [...table!.matchAll(/`(\w+)(?:\([^`]*\))?`/g)].map(([, name]) => name!);
  const others = ['seed', 'runs', 'timeBudget', 'only', 'test'];
  expect(names.length).toBeGreaterThan(20);
  expect(names.filter((name) => !(name in exported) && !others.includes(name))).toEqual([]);
});

it('says what a failure says', async () => {
  const file = put(
    join(folder, 'failure.ts'),
    programs.find(({ code }) => code.includes('error.message'))!.code,
  );
  const { code, stdout, stderr } = await start(node(file)).ended;
  expect({ code, stdout, stderr }).toEqual({ code: 0, stdout: of('text')[0]!.code, stderr: '' });
});

describe('its project: tests, then the command line', () => {
  const bin = join(ROOT, 'packages/check/bin.js');
  /** A line of a shell block or a workflow as it is run here: from source, and with what is installed. */
  async function sh(line: string): Promise<string> {
    const words = line.split(' ');
    const vitest = [process.execPath, join(ROOT, 'node_modules/vitest/vitest.mjs')];
    const command = line.startsWith('npx @bax/check ') ? node(bin, ...words.slice(2)) : line === 'npx vitest run' ? [...vitest, 'run'] : undefined; // prettier-ignore
    if (!command) throw new Error(`the README runs '${line}', and this test does not know how`);
    const { code, stdout, stderr } = await start(command, { cwd: folder }).ended;
    expect({ line, code, stderr }).toEqual({ line, code: 0, stderr: '' });
    return stdout;
  }
  beforeAll(() => {
    const config = "export default { resolve: { conditions: ['source'] }, ssr: { resolve: { conditions: ['source'] } }, test: { include: ['test/**'], testTimeout: 60_000 } };"; // prettier-ignore
    put(join(folder, 'vitest.config.js'), config);
    for (const { file, code } of tests) put(join(folder, file!), code);
  });

  it('runs its workflow, line by line', async () => {
    const lines = [...of('yaml')[0]!.code.matchAll(/- run: (.*)$/gm)].map(([, line]) => line!);
    expect(lines[0]).toBe('npm ci'); // what the repository's own CI begins with
    for (const line of lines.slice(1)) await sh(line);
    const report = parseXml(readFileSync(join(folder, 'report.xml'), 'utf8'));
    expect(report.attributes).toMatchObject({ tests: '17', failures: '0' });
    expect(of('yaml')[0]!.code).toContain('path: report.xml');
  });

  it('runs its shell blocks', async () => {
    const lines = of('sh').flatMap(({ code }) => code.trim().split('\n'));
    const { name, peerDependencies } = JSON.parse(readFileSync(join(ROOT, 'packages/check/package.json'), 'utf8')) as { name: string; peerDependencies: object }; // prettier-ignore
    expect(lines[0]).toBe(`npm install --save-dev ${[name, ...Object.keys(peerDependencies)].join(' ')}`); // as ../packages installs it
    const [first, second, help] = await Promise.all(lines.slice(1).map(sh));
    expect(first).toMatch(/17 laws hold\.\n$/);
    expect(JSON.parse(second!)).toMatchObject({ ok: true, seed: 7, cases: 20, adapter: 'adapters/mine' });
    expect(help).toContain('Usage: npx @bax/check verify');
  });
});
