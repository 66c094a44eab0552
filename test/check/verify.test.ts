/** `bax-check verify`: what it says of adapters that PEFT wrote, and of copies that were broken in one way each. */
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { junitXml, showReport, type Verdict, verifyAdapter, type VerifyReport } from '@bax/check';
import { main } from '@bax/check/node';
import { assign, BaxError, key, zeros } from '@bax/core';
import { cpu } from '@bax/cpu';
import { attachLora, loadGpt2, memoryFolder, planLora, saveAdapter, saveGpt2 } from '@bax/nn';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it, test } from 'vitest';
import { wrapped } from '../../packages/check/src/lora/law.ts';
import { node, ROOT, start } from '../examples/support.ts';
import { adapterFolder, goldenBytes, gpt2Folder, type Raw, rewrite } from '../nn/support/golden.ts';
import { parseXml, type Element } from '../support/xml.ts';

const GPT2 = join(ROOT, 'test/golden/gpt2');
const golden = (name: string): string => join(ROOT, 'test/golden', name);
let folder: string;
beforeAll(() => void (folder = mkdtempSync(join(tmpdir(), 'bax-verify-'))));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

interface Ran {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}
async function run(...argv: string[]): Promise<Ran> {
  const said = { out: '', err: '' };
  const code = await main(argv, {
    out: (text) => void (said.out += `${text}\n`),
    err: (text) => void (said.err += `${text}\n`),
  });
  return { code, ...said };
}

/** A broken copy of the golden adapter peft-c-attn, or of the base, on the disk. */
function copy(
  name: string,
  files: Record<string, Uint8Array | string | undefined>,
  from = 'peft-c-attn',
): string {
  const at = join(folder, name);
  mkdirSync(at, { recursive: true });
  const names = from === 'gpt2' ? ['config.json', 'model.safetensors'] : ['adapter_config.json', 'adapter_model.safetensors']; // prettier-ignore
  for (const file of names) {
    const content = file in files ? files[file] : goldenBytes(`${from}/${file}`);
    if (content !== undefined) writeFileSync(join(at, file), content);
  }
  return at;
}
const weights = goldenBytes('peft-c-attn/adapter_model.safetensors');
const config = (change: object): string =>
  JSON.stringify({ ...(JSON.parse(new TextDecoder().decode(goldenBytes('peft-c-attn/adapter_config.json'))) as object), ...change }); // prettier-ignore
const LAYER = 'base_model.model.transformer.h.0.attn.c_attn';
const changed = (change: (tensors: Map<string, Raw>) => void): Record<string, Uint8Array> => ({
  'adapter_model.safetensors': rewrite(weights, change),
});
/** The numbers of a tensor changed. */
const floats = (raw: Raw, change: (values: Float32Array) => void): void => {
  const values = new Float32Array(raw.bytes.slice().buffer);
  change(values);
  raw.bytes = new Uint8Array(values.buffer);
};

describe('adapters that PEFT wrote', () => {
  test.each(['peft-c-attn', 'peft-all-linear', 'peft-all-linear-but', 'peft-dora', 'peft-rslora', 'peft-patterns', 'peft-regex', 'peft-wte', 'peft-save-lm-head', 'peft-pissa', 'peft-bias-all', 'peft-lm-head'])(
    '%s: every law holds',
    async (name) => {
      const { code, out, err } = await run('verify', GPT2, golden(name), '--cases', '1');
      expect({ code, err, out }).toEqual({ code: 0, err: '', out: expect.stringMatching(/\n17 laws hold\.\n$/) });
    },
  ); // prettier-ignore

  it('says what it found, layer by layer', async () => {
    const { out } = await run('verify', GPT2, golden('peft-c-attn'), '--cases', '2');
    for (const line of [
      '  ok    configuration  r = 2, α = 5',
      '  ok    file           4 tensors, 1272 bytes',
      '  ok    counts         Σ r (in + out) = 192 numbers; 1272 bytes: 504 of header, 768 of tensors',
      '  ok    not zero       2 of 2 layers act, 0 of 4 directions are dead',
      '  ok    merged, f64    to 2^-40 of the largest logit (3 inputs)',
    ])
      expect(out).toContain(`${line}\n`);
    expect(out).toMatch(
      /\n {2}transformer\.h\.0\.attn\.c_attn {2}\[36, 12\] {2}2 {4}2\.5 {12}2 {5}0 {8}0\.\d{3}\n/,
    );
  });

  it('writes nothing to them', async () => {
    const before = goldenBytes('peft-c-attn/adapter_model.safetensors');
    await run('verify', GPT2, golden('peft-c-attn'), '--cases', '0');
    expect(goldenBytes('peft-c-attn/adapter_model.safetensors')).toEqual(before);
    expect(existsSync(join(GPT2, 'report.xml'))).toBe(false);
  });
});

describe('a broken copy is named, with exit code 1', () => {
  const A = `${LAYER}.lora_A.weight`;
  const B = `${LAYER}.lora_B.weight`;
  const cases: [what: string, files: Record<string, Uint8Array | string | undefined>, law: string, message: string | RegExp][] = [
    ['NaN in B', changed((t) => floats(t.get(B)!, (v) => (v[7] = NaN))), 'values', `'${B}' is NaN at [3, 1]`],
    ['an infinite A', changed((t) => floats(t.get(A)!, (v) => (v[0] = -Infinity))), 'values', `'${A}' is -Infinity at [0, 0]`],
    ['A and B swapped', changed((t) => { const [a, b] = [t.get(A)!, t.get(B)!]; t.set(A, b).set(B, a); }), 'shapes',
      'lora_A and lora_B of transformer.h.0.attn.c_attn are swapped: A is [36, 2] and B [2, 12], expected A [r, in] = [2, 12] and B [out, r] = [36, 2]'],
    ['A and B transposed', changed((t) => { t.get(A)!.shape = [12, 2]; t.get(B)!.shape = [2, 36]; }), 'shapes',
      'lora_A and lora_B of transformer.h.0.attn.c_attn are transposed: A is [12, 2] and B [2, 36], expected A [r, in] = [2, 12] and B [out, r] = [36, 2]'],
    ['factors of another model', changed((t) => { t.get(A)!.shape = [2, 11]; t.get(A)!.bytes = t.get(A)!.bytes.slice(0, 88); }), 'shapes',
      'the factors of transformer.h.0.attn.c_attn do not fit W [36, 12]: A is [2, 11] and B [36, 2], expected A [r, in] = [2, 12] and B [out, r] = [36, 2]'],
    ['a rank that is another in the configuration', { 'adapter_config.json': config({ r: 3 }) }, 'shapes',
      'lora_A of transformer.h.0.attn.c_attn has 2 rows, and adapter_config.json says r = 3'],
    ['a missing key', changed((t) => t.delete(B)), 'keys', `transformer.h.0.attn.c_attn has '${A}' but lacks '${B}'`],
    ['a layer without factors', changed((t) => { t.delete(A); t.delete(B); }), 'loads', /loadAdapter: .*adapter_model\.safetensors has no tensors for transformer\.h\.0\.attn\.c_attn, which target_modules names/],
    ['a tensor too many', changed((t) => t.set('base_model.model.lora_C', t.get(A)!)), 'loads', /'base_model\.model\.lora_C' is not a LoRA tensor that bax knows/],
    ['no tensor at all', changed((t) => t.clear()), 'keys', /is empty: it holds no tensor, so loading it would silently give the base$/],
    ['a truncated file', { 'adapter_model.safetensors': weights.slice(0, -5) }, 'file', /tensor '.*' ends at byte 1272, past the end of the file \(1267 bytes\)/],
    ['a file of something else', { 'adapter_model.safetensors': '<html>not found</html>' }, 'file', /a header of \d+ bytes; is this a \.safetensors file\?/],
    ['no weights', { 'adapter_model.safetensors': undefined }, 'file', /has no adapter_model\.safetensors; the adapter was not saved, or not whole$/],
    ['B zero', changed((t) => { for (const [name, raw] of t) if (name.includes('lora_B')) floats(raw, (v) => v.fill(0)); }), 'not zero',
      'B A is zero in every layer: this adapter was never trained, or lost its weights; it changes nothing'],
    ['a target that matches nothing', { 'adapter_config.json': config({ target_modules: ['c_attn', 'q_proj'] }) }, 'targets', "target_modules names 'q_proj', which matches no layer of the base"],
    ['a target without factors', { 'adapter_config.json': config({ target_modules: ['c_attn', 'c_fc'] }) }, 'targets', "target_modules names 'c_fc', which means transformer.h.0.mlp.c_fc, and the file has no factors for it"],
    ['no configuration', { 'adapter_config.json': undefined }, 'configuration', /has no adapter_config\.json; save it with PEFT's save_pretrained, or with saveAdapter$/],
    ['a configuration that is no JSON', { 'adapter_config.json': '{"r": 2,}' }, 'configuration', /adapter_config\.json: expected a key in double quotes at offset 8/],
    ['another method', { 'adapter_config.json': config({ peft_type: 'IA3' }) }, 'configuration', /peft_type is "IA3"; LoRA's is "LORA"$/],
    ['what bax has not', { 'adapter_config.json': config({ use_qalora: true }) }, 'loads', /use_qalora: true changes what the adapter computes, and bax does not support it$/],
    ['integers', changed((t) => { t.get(A)!.dtype = 'I32'; }), 'values', `'${A}' holds I32, not floats`],
  ]; // prettier-ignore
  test.each(cases)('%s', async (what, files, law, message) => {
    const { code, out, err } = await run('verify', GPT2, copy(what, files), '--json', '--cases', '0');
    expect({ code, err }).toEqual({ code: 1, err: '' });
    const report = JSON.parse(out) as VerifyReport;
    expect(report.ok).toBe(false);
    const first = report.laws.find(({ state }) => state === 'broken');
    expect(first).toMatchObject({ name: law, message: typeof message === 'string' ? message : expect.stringMatching(message) }); // prettier-ignore
  });

  it('a base of which a weight is NaN, or missing, or that is no model', async () => {
    const model = goldenBytes('gpt2/model.safetensors');
    const nan = rewrite(model, (t) => floats(t.get('transformer.ln_f.bias')!, (v) => (v[0] = NaN)));
    for (const [name, files, message] of [
      ['base-nan', { 'model.safetensors': nan }, /^transformer\.ln_f\.bias holds values that are not finite$/],
      ['base-lacks', { 'model.safetensors': rewrite(model, (t) => t.delete('transformer.ln_f.bias')) }, /lacks transformer\.ln_f\.bias \[12\]$/],
      ['base-none', { 'config.json': '{}' }, /has no model_type; a GPT-2 directory says "gpt2"$/],
    ] as const) {
      const { code, out } = await run('verify', copy(name, files, 'gpt2'), golden('peft-c-attn'), '--json', '--cases', '1');
      const { laws } = JSON.parse(out) as VerifyReport;
      const broken = laws.find(({ state }) => state === 'broken');
      expect({ code, name: broken?.name, message: broken?.message }).toEqual({ code: 1, name: 'base', message: expect.stringMatching(message) });
      expect(laws.filter(({ state }) => state === 'not tried').every((law) => law.message === 'not tried: base failed' || law.message === 'not tried: loads failed')).toBe(true);
    }
  }); // prettier-ignore

  it('with the command that does it again, on the page for people', async () => {
    const at = copy("it's broken", changed((t) => floats(t.get(B)!, (v) => (v[0] = NaN)))); // prettier-ignore
    const { code, out, err } = await run('verify', GPT2, at, '--cases', '3', '--seed', '77');
    expect(code).toBe(1);
    expect(out).toMatch(
      /\n {2}FAIL {2}values {9}every number is finite\n {8}'.*lora_B\.weight' is NaN at \[0, 0\]\n/,
    );
    expect(out).toMatch(/\n10 laws hold, 2 do not, \d were not tried\.\n$|\n\d+ laws hold, 2 do not, \d+ were not tried\.\n$/); // prettier-ignore
    expect(err).toBe(
      `again: npx @bax/check verify ${GPT2} '${folder}/it'\\''s broken' --seed 77 --cases 3\n`,
    );
  });

  it('a wrong merge, with the smallest input', async () => {
    // An adapter so large that its outputs overflow: merged and unmerged are no numbers.
    const huge = changed((t) => { for (const raw of t.values()) floats(raw, (v) => v.forEach((x, i) => (v[i] = x * 1e18))); }); // prettier-ignore
    const { out } = await run('verify', GPT2, copy('huge', huge), '--json', '--cases', '1');
    const { laws } = JSON.parse(out) as VerifyReport;
    expect(laws.filter(({ state }) => state === 'broken').map(({ name }) => name)).toContain('merged');
    expect(laws.find(({ name }) => name === 'merged')!.message).toMatch(/not finite[^]*\n {2}for {6}the factors as they are, token ids \d/); // prettier-ignore
    // No bit of the base changed: of that nothing else may be said.
    const bits = laws.find(({ name }) => name === 'base bits')!;
    expect(bits).toMatchObject({ state: 'not tried', message: expect.stringMatching(/^not tried to the end, and no bit was changed so far, since another law does not hold: P6.*not finite.*$/) }); // prettier-ignore
  });
});

describe('wrong use has exit code 2', () => {
  test.each<[string[], RegExp]>([
    [['prove'], /there is no command 'prove'; there is verify/],
    [['verify'], /verify needs two directories: verify <base> <adapter>; none was given/],
    [['verify', GPT2], /verify needs two directories: verify <base> <adapter>; one was given/],
    [['verify', GPT2, GPT2, 'more'], /verify takes two directories; 'more' is one too many/],
    [['verify', GPT2, GPT2, '--fast'], /Unknown option '--fast'/],
    [['verify', GPT2, GPT2, '--cases', 'many'], /--cases many: must be a whole number from 0 to 1000000/],
    [['verify', GPT2, GPT2, '--seed', '-1'], /^bax-check: --seed -1: must be a whole number from 0 to 2147483647\n/],
    [['verify', GPT2, GPT2, '--junit', '--json'], /^bax-check: Option '--junit' argument is ambiguous\n/],
    [['verify', GPT2, GPT2, '--seed', '4294967296'], /--seed 4294967296: must be a whole number from 0 to 2147483647/],
    [['verify', GPT2, GPT2, '--time-budget', '60'], /--time-budget 60: must be a time like 90s, 2m or 500ms/],
    [['verify', GPT2, GPT2, '--junit', ''], /--junit is empty; name a file/],
    [['verify', GPT2, golden('peft-c-attn'), '--junit', join(GPT2, 'config.json', 'r.xml')], /--junit .*r\.xml: cannot be written \((ENOTDIR|EEXIST)\)/],
    [['verify', GPT2, golden('peft-c-attn'), '--junit', '/nowhere/x.xml'], /^bax-check: --junit \/nowhere\/x\.xml: there is no directory \/nowhere; make it first\n/],
    [['verify', GPT2, '/nowhere'], /^bax-check: there is no directory \/nowhere; give one that holds the files\n/],
    [['verify', join(GPT2, 'config.json'), GPT2], /openFolder: expected a directory, found a file/],
    [['verify', golden('peft-c-attn'), GPT2], /peft-c-attn is an adapter, and .*gpt2 is none; the base comes first: verify <base> <adapter>/],
    [['--json'], /say what to do: verify <base> <adapter>/],
  ])('%j', async (argv, message) => {
    const { code, out, err } = await run(...argv);
    expect({ code, out }).toEqual({ code: 2, out: '' });
    expect(err).toMatch(message);
    expect(err).toMatch(/^bax-check: [^\n]+\nsee npx @bax\/check --help\n$/);
  }); // prettier-ignore

  it('--help has exit code 0, and nothing at all the same page with 2', async () => {
    const help = await run('--help');
    expect(help).toMatchObject({ code: 0, err: '' });
    expect(help.out).toContain('Usage: npx @bax/check verify <base> <adapter> [options]');
    expect(await run()).toEqual({ ...help, code: 2 });
    for (const flag of help.out.matchAll(/^ {2}(--[\w-]+)/gm))
      expect(['--cases', '--seed', '--time-budget', '--junit', '--json', '--version', '--help']).toContain(
        flag[1],
      );
  });

  it('--version says that of the package, with exit code 0', async () => {
    const { version } = JSON.parse(readFileSync(join(ROOT, 'packages/check/package.json'), 'utf8')) as { version: string }; // prettier-ignore
    expect(await run('--version')).toEqual({ code: 0, out: `${version}\n`, err: '' });
  });

  it('options that the function refuses', async () => {
    const verify = (options: object) => verifyAdapter(gpt2Folder(), adapterFolder('peft-c-attn'), options);
    await expect(verify({ cases: 0.5 })).rejects.toThrow(new BaxError('verify: cases is 0.5; it is a number of random inputs, from 0')); // prettier-ignore
    await expect(verify({ seed: NaN })).rejects.toThrow('verify: seed is NaN; it is an integer of 32 bits');
    const narrow = { ...cpu(), info: { ...cpu().info, dtypes: ['f32', 'i32'] } };
    await expect(verify({ backend: narrow })).rejects.toThrow('verify: cpu has no f64, in which the algebra is proved; take cpu or wasm'); // prettier-ignore
  });
});

it('as a process: the same, and what a shell sees', async () => {
  const bin = join(ROOT, 'packages/check/bin.js');
  const good = await start(node(bin, 'verify', GPT2, golden('peft-c-attn'), '--cases', '0')).ended;
  expect(good).toMatchObject({ code: 0, stderr: '' });
  const bad = await start(node(bin, 'verify', GPT2, golden('peft-train-start'), '--cases', '0')).ended;
  expect(bad).toMatchObject({ code: 1, stderr: expect.stringMatching(/^again: npx @bax\/check verify /) });
  expect(await start(node(bin, 'verify')).ended).toMatchObject({ code: 2, stdout: '' });
});

it('as a process that was not built: one line says so', async () => {
  const at = join(folder, 'unbuilt/node_modules/@bax/check');
  mkdirSync(at, { recursive: true });
  for (const file of ['bin.js', 'package.json']) copyFileSync(join(ROOT, 'packages/check', file), join(at, file)); // prettier-ignore
  const { code, stdout, stderr } = await start([process.execPath, join(at, 'bin.js'), '--help']).ended;
  expect({ code, stdout, stderr }).toEqual({ code: 2, stdout: '', stderr: 'bax-check: it is not built yet; in its repository, do npm run build first\n' }); // prettier-ignore
});

it('counts one law as one', () => {
  const law = (state: Verdict['state']): Verdict => ({ name: 'law', says: '', state, message: '', cases: 1, ms: 1 }); // prettier-ignore
  const total = (...states: Verdict['state'][]): string =>
    showReport({ base: 'b', adapter: 'a', seed: 1, cases: 0, ok: false, laws: states.map(law), layers: [], warnings: [] }).split('\n').at(-1)!; // prettier-ignore
  expect(total('held')).toBe('1 law holds.');
  expect(total('held', 'broken', 'not tried')).toBe('1 law holds, 1 does not, 1 was not tried.');
  expect(total('held', 'held', 'not tried', 'not tried')).toBe('2 laws hold, 2 were not tried.');
});

it('an adapter of another base: what to do, and no option that a command line has not', async () => {
  const model = await loadGpt2(gpt2Folder(), { backend: cpu() });
  const lora = await attachLora(model, planLora(model, { r: 1, targets: ['c_attn'] }), { key: key(1) });
  const weight = model.namedParameters().get('transformer.ln_f.bias')!;
  const mine = memoryFolder();
  await saveAdapter(lora, mine);
  lora.detach();
  assign(weight, zeros(weight.shape, { backend: weight.backend }));
  const base = memoryFolder();
  await saveGpt2(model, base);
  const { laws } = await verifyAdapter(base, mine, { cases: 0 });
  expect(laws.find(({ name }) => name === 'loads')!.message).toMatch(
    /was trained on another base model: its weights are \S+, these \S+\. Give the base that it was trained on$/,
  );
});

it('equal seeds give equal reports, others other inputs; a time budget leaves one of each', async () => {
  const report = async (options: object): Promise<object> => {
    const { laws, ...rest } = await verifyAdapter(gpt2Folder(), adapterFolder('peft-c-attn'), options);
    return { ...rest, laws: laws.map(({ ms: _, ...law }) => law) };
  };
  expect(await report({ seed: 5, cases: 2 })).toEqual(await report({ seed: 5, cases: 2 }));
  const { laws } = (await report({ timeBudget: 0, cases: 50 })) as VerifyReport;
  expect(laws.map(({ cases }) => cases)).toEqual(laws.map(() => 1));
  expect(laws.every(({ state }) => state === 'held')).toBe(true);
});

it('gives back its memory', async () => {
  const backend = cpu();
  await verifyAdapter(gpt2Folder(), adapterFolder('peft-c-attn'), { backend, cases: 0 });
  const before = backend.memory().buffers;
  await verifyAdapter(gpt2Folder(), adapterFolder('peft-c-attn'), { backend, cases: 1 });
  expect(backend.memory().buffers).toBe(before); // constants that stay
});

it('gives back its memory also where merged is not unmerged', async () => {
  const right = cpu();
  const backend = wrapped(right, { fused: { ...right.fused, loraLinear: () => true } }); // W x + s B A x is 0
  const of = async (cases: number): Promise<VerifyReport> =>
    verifyAdapter(gpt2Folder(), adapterFolder('peft-c-attn'), { backend, cases });
  await of(0);
  const before = backend.memory().buffers;
  const { laws } = await of(1);
  expect(laws.find(({ name }) => name === 'merged, f64')!.state).toBe('broken');
  expect(backend.memory().buffers).toBe(before);
});

describe('JUnit XML', () => {
  const verdict = (change: Partial<VerifyReport['laws'][number]>): VerifyReport['laws'][number] => ({
    name: 'law', says: 'what must hold', state: 'held', message: 'found', cases: 1, ms: 1234.5, ...change,
  }); // prettier-ignore
  const report = (laws: VerifyReport['laws'], adapter = 'mine'): VerifyReport => ({
    base: 'base', adapter, seed: 1, cases: 4, ok: false, laws, layers: [], warnings: [],
  }); // prettier-ignore
  const all = (element: Element, name: string): Element[] =>
    element.children.flatMap((c) =>
      typeof c === 'string' ? [] : [...(c.name === name ? [c] : []), ...all(c, name)],
    );

  it('counts what it holds', async () => {
    const file = join(folder, 'report.xml');
    const at = copy('nan', changed((t) => floats([...t.values()][0]!, (v) => (v[0] = NaN)))); // prettier-ignore
    expect((await run('verify', GPT2, at, '--junit', file, '--cases', '0')).code).toBe(1);
    const root = parseXml(readFileSync(file, 'utf8'));
    const [suite] = all(root, 'testsuite');
    const testcases = all(root, 'testcase');
    expect(root.name).toBe('testsuites');
    expect(suite!.attributes).toMatchObject({ tests: String(testcases.length), failures: String(all(root, 'failure').length), skipped: String(all(root, 'skipped').length), errors: '0' }); // prettier-ignore
    expect(root.attributes.failures).toBe(suite!.attributes.failures);
    expect(Number(suite!.attributes.failures)).toBeGreaterThan(0);
    expect(testcases.every((c) => c.attributes.classname === 'bax-check.verify' && /^\d+\.\d{3}$/.test(c.attributes.time!))).toBe(true); // prettier-ignore
    const command = all(root, 'property').find((p) => p.attributes.name === 'command')!.attributes.value;
    expect(command).toBe(`npx @bax/check verify ${GPT2} ${at} --seed 1 --cases 0`);
  });

  it('holds any names and messages, and gives them back; what XML cannot hold is replaced', () => {
    const text = fc.oneof(fc.string({ unit: 'binary', maxLength: 40 }), fc.constantFrom(']]>', '<!--', '"><x y=\'', '&amp;&#0;', '\u0000\u001b[2J', '\ud800', '\r\n\t', '\ufffe')); // prettier-ignore
    fc.assert(
      fc.property(text, text, text, (name, message, adapter) => {
        const laws = [verdict({ name }), verdict({ name, message, state: 'broken' }), verdict({ message, state: 'not tried' })]; // prettier-ignore
        const root = parseXml(junitXml(report(laws, adapter), `npx ${adapter}`));
        const held = (s: string): string => s.replaceAll(/[^\t\n\r\u0020-\u007e\u0085\u00a0-\ud7ff\ue000-\ufffd\u{10000}-\u{10ffff}]/gu, '\ufffd'); // prettier-ignore
        expect(all(root, 'testcase').map((c) => c.attributes.name)).toEqual([`${held(name)}: what must hold`, `${held(name)}: what must hold`, 'law: what must hold']); // prettier-ignore
        expect(all(root, 'failure')[0]!.children).toEqual(message === '' ? [] : [held(message)]);
        expect(all(root, 'skipped')[0]!.attributes.message).toBe(held(message).split('\n')[0]);
        expect(all(root, 'testsuite')[0]!.attributes.name).toBe(`verify ${held(adapter)}`);
      }),
      { numRuns: 300, seed: 1 },
    );
  });
});

it('no name of a stranger reaches the terminal raw', async () => {
  const hostile = 'c\u001b[2Jattn\u202e\n  ok    everything';
  const files = { 'adapter_config.json': config({ target_modules: ['c_attn', hostile] }), 'adapter_model.safetensors': weights };
  const report = await verifyAdapter(gpt2Folder(), memoryFolder(files, 'evil\u0007'), { cases: 0 });
  const page = showReport(report);
  // oxlint-disable-next-line no-control-regex -- these must not be there
  expect(page).not.toMatch(/[\u0000-\u0009\u000b-\u001f\u202e]/);
  expect(page).not.toMatch(/^ {2}ok {4}everything/m);
  expect(page).toContain(String.raw`'c\u{1b}[2Jattn\u{202e}`);
}); // prettier-ignore
