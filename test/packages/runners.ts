/** @bax/check under the test runners that its users have, and the example project as its CI would run it. */
import { cp, mkdir, readFile, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect } from 'vitest';
import { install, type Packed, runAny } from '../support/packages.ts';

const ROOT = fileURLToPath(new URL('../../', import.meta.url));

/** Test runners, and what they say of their tests. */
export const RUNNERS: readonly (readonly [name: string, modules: readonly string[], passed: RegExp, failed: RegExp])[] = [
  ['vitest', ['vitest'], /Tests .*7 passed/, /1 failed.* \| .*1 passed/],
  ['node', [], /# pass 7\n|ℹ pass 7\n/, /# fail 1\n|ℹ fail 1\n/],
  ['jest', ['jest'], /Tests: +7 passed, 7 total/, /Tests: +1 failed, 1 passed, 2 total/],
]; // prettier-ignore

/** Links what npm would have installed from the registry, and the commands of packages. */
async function link(modules: string, names: readonly string[], bins: Readonly<Record<string, string>> = {}): Promise<void> {
  for (const name of names) {
    await mkdir(join(modules, name, '..'), { recursive: true });
    await symlink(join(ROOT, 'node_modules', name), join(modules, name), 'junction');
  }
  await mkdir(join(modules, '.bin'), { recursive: true });
  for (const [name, file] of Object.entries(bins)) await symlink(join(modules, file), join(modules, '.bin', name));
} // prettier-ignore

const COMMANDS = { vitest: 'vitest/vitest.mjs', 'bax-check': '@bax/check/bin.js' };
const npmTest = async (cwd: string, env: Readonly<Record<string, string>> = {}): ReturnType<typeof runAny> =>
  runAny(['npm', 'test'], cwd, { ...env, NO_COLOR: '1', FORCE_COLOR: '0' });

/** Lays the three projects of test/packages/runners beside the installed packages. */
export async function layRunners(project: string): Promise<void> {
  const runners = join(project, 'runners');
  await cp(fileURLToPath(new URL('./runners', import.meta.url)), runners, { recursive: true });
  for (const [name, modules] of RUNNERS)
    await link(
      join(runners, name, 'node_modules'),
      modules,
      name === 'vitest' ? { vitest: COMMANDS.vitest } : {},
    );
}

/** The laws hold, and a law that does not is a red test that says how to try it again. */
export async function provesUnder([name, , passed, failed]: (typeof RUNNERS)[number], project: string): Promise<void> {
  const cwd = join(project, 'runners', name);
  const good = await npmTest(cwd);
  expect(good).toEqual({ code: 0, output: expect.stringMatching(passed) });
  const bad = await npmTest(cwd, { BROKEN: '1' });
  expect(bad).toEqual({ code: 1, output: expect.stringMatching(failed) });
  expect(bad.output).toContain('half: gradient on cpu: the gradient is the central difference');
  expect(bad.output).toMatch(/for {6}half\(\[\] of -?[\d.]+\)/);
  expect(bad.output).toMatch(/replay {3}await checkOp\(half, \{ domain, only: "gradient on cpu", seed: 1, path: '[\d:]+' \}\);/); // prettier-ignore
} // prettier-ignore

/** examples/proof with what is published, `npm test` in it as its README and its CI have it; what it printed. */
export async function proofExample(packed: readonly Packed[], folder: string): Promise<string> {
  const project = join(folder, 'proof');
  await cp(join(ROOT, 'examples/proof'), project, {
    recursive: true,
    filter: (path) => !/node_modules|\.bax-out/.test(path.slice(ROOT.length)),
  });
  const manifest = JSON.parse(await readFile(join(project, 'package.json'), 'utf8')) as { scripts: object };
  const { pretest: _, ...scripts } = manifest.scripts as Record<string, string>; // as its README says
  await writeFile(join(project, 'package.json'), JSON.stringify({ ...manifest, scripts }));
  await install(packed, project);
  await link(join(project, 'node_modules'), ['vitest'], COMMANDS);
  const { code, output } = await npmTest(project);
  expect({ code, output }).toEqual({ code: 0, output: expect.anything() });
  expect(await readFile(join(project, '.bax-out/report.xml'), 'utf8')).toContain('tests="17" failures="0"');
  return output;
}
