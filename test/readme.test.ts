/** What README.md and CONTRIBUTING.md say is so: their code runs, their links lead somewhere, their commands exist. */
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { node, ROOT, start } from './examples/support.ts';

const read = (file: string): string => readFileSync(join(ROOT, file), 'utf8');
const [README, CONTRIBUTING] = [read('README.md'), read('CONTRIBUTING.md')];
const all = (text: string, pattern: RegExp): string[][] => [...text.matchAll(pattern)].map((m) => [...m]);

const blocks = all(README, /^```ts\n(.*?)^```$/gms).map(([, code]) => code);
const nameOf = (code: string): string => all(code, /from '([^']+)'/g).map(([, name]) => name).join(', '); // prettier-ignore
const plain = (text: string): string => text.replaceAll(/\s+/g, ' ');

describe.concurrent('the code of the README', () => {
  /** Inside the repository, where 'bax' resolves; git ignores it. */
  let folder: string;
  const fileOf = (code: string): string => join(folder, `${blocks.indexOf(code)}.ts`);
  beforeAll(() => {
    mkdirSync(join(ROOT, '.bax-out'), { recursive: true });
    folder = mkdtempSync(join(ROOT, '.bax-out', 'readme-'));
    for (const code of blocks) writeFileSync(fileOf(code), code);
  });
  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  it('is there', () => {
    expect(blocks.length).toBeGreaterThanOrEqual(4);
    for (const name of ['bax', '@bax/core', '@bax/cpu', '@bax/check'])
      expect(blocks.some((code) => code.includes(`from '${name}'`))).toBe(true);
    expect(README).not.toMatch(/^```(typescript|js|javascript)$/m); // or it would not be run here
  });

  it.each(blocks.map((code) => [nameOf(code), code]))(
    'runs, and prints what it says: %s',
    async (_, code) => {
      const said = all(code, /(?:print\(\)|console\.log\(.*\)).*\/\/ (Tensor .+)$/gm).map(([, text]) => text);
      const { code: exit, stdout, stderr } = await start(node(fileOf(code))).ended;
      expect({ exit, stderr }).toEqual({ exit: 0, stderr: '' });
      for (const text of said) expect(plain(stdout)).toContain(plain(text));
    },
  );

  it('has the types that it needs', async () => {
    const config = {
      extends: '../../tsconfig.test.json',
      compilerOptions: { tsBuildInfoFile: null, incremental: false, skipLibCheck: true },
      files: [],
      include: ['*.ts'],
      references: [],
    };
    writeFileSync(join(folder, 'tsconfig.json'), JSON.stringify(config));
    const tsc = join(ROOT, 'node_modules/typescript/bin/tsc');
    const { code, stdout } = await start([process.execPath, tsc, '-p', folder]).ended;
    expect({ code, stdout }).toEqual({ code: 0, stdout: '' });
  });
});

describe.each(['', 'examples/lab/'])('%sREADME.ja.md', (folder) => {
  const english = read(`${folder}README.md`);
  const japanese = read(`${folder}README.ja.md`).replaceAll('.ja.png', '.png'); // with pictures of its own
  const parts = {
    code: /^```\w*\n.*?^```$/gms,
    links: /(?<=\]\()(?!README)[^)\s]+(?=\))/g,
    headings: /^#+(?= )/gm,
    rows: /^\|/gm,
  };
  it.each(Object.entries(parts))('says what the English one does: %s', (_, pattern) => {
    const [inEnglish, inJapanese] = [english, japanese].map((text) =>
      all(text, pattern).map(([found]) => found),
    );
    expect(inEnglish.length).toBeGreaterThan(0);
    expect(inJapanese).toEqual(inEnglish);
  });
});

describe.each([
  ['README.md', README],
  ['README.ja.md', read('README.ja.md')],
  ['examples/lab/README.md', read('examples/lab/README.md')],
  ['examples/lab/README.ja.md', read('examples/lab/README.ja.md')],
  ['CONTRIBUTING.md', CONTRIBUTING],
])('%s', (file, text) => {
  it('links only to what is there, by its name', () => {
    const links = all(text, /\[([^\]]*)\]\(([^)\s]+)\)/g).filter(([, , to]) => !/^(https?:|#)/.test(to));
    expect(links.length).toBeGreaterThan(0);
    expect(links.filter(([, , to]) => !existsSync(join(ROOT, dirname(file), to.replace(/#.*/, '')))).map(([link]) => link)).toEqual([]); // prettier-ignore
    for (const [, label, to] of links) {
      const name = /^`([\w-]+[./][\w./-]+)`$/.exec(label)?.[1].replace(/\/$/, '');
      if (name && !existsSync(join(ROOT, name))) expect(`/${to}`).toMatch(new RegExp(`/${name}$`));
    }
  });

  it('names only commands that there are', () => {
    const { scripts } = JSON.parse(read('package.json')) as { scripts: Record<string, string> };
    const named = all(text, /\bnpm (?:run ([\w:]+)|(start|test)\b)/g).map(([, run, short]) => run ?? short);
    expect(Object.keys(scripts)).toEqual(expect.arrayContaining(named));
    if (text === README) expect(named).toEqual(expect.arrayContaining(['start', 'test']));
  });
});
