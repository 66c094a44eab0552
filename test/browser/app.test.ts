/** `examples/app`, used as a person would: what it says, what it keeps, and what it gives away. */
import { readFile } from 'node:fs/promises';
import { crc32 } from 'node:zlib';
import { fileURLToPath } from 'node:url';
import { type Folder, generate, loadAdapter, loadGpt2, loadTokenizer, memoryFolder, setBackend } from 'bax';
import { openFolder } from 'bax/node';
import { wasm } from '@bax/wasm';
import { type Browser, type BrowserContext, type Locator, type Page } from 'playwright-core';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { createServer } from 'vite';
import { configOf, type ServedApp, serveApp } from './app.ts';
import { launch } from './chromium.ts';

const BASE = fileURLToPath(new URL('../../examples/finetune/base', import.meta.url));
const TEXT = 'Call me Ishmael. Some years ago, never mind how long precisely, having little or no money in my purse, I thought I would sail about a little and see the watery part of the world. '.repeat(8); // prettier-ignore

/** The files of an archive, read by its directory alone, each of which must be what its checksum says. */
function unzip(archive: Buffer): Map<string, Uint8Array> {
  const end = archive.lastIndexOf(Buffer.from('PK\x05\x06', 'latin1'));
  const files = new Map<string, Uint8Array>();
  let at = archive.readUInt32LE(end + 16);
  for (let left = archive.readUInt16LE(end + 10); left > 0; left--) {
    expect(archive.toString('latin1', at, at + 4)).toBe('PK\x01\x02');
    const [crc, packed, size] = [16, 20, 24].map((field) => archive.readUInt32LE(at + field));
    const [nameLength, extra, comment] = [28, 30, 32].map((field) => archive.readUInt16LE(at + field));
    const name = archive.toString('utf8', at + 46, at + 46 + nameLength);
    const local = archive.readUInt32LE(at + 42);
    expect(archive.toString('latin1', local, local + 4)).toBe('PK\x03\x04');
    expect(archive.toString('utf8', local + 30, local + 30 + archive.readUInt16LE(local + 26))).toBe(name);
    const start = local + 30 + archive.readUInt16LE(local + 26) + archive.readUInt16LE(local + 28);
    const content = archive.subarray(start, start + packed);
    expect({ method: archive.readUInt16LE(at + 10), packed, crc }).toEqual({ method: 0, packed: size, crc: crc32(content) }); // prettier-ignore
    files.set(name, content);
    at += 46 + nameLength + extra + comment;
  }
  expect(at).toBe(end);
  return files;
}

/** What the model in Node writes, with an adapter from the page or without. */
async function writtenInNode(prompt: string, tokens: number, adapter?: Folder): Promise<string> {
  const backend = await wasm({ threads: 1 });
  setBackend(backend);
  const disk = await openFolder(BASE);
  const [base, tokenizer] = [await loadGpt2(disk), await loadTokenizer(disk)];
  const model = adapter ? (await loadAdapter(base, adapter)).lora.model : base;
  const ids: number[] = [];
  for await (const id of generate(model, tokenizer.encode(prompt), { maxNewTokens: tokens, temperature: 0 }))
    ids.push(id);
  return prompt + tokenizer.decode(ids);
}

describe('the page', { timeout: 120_000 }, () => {
  let app: ServedApp;
  let browser: Browser;
  let context: BrowserContext;
  let page: Page;
  let trouble: string[];
  let dialogs: string[];

  beforeAll(async () => {
    [app, { browser }] = await Promise.all([serveApp(), launch()]);
  }, 120_000);
  afterAll(async () => {
    await browser?.close();
    await app?.close();
  });
  beforeEach(async () => {
    [trouble, dialogs] = [[], []];
    context = await browser.newContext();
    page = await context.newPage();
    page.on('pageerror', (error) => trouble.push(String(error)));
    page.on('console', (message) => message.type() === 'error' && trouble.push(message.text()));
    page.on('dialog', (dialog) => {
      dialogs.push(dialog.message());
      void dialog.accept();
    });
    await page.goto(`${app.url}?device=wasm`);
  });
  afterEach(async () => context.close());

  const button = (name: string): Locator => page.getByRole('button', { name, exact: true });
  /** Waits for what the page says at the end of a task. */
  const said = async (text: string | RegExp): Promise<void> =>
    page.getByRole('status').filter({ hasText: text }).waitFor({ timeout: 40_000 });
  async function load(): Promise<void> {
    await said('Ready.');
    await button('Load').click();
    await said('The model is loaded.');
  }
  async function write(tokens = 12): Promise<string> {
    await page.getByLabel('Begin with').fill('The whale');
    await page.getByLabel('Tokens').fill(String(tokens));
    await page.getByLabel('Temperature').fill('0');
    await button('Write').click();
    await said('Written.');
    return (await page.getByLabel('What the model wrote').textContent()) ?? '';
  }
  async function teach(steps: number): Promise<void> {
    await page.getByLabel('A text to learn from').fill(TEXT);
    await page.getByLabel('Steps').fill(String(steps));
    await button('Teach').click();
  }
  const points = async (): Promise<number[][]> =>
    ((await page.locator('#curve polyline').getAttribute('points')) ?? '')
      .split(' ')
      .map((point) => point.split(',').map(Number));

  it('loads, writes, learns, stops, keeps, comes back, and gives a PEFT directory', async () => {
    await load();
    const opened = await page.getByText('2,197,632 parameters').textContent();
    expect(opened).toMatch(/^2,197,632 parameters on wasm: WebAssembly SIMD/);
    const before = await write();
    expect(before).toBe(await writtenInNode('The whale', 12));

    // A run that is stopped: its adapter is what it had learned by then.
    await teach(5000);
    await page.getByRole('status').filter({ hasText: /^Step ([3-9]|\d\d+) of 5000, loss \d\.\d\d, \d+ s left$/ }).waitFor(); // prettier-ignore
    await expect.poll(async () => page.getByRole('progressbar').getAttribute('value')).toMatch(/^0\.0/);
    expect(await button('Write').isDisabled()).toBe(true);
    await button('Stop').click();
    await said(/^Stopped: \d+ of 5000 steps\.$/);
    expect(await page.getByText('In use:').textContent()).toBe('In use: a new one, not saved');

    // One that is not; it goes on from there.
    await teach(6);
    await said('Taught: 6 of 6 steps.');
    const curve = await points();
    expect(curve.map(([x]) => x)).toEqual([0, 20, 40, 60, 80, 100]);
    expect(curve.every(([, y]) => y >= 1 && y <= 39)).toBe(true);
    expect(await page.getByText('nats a token').textContent()).toMatch(
      /^Loss \d\.\d\d at first, \d\.\d\d now/,
    );
    const after = await write();
    expect(after).not.toBe(before);

    await page.getByLabel('Keep it in this browser as').fill('ishmael');
    await button('Save').click();
    await said(/^Saved 'ishmael', [\d,]+ bytes\.$/);
    expect(dialogs).toEqual([]);

    // Another visit.
    await page.reload();
    await load();
    expect(await write()).toBe(before);
    await button('Load ishmael').click();
    await said('In use: ishmael.');
    expect(await write()).toBe(after);

    const [download] = await Promise.all([page.waitForEvent('download'), button('Export ishmael').click()]);
    expect(download.suggestedFilename()).toBe('ishmael.zip');
    const files = unzip(await readFile(await download.path()));
    expect([...files.keys()]).toEqual(['ishmael/adapter_config.json', 'ishmael/adapter_model.safetensors']);
    const folder = memoryFolder(
      Object.fromEntries([...files].map(([name, bytes]) => [name.split('/')[1], bytes])),
    );
    expect(await writtenInNode('The whale', 12, folder)).toBe(after);

    await button('Use none').click();
    await said('In use: none');
    expect(await write()).toBe(before);
    await button('Delete ishmael').click();
    await said("Deleted 'ishmael'.");
    expect(await page.getByRole('list', { name: 'Adapters kept' }).getByRole('listitem').count()).toBe(0);
    expect(dialogs).toEqual(["Delete the adapter 'ishmael'?"]);
    expect(trouble).toEqual([]);
  });

  it('does the same on webgpu, and says what computes', async () => {
    await page.goto(`${app.url}?device=webgpu`);
    await said('Ready.');
    await button('Load').click();
    await said('failed.');
    expect(await page.getByRole('alert').textContent()).toMatch(/^webgpu: the only adapter here is .*: wasm is faster; pass \{ software: true \}/); // prettier-ignore

    await page.goto(`${app.url}?device=webgpu&software`);
    await load();
    const opened = await page.getByText('2,197,632 parameters').textContent();
    expect(opened).toMatch(/^2,197,632 parameters on webgpu: .*\(software\)$/);
    expect(await write(6)).toBe(await writtenInNode('The whale', 6));
    await teach(3);
    await said('Taught: 3 of 3 steps.');
    const [onGpu, curve] = [await page.getByText('nats a token').textContent(), await points()];
    expect(curve.map(([x]) => x)).toEqual([0, 50, 100]);

    await page.goto(`${app.url}?device=wasm`);
    await load();
    await teach(3);
    await said('Taught: 3 of 3 steps.');
    expect(await page.getByText('nats a token').textContent()).toBe(onGpu); // to two digits
    const byWasm = await points();
    curve.forEach(([, y], i) => expect(y).toBeCloseTo(byWasm[i][1], 1));
    expect(trouble).toEqual([]);
  });

  it('stops writing, and asks before it loses what was taught', async () => {
    await page.goto(`${app.url}?device=cpu`); // slow enough to be stopped
    await load();
    await page.getByLabel('Tokens').fill('120');
    await button('Write').click();
    await button('Stop').click();
    await said('Writing: stopped.');
    await page.goto(app.url);
    await load();
    await teach(1);
    await said('Taught: 1 of 1 steps.');
    await button('Use none').click();
    await said('In use: none');
    expect(dialogs).toEqual(['The adapter in use is not saved. Go on without it?']);
    expect(trouble).toEqual([]);
  });

  it('says what went wrong, and goes on', async () => {
    await load();
    const wrong = async (act: () => Promise<void>): Promise<string | null> => {
      await act();
      await said('failed.');
      return page.getByRole('alert').textContent();
    };
    const model = page.getByLabel('URL of a GPT-2 directory');
    const origin = app.url.slice(0, -1);
    const missing = await wrong(async () => {
      await model.fill(`${app.url}nowhere`);
      await button('Load').click();
    });
    expect(missing).toBe(
      `loadTokenizer: ${origin}/nowhere has no tokenizer.json; transformers' save_pretrained writes one`,
    );
    const elsewhere = await wrong(async () => {
      await model.fill('http://127.0.0.1:1/model');
      await button('Load').click();
    });
    expect(elsewhere).toContain('a Content-Security-Policy of this page must name it in connect-src');
    const short = await wrong(async () => {
      await page.getByLabel('A text to learn from').fill('Too short.');
      await button('Teach').click();
    });
    expect(short).toMatch(/^the text has \d+ tokens; give it a few sentences, 16 tokens at least$/);
    const none = await wrong(async () => {
      await page.getByLabel('Keep it in this browser as').fill('x');
      await button('Save').click();
    });
    expect(none).toBe('there is no adapter yet; train one, or load one');
    const name = await wrong(async () => {
      await teach(1);
      await said('Taught');
      await page.getByLabel('Keep it in this browser as').fill('../x');
      await button('Save').click();
    });
    expect(name).toMatch(/"..\/x" is not a plain file name/);
    const adapter = await wrong(async () => {
      await page.getByLabel('Or load one by its URL').fill(`${app.url}base/`);
      await button('Load adapter').click();
    });
    expect(adapter).toBe(`loadAdapter: ${origin}/base is not an adapter: it has no adapter_config.json`);
    expect(await write()).toContain('The whale'); // with the model that was there
    expect(await page.getByRole('alert').isHidden()).toBe(true);
  });

  it('says so if it cannot compute where it is asked to', async () => {
    await page.goto(`${app.url}?device=abacus`);
    await said('Ready.');
    await button('Load').click();
    await said('failed.');
    expect(await page.getByRole('alert').textContent()).toMatch(
      /^device: there is no 'abacus'; choose one of auto/,
    );
  });
});

describe('in development', () => {
  it('serves the base model from where it is, by ranges, and nothing in its place', async () => {
    const server = await createServer({
      configFile: configOf('app'),
      logLevel: 'warn',
      server: { port: 0, host: '127.0.0.1' },
    });
    try {
      await server.listen();
      const url = server.resolvedUrls!.local[0];
      const part = await fetch(`${url}base/model.safetensors`, { headers: { range: 'bytes=8-99' } });
      expect([part.status, part.headers.get('content-range')]).toEqual([206, 'bytes 8-99/4400304']);
      const file = await readFile(`${BASE}/model.safetensors`);
      expect(new Uint8Array(await part.arrayBuffer())).toEqual(Uint8Array.from(file.subarray(8, 100)));
      expect((await fetch(`${url}base/nothing.json`)).status).toBe(404);
      expect((await fetch(`${url}worker.ts`)).headers.get('cross-origin-embedder-policy')).toBe(
        'require-corp',
      );
    } finally {
      await server.close();
    }
  });
});
