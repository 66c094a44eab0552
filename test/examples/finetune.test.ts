/** The main job, run as its users run it. */
import { readFileSync, watch, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import {
  compareMerged, device, fromHost, loadAdapter, loadGpt2, loadTokenizer, openSafetensors, perplexity, randomWindows,
  type Gpt2, type Tokenizer,
} from 'bax'; // prettier-ignore
import { openFolder } from 'bax/node';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { lossChart } from '../../examples/finetune/chart.ts';
import { f32Bytes, rewrite } from '../nn/support/golden.ts';
import { modelHashes } from '../nn/support/hash.ts';
import { appears, files, node, put, scratch, start, text, tinyModel, type Ended } from './support.ts';

const tmp = scratch();
const at = (...path: string[]): string => join(tmp.path, ...path);
const [MODEL, DATA] = [at('model'), at('text.txt')];
const TEXT = text(30);

/** A small job on the tiny model; later options win over earlier ones. */
const job = (out: string, ...options: string[]): string[] => [
  '--model', MODEL, '--data', DATA, '--out', at(out), '--steps', '3', '--context', '32', ...options,
]; // prettier-ignore
const command = (...options: string[]): string[] => node('examples/finetune/main.ts', ...options);
const run = (...options: string[]): Promise<Ended> => start(command(...options)).ended;

const ADAPTER = ['adapter/adapter_config.json', 'adapter/adapter_model.safetensors'];
const ALL = [
  ...ADAPTER,
  'loss.svg',
  ...['config.json', 'model.safetensors', 'tokenizer.json', 'tokenizer_config.json'].map(
    (name) => `merged/${name}`,
  ),
  'report.md',
];
const bytesIn = (out: string): Record<string, string> =>
  Object.fromEntries(files(at(out)).map((name) => [name, readFileSync(at(out, name), 'base64')]));
const weightsIn = (out: string): Buffer => readFileSync(at(out, 'adapter/adapter_model.safetensors'));
const load = async (path: string): Promise<Gpt2> => loadGpt2(await openFolder(path));
const adapterOn = async (model: Gpt2, out: string): ReturnType<typeof loadAdapter<Gpt2>> =>
  loadAdapter(model, await openFolder(at(out, 'adapter')));

beforeAll(async () => {
  await device('wasm'); // as the job itself does by default
  await tinyModel(MODEL, { initializer_range: 0.2 });
  put(DATA, TEXT);
}, 60_000);
afterAll(() => tmp.remove());

describe('a whole run', () => {
  let [first, again, other, slices]: Ended[] = [];
  let [model, tokenizer]: [Gpt2, Tokenizer] = [] as never;
  beforeAll(async () => {
    [first, again, other, slices] = await Promise.all([
      run(...job('first')),
      run(...job('again')),
      run(...job('other', '--seed', '2')),
      run(...job('slices', '--targets', 'q,v', '--r', '4', '--alpha', '8')),
    ]);
    model = await load(MODEL);
    tokenizer = await loadTokenizer(await openFolder(MODEL));
  }, 60_000);

  it('ends well and writes what it says, and nothing else', () => {
    for (const [name, end] of Object.entries({ first, again, other, slices })) {
      expect(end).toMatchObject({ code: 0, stderr: expect.stringMatching(/^trained 3 steps in \d+:\d\d, loss [\d.]+$/m) }); // prettier-ignore
      expect(files(at(name))).toEqual(ALL);
      expect(end.stdout).toContain(readFileSync(at(name, 'report.md'), 'utf8'));
    }
    expect(first.stdout).toMatch(
      /^device: auto takes wasm \(webgpu: .+\)\n11,904 parameters from .+, on wasm .+\n8 adapters, 4,096 trainable parameters; text: text.txt, [\d,]+ tokens in windows of 32\n\n# LoRA on text.txt\n/,
    );
  });

  it('the adapter loads, and merged it is the merged model, bit for bit', async () => {
    for (const out of ['first', 'slices']) {
      const { lora, warnings, unknownKeys } = await adapterOn(model, out);
      expect({ warnings, unknownKeys }).toEqual({ warnings: [], unknownKeys: [] });
      const merged = await load(at(out, 'merged'));
      expect(await modelHashes((await lora.merge()).model)).toEqual(await modelHashes(merged));

      const ids = fromHost(tokenizer.encode(TEXT).slice(0, 32), [1, 32], 'i32');
      const { difference, bound } = await compareMerged(lora.model, merged, ids, 2);
      expect(difference).toBeLessThanOrEqual(bound);
      expect((await compareMerged(model, merged, ids, 2)).difference).toBeGreaterThan(bound); // it did train
    }
  });

  it('q,v trains query and value alone', async () => {
    const { lora } = await adapterOn(model, 'slices');
    expect([...lora.parameters().keys()]).toEqual(
      [0, 1].flatMap((i) => ['q.A', 'q.B', 'v.A', 'v.B'].map((name) => `transformer.h.${i}.attn.c_attn.${name}`)), // prettier-ignore
    );
    expect(lora.adapter().config).toMatchObject({ r: 8, alpha: 16 }); // PEFT's view of two slices: both summed
    const before = await modelHashes(model);
    const after = await modelHashes(await load(at('slices/merged')));
    expect(Object.keys(before).filter((name) => before[name] !== after[name])).toEqual(
      [0, 1].map((i) => `transformer.h.${i}.attn.c_attn.weight`),
    );
  });

  it('the report tells perplexities that can be recomputed from what was written', async () => {
    const cut = Math.floor(TEXT.length * 0.9);
    const held = Int32Array.from([...tokenizer.encode(TEXT.slice(cut)), tokenizer.endOfText!]);
    for (const out of ['first', 'slices']) {
      const measured = [model, (await adapterOn(model, out)).lora.model].map((m) =>
        perplexity(m, held, { context: 32, batch: 4, limit: 32 }),
      );
      const [before, after] = await Promise.all(measured);
      const line = /text\.txt +([\d.]+) → ([\d.]+) {2}\(([−+][\d.]+) %\)/.exec(
        readFileSync(at(out, 'report.md'), 'utf8'),
      )!;
      expect(line.slice(1, 3)).toEqual([before.toFixed(1), after.toFixed(1)]);
      expect(Number(line[3].replace('−', '-'))).toBeCloseTo((100 * (after - before)) / before, 1);
      expect(after).toBeLessThan(before);
    }
  });

  it('the chart is well-formed XML with a point a step', () => {
    const svg = readFileSync(at('first', 'loss.svg'), 'utf8');
    expect(xmlFault(svg)).toBeUndefined();
    const points = /<polyline points="([^"]*)"/.exec(svg)![1].split(/[ ,]/).map(Number);
    expect(points).toHaveLength(6);
    expect(points.every((x) => x >= 0 && x <= 640)).toBe(true);
    expect(xmlFault(lossChart([1], `<a> & "b"`))).toBeUndefined();
  });

  it('the same seed gives the same bytes, another one others', () => {
    expect(weightsIn('again')).toEqual(weightsIn('first'));
    expect(bytesIn('again')['merged/model.safetensors']).toBe(bytesIn('first')['merged/model.safetensors']);
    expect(weightsIn('other')).not.toEqual(weightsIn('first'));
  });

  it('a context longer than the model takes is cut, and that is said', async () => {
    const { code, stdout } = await run(...job('cut', '--context', '33', '--steps', '1'));
    expect(code).toBe(0);
    expect(stdout).toContain('tokens in windows of 32 (--context 33 is more than the model takes)\n');
  });
});

it('on the base that comes with it, also tells what was forgotten', async () => {
  const small = ['--data', DATA, '--out', at('base'), '--steps', '1', '--batch', '1', '--context', '16'];
  const { code, stdout } = await run(...small);
  expect(code).toBe(0);
  expect(stdout).toMatch(/^[\d,]+ parameters from examples.finetune.base, on wasm /m);
  expect(stdout).toMatch(/^ {4}text\.txt +[\d.]+ → [\d.]+ .+\n {4}its own domain +[\d.]+ → [\d.]+ /m);
  expect(files(at('base'))).toEqual(ALL);
});

it('--help names every option, and does nothing else', async () => {
  const { code, stdout, stderr } = await run('--help');
  expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
  const named = [...stdout.matchAll(/^ {2}--(\w+) {2,}\S/gm)].map((match) => match[1]);
  expect(named.join(' ')).toBe(
    'model data out device targets r alpha dropout steps batch context lr seed prompt help',
  );
});

describe.concurrent('a mistake is told in one line, and nothing is written', () => {
  const seeHelp = '; see npm start -- --help';
  const place = (name: string, content: string | Uint8Array = ''): string => put(at(name), content);
  /** The tiny model with one file changed, or (undefined) left out. */
  const variant = (name: string, file: string, change: (old: Buffer) => Uint8Array | undefined): string => {
    for (const own of files(MODEL)) {
      const old = readFileSync(join(MODEL, own));
      const content = own === file ? change(old) : old;
      if (content) place(`${name}/${own}`, content);
    }
    return at(name);
  };
  const cases: [name: string, options: () => string[], message: string | RegExp][] = [
    ['an unknown option', () => ['--rank', '4'], `Unknown option '--rank'${seeHelp}`],
    ['r = 0', () => ['--r', '0'], '--r 0: must be a whole number from 1 to 4096'],
    ['r above min(in, out)', () => ['--r', '17'], 'planLora: r = 17 exceeds min(in, out) = 16 of transformer.h.0.attn.c_attn [48, 16]; B A cannot have a higher rank than W'],
    ['targets that mean nothing', () => ['--targets', 'q,c_atn'], /^planLora: no module matches 'c_atn'\. Nearest: transformer\.h\.0\.attn\.c_attn \(slices q, k, v\), .+$/],
    ['no targets', () => ['--targets', ','], "lora: targets must be 'all-linear' or a list that names at least one, like ['q', 'v']"],
    ['lr not a number', () => ['--lr', 'nan'], '--lr nan: must be a number from 0 to 10'],
    ['steps not whole', () => ['--steps', '1.5'], '--steps 1.5: must be a whole number from 1 to 1000000'],
    ['a model that is not there', () => ['--model', at('none')], `--model ${at('none')}: there is no such directory`],
    ['a directory that is no model', () => ['--model', tmp.path], /^loadGpt2: .+ is not a model directory: it has no config\.json$/],
    ['truncated weights', () => ['--model', variant('cut-off', 'model.safetensors', (b) => b.subarray(0, 30_000))], /^safetensors: .+model\.safetensors: tensor '.+' ends at byte \d+, past the end of the file \(30000 bytes\)$/],
    ['no tokenizer', () => ['--model', variant('mute', 'tokenizer.json', () => undefined)], /^loadTokenizer: .+ has no tokenizer\.json \(it holds .+\)/],
    ['a file that is not there', () => ['--data', at('none.txt')], `--data ${at('none.txt')}: there is no such file`],
    ['data in an empty file', () => ['--data', place('empty.txt')], 'empty.txt: 1 tokens to learn from and 1 held out; both must be longer than a window of 32. Give a longer text or a smaller --context'],
    ['data too short to hold any out', () => ['--data', place('short.txt', TEXT.slice(0, 200))], /^short\.txt: \d+ tokens to learn from and \d+ held out; both must be longer than a window of 32\./],
    ['data that is no text', () => ['--data', place('picture.png', Uint8Array.of(0x89, 0x50, 0x4e, 0x47))], /picture\.png: is not valid UTF-8 text$/],
    ['an unknown device', () => ['--device', 'gpu'], "device: there is no 'gpu'; choose one of auto, webgpu, wasm, cpu"],
    ['out is a file', () => ['--out', DATA], `openFolder: expected a directory, found a file: ${DATA}`],
    ['an empty prompt', () => ['--prompt', ''], `--prompt is empty${seeHelp}`],
    ['a prompt as long as the context', () => ['--prompt', '%'.repeat(32)], "--prompt is 32 tokens long; the model's context of 32 must hold it and what follows"],
  ]; // prettier-ignore

  it.each(cases)('%s', async (name, options, message) => {
    const out = `out of ${name}`;
    const end = await run(...job(out, ...options()));
    expect(end).toMatchObject({ code: 1, stderr: expect.stringMatching(/^bax: .+\n$/) }); // one line: a . is no line break
    expect(end.stderr.slice(5, -1)).toEqual(
      message instanceof RegExp ? expect.stringMatching(message) : message,
    );
    expect(files(at(out))).toEqual([]);
    expect(readFileSync(DATA, 'utf8')).toBe(TEXT);
  });
});

describe('a loss that is not finite names its step, and what was kept', () => {
  const SICK = at('sick');
  const CONTEXT = 8;
  const job8 = (out: string, data: string): string[] =>
    job(out, '--model', SICK, '--data', data, '--steps', '40', '--batch', '1', '--context', `${CONTEXT}`);
  /** A sentence ends with ' %'; '#' is as long, but its embedding is NaN. */
  const parts = TEXT.split('. ').flatMap((sentence) => [sentence, '% ']);
  let tokenizer: Tokenizer;

  beforeAll(async () => {
    await tinyModel(SICK, { tie_word_embeddings: false });
    tokenizer = await loadTokenizer(await openFolder(SICK));
    const path = join(SICK, 'model.safetensors');
    const sick = rewrite(readFileSync(path), (tensors) =>
      tensors.get('transformer.wte.weight')!.bytes.set(f32Bytes(NaN), tokenizer.idOf('#')! * 16 * 4),
    );
    writeFileSync(path, sick);
  });

  /** The text with the n-th % made a #, and the first step whose window holds it. */
  const sickAt = (n: number): { data: string; step: number } => {
    const data = parts.with(2 * n + 1, '# ').join('');
    const learnt = tokenizer.encode(data.slice(0, Math.floor(data.length * 0.9)));
    const tokens = Int32Array.from([...learnt, tokenizer.endOfText!]);
    const holds = (step: number): boolean =>
      randomWindows(tokens, step, { context: CONTEXT, batch: 1, seed: 1 })
        .ids.peek()!
        .includes(tokenizer.idOf('#')!);
    return { data, step: Array.from({ length: 40 }, (_, step) => step).findIndex(holds) };
  };

  it('before and after the first save', async () => {
    const places = Array.from({ length: 20 }, (_, n) => sickAt(n));
    const [early, late] = [places.find(({ step }) => step >= 0 && step < 10)!, places.find(({ step }) => step > 10)!]; // prettier-ignore
    const ends = await Promise.all(
      [early, late].map(({ data }, i) => run(...job8(`sick${i}`, put(at(`sick${i}.txt`), data)))),
    );
    [early, late].forEach(({ step }, i) => {
      const [last, kept] = ends[i].stderr.trimEnd().split('\n').slice(-2);
      expect(ends[i].code).toBe(1);
      expect(last).toMatch(
        new RegExp(`^bax: train: the loss is NaN at step ${step + 1} of 40, which was not applied: `),
      );
      expect(kept).toBe(
        i === 0
          ? '  kept: nothing, as the adapter is saved every 10 steps'
          : `  kept: the adapter after ${step - (step % 10)} of 40 steps, in ${at('sick1/adapter')}`,
      );
    });
    expect(files(at('sick0'))).toEqual([]);
    expect(files(at('sick1'))).toEqual(ADAPTER);
    expect((await adapterOn(await load(SICK), 'sick1')).warnings).toEqual([]);
  });

  it('weights that are broken from the start are found before training', async () => {
    const data = put(at('sick2.txt'), parts.join('').replaceAll('%', '#'));
    const { code, stderr } = await run(...job8('sick2', data), '--prompt', '#');
    expect({ code, stderr }).toEqual({
      code: 1,
      stderr: expect.stringMatching(/^bax: generate: the logits of token 0 are NaN or infinite; .+\n$/m),
    });
    expect(files(at('sick2'))).toEqual([]);
  });
});

describe.concurrent('stopped', () => {
  const endless = (out: string, ...options: string[]): string[] => job(out, '--steps', '1000000', ...options);
  const WEIGHTS = 'adapter/adapter_model.safetensors';
  const keptSteps = (stdout: string): number =>
    Number(/^Stopped\. Kept: the adapter after (\d+) of 1000000 steps, in .+\/adapter\.$/m.exec(stdout)?.[1]);

  it('by SIGINT: ends by itself, keeps the adapter and says where', async () => {
    const running = start(command(...endless('int')));
    await appears(at('int', WEIGHTS), running);
    running.child.kill('SIGINT');
    const { code, stdout } = await running.ended;
    expect(code).toBe(130);
    expect(keptSteps(stdout)).toBeGreaterThanOrEqual(10);
    expect(files(at('int'))).toEqual([...ADAPTER, 'loss.svg']);
    expect((await adapterOn(await load(MODEL), 'int')).warnings).toEqual([]);
  });

  it('by Ctrl-C under npm start, in the middle of a long step', async () => {
    const npm = start(['npm', 'start', '--', ...endless('npm', '--batch', '40')], { detached: true });
    await appears(at('npm', WEIGHTS), npm);
    process.kill(-npm.child.pid!, 'SIGINT'); // to the whole group, as a terminal does
    const { stdout } = await npm.ended;
    expect(keptSteps(stdout)).toBeGreaterThanOrEqual(10);
    expect(files(at('npm'))).toEqual([...ADAPTER, 'loss.svg']);
  });

  it('by SIGINT at any other time: keeps what it says it keeps', async () => {
    const early = start(command(...endless('early')));
    early.child.stdout!.once('data', () => early.child.kill('SIGINT'));
    const late = start(command(...job('late')));
    await appears(at('late', 'loss.svg'), late); // trained, but not measured yet
    late.child.kill('SIGINT');
    const [first, last] = await Promise.all([early.ended, late.ended]);
    expect(first).toMatchObject({ code: 130, stdout: expect.stringMatching(/^Stopped\. Kept: /m) });
    const nothing = first.stdout.includes('Kept: nothing, as training had not begun.\n');
    expect(files(at('early'))).toEqual(nothing ? [] : [...ADAPTER, 'loss.svg']);
    if (last.code === 0) expect(files(at('late'))).toEqual(ALL); // it was quicker
    else expect(last.stdout).toContain(`\nStopped. Kept: the adapter after 3 of 3 steps, in ${at('late/adapter')}.\n`); // prettier-ignore
  });

  it.each([1, 2, 3])('by SIGKILL while it saves: every file is whole (event %i)', async (nth) => {
    const out = `kill${nth}`;
    const running = start(command(...endless(out, '--batch', '1', '--context', '8')));
    await appears(at(out, WEIGHTS), running);
    let events = 0;
    const watcher = watch(at(out, 'adapter'), (_, name) => {
      if (name?.endsWith('.tmp') && ++events === nth) running.child.kill('SIGKILL');
    });
    expect((await running.ended).signal).toBe('SIGKILL');
    watcher.close();
    const folder = await openFolder(at(out, 'adapter'));
    const left = await folder.list();
    expect(ADAPTER.map((name) => basename(name))).toEqual(expect.arrayContaining(left));
    expect(files(at(out)).filter((name) => !/\.bax-[0-9a-f-]+\.tmp$/.test(name))).toEqual(left.map((name) => `adapter/${name}`)); // prettier-ignore
    expect(left).toContain(basename(WEIGHTS)); // it was there before
    if (left.length === 2) await loadAdapter(await load(MODEL), folder);
    else await (await openSafetensors(await folder.open(basename(WEIGHTS)))).close();
  });

  it('by a full disk: names the file, and leaves the old ones as they were', async () => {
    expect((await run(...job('full'))).code).toBe(0);
    const old = bytesIn('full');
    const within = (blocks: number): Promise<Ended> => {
      const limited = ['sh', '-c', `ulimit -f ${blocks}; exec "$@"`, 'sh'];
      const env = { TSX_DISABLE_CACHE: '1' }; // or its files were cut off, too
      return start([...limited, ...command(...job('full', '--seed', '2'))], { env }).ended;
    };
    const none = await within(20); // of 512 bytes: less than the adapter's 18 kB
    expect(none.code).toBe(1);
    expect(none.stderr).toMatch(/\nbax: .+adapter_model\.safetensors: could not be written \(EFBIG\)\n {2}kept: nothing.*\n$/); // prettier-ignore
    expect(bytesIn('full')).toEqual(old);
    const adapter = await within(60); // 30 kB: the adapter fits, the merged model not
    expect(adapter.code).toBe(1);
    expect(adapter.stderr).toMatch(/\nbax: .+merged\/model\.safetensors: could not be written \(EFBIG\)\n {2}kept: the adapter after 3 of 3 steps, in .+\/adapter\n$/); // prettier-ignore
    expect(bytesIn('full')).toMatchObject(
      Object.fromEntries(Object.entries(old).filter(([name]) => /^merged|report/.test(name))),
    );
    await adapterOn(await load(MODEL), 'full');
  });
});

/** What is not well-formed; for XML without prolog, comments or CDATA. */
function xmlFault(xml: string): string | undefined {
  const open: string[] = [];
  const piece = /<(\/?)([a-z]\w*)((?:\s+[\w:-]+="(?:[^"<&]|&#?\w+;)*")*)\s*(\/?)>|(?:[^<&]|&#?\w+;)+|[^]/gi;
  for (const [all, end, name, attributes, empty] of xml.matchAll(piece)) {
    if (name === undefined) {
      if (/^[<&]$/.test(all) || (open.length === 0 && all.trim() !== '')) return `stray ${all}`;
      continue;
    }
    const keys = [...attributes.matchAll(/([\w:-]+)=/g)].map((match) => match[1]);
    if (new Set(keys).size < keys.length) return `an attribute twice: ${all}`;
    if (end && open.pop() !== name) return `${all} closes what was not open`;
    if (!end && !empty) open.push(name);
  }
  return open.length > 0 ? `${open.join()} never closed` : undefined;
}
