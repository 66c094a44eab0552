/** Files where they need a real browser: its private file system, its cache, and what it lets a page fetch. */
import { rm } from 'node:fs/promises';
import type { Browser, BrowserContext, Page, Worker } from 'playwright-core';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { type TestServer, serveFiles } from '../nn/files/http-server.ts';
import { bundle } from './bundle.ts';
import { launch } from './chromium.ts';
import type {} from './files-global.ts';
import { serve, type Server } from './server.ts';

let folder = '';
let server: Server;
let browser: Browser;
let context: BrowserContext;
let page: Page;

beforeAll(async () => {
  folder = await bundle('files.html');
  server = await serve(folder);
  ({ browser } = await launch());
}, 120_000);
afterAll(async () => {
  await browser?.close();
  server?.close();
  if (folder) await rm(folder, { recursive: true });
});
beforeEach(async () => {
  context = await browser.newContext(); // with a file system and a cache of its own
  page = await open();
});
afterEach(async () => context.close());

async function open(): Promise<Page> {
  const opened = await context.newPage();
  await opened.goto(`${server.origin}/strict/files.html`);
  await opened.waitForFunction(() => 'nn' in globalThis);
  return opened;
}
async function workerOf(of: Page): Promise<Worker> {
  const worker = of.workers()[0] ?? (await of.waitForEvent('worker'));
  await worker.evaluate(async () => {
    while (!('nn' in globalThis)) await new Promise((resolve) => setTimeout(resolve, 10));
  });
  return worker;
}
/** What `f` writes and reads in the page, or in its worker; an error as its text. */
type Where = Pick<Worker, 'evaluate'>;
const write = async (where: Where, name: string, text: string): Promise<number> =>
  where.evaluate(
    async ([file, content]) => {
      const opfs = await nn.opfsFolder('adapters/mine', { create: true });
      return opfs.write(file, [new TextEncoder().encode(content)]);
    },
    [name, text] as const,
  );
const read = async (where: Where, name: string): Promise<string> =>
  where.evaluate(async (file) => (await nn.opfsFolder('adapters/mine')).readText(file, 100), name);
const list = async (where: Where): Promise<string[]> =>
  where.evaluate(async () => (await nn.opfsFolder('adapters/mine')).list());
/** Every name that is there, of whatever kind, as the browser itself says. */
const raw = async (): Promise<string[]> =>
  page.evaluate(async () => {
    const root = await navigator.storage.getDirectory();
    const folder = await (await root.getDirectoryHandle('adapters')).getDirectoryHandle('mine');
    const names: string[] = [];
    for await (const name of folder.keys()) names.push(name);
    return names;
  });

describe('the private file system', { timeout: 60_000 }, () => {
  it.each(['window', 'worker'])(
    'keeps what is written, replaces it, and lists it, from a %s',
    async (which) => {
      const where: Where = which === 'window' ? page : await workerOf(page);
      expect(await write(where, 'b', 'one')).toBe(3);
      expect(await write(where, 'a', 'größe')).toBe(7);
      expect(await write(where, 'b', 'two')).toBe(3);
      expect(await list(where)).toEqual(['a', 'b']);
      expect([await read(where, 'a'), await read(where, 'b')]).toEqual(['größe', 'two']);
      expect((await raw()).sort()).toEqual(['a', 'b']); // and nothing beside them
      const ranges = await where.evaluate(async () => {
        const folder = await nn.opfsFolder('adapters/mine');
        const source = await folder.open('b');
        const bytes = [...(await source.read(1, 2))];
        await source.close();
        return {
          name: source.name,
          size: source.size,
          bytes,
          has: [await folder.has('b'), await folder.has('c')],
        };
      });
      expect(ranges).toEqual({
        name: 'opfs:adapters/mine/b',
        size: 3,
        bytes: [119, 111],
        has: [true, false],
      });
    },
  );

  it('shows a second page, and the next visit, what the first one wrote', async () => {
    await write(page, 'f', 'here');
    const second = await open();
    expect(await read(second, 'f')).toBe('here');
    await write(await workerOf(second), 'f', 'there');
    expect(await read(page, 'f')).toBe('there');
    await page.reload();
    await page.waitForFunction(() => 'nn' in globalThis);
    expect(await read(page, 'f')).toBe('there');
  });

  it.each(['as it is', 'without move', 'whose move takes no taken name'])(
    'leaves the old file whole, whatever fails: a browser %s',
    async (which) => {
      await page.evaluate((kind) => {
        const prototype = FileSystemFileHandle.prototype as { move?: (name: string) => Promise<void> };
        if (kind === 'without move') delete prototype.move;
        if (kind === 'whose move takes no taken name')
          prototype.move = async () => Promise.reject(new DOMException('taken', 'InvalidModificationError'));
      }, which);
      await write(page, 'f', 'old');
      await write(page, 'f', 'newer');
      const failures = await page.evaluate(async () => {
        const folder = await nn.opfsFolder('adapters/mine');
        const text = (s: string): Uint8Array => new TextEncoder().encode(s);
        async function* failing(): AsyncGenerator<Uint8Array> {
          yield text('broken');
          throw new RangeError('no more');
        }
        const errors: string[] = [];
        const failed = async (f: () => Promise<unknown>): Promise<void> => {
          await f().catch((error: unknown) => errors.push(String(error)));
        };
        for (const name of ['f', 'fresh']) {
          await failed(async () => folder.write(name, failing()));
          await failed(async () => folder.write(name, [text('four')], 5));
        }
        return errors;
      });
      const counts = (name: string): string => `BaxError: opfs:adapters/mine/${name}: 5 bytes were announced and 4 came`; // prettier-ignore
      expect(failures).toEqual(['RangeError: no more', counts('f'), 'RangeError: no more', counts('fresh')]);
      expect(await read(page, 'f')).toBe('newer');
      expect(await raw()).toEqual(['f']);
    },
  );

  it.each(['while it writes', 'when all is written'])(
    'keeps the old file when the tab is closed %s, and what that leaves goes at the next writing',
    async (when) => {
      await write(page, 'f', 'old');
      const doomed = await open();
      await doomed.evaluate(async (moment) => {
        const folder = await nn.opfsFolder('adapters/mine');
        await new Promise<void>((began) => {
          async function* slow(): AsyncGenerator<Uint8Array> {
            yield new Uint8Array(1000);
            if (moment === 'when all is written') return;
            began();
            await new Promise(() => undefined);
          }
          const prototype = FileSystemFileHandle.prototype as { move?: () => Promise<void> };
          prototype.move = async () => new Promise(() => began());
          void folder.write('f', slow());
        });
      }, when);
      const others = async (): Promise<string[]> => (await raw()).filter((name) => name !== 'f');
      const unfinished = await others();
      expect(unfinished).toContainEqual(expect.stringMatching(/^\.bax-[0-9a-f-]{36}\.tmp$/));
      await write(page, 'f', 'old'); // what another tab writes is left alone,
      expect(await others()).toEqual(unfinished);
      await doomed.close();
      expect(await read(page, 'f')).toBe('old');
      expect(await list(page)).toEqual(['f']);
      // until that tab is gone, which may be a moment after it was closed
      const rewritten = async (): Promise<string[]> => (await write(page, 'f', 'new'), raw());
      await expect.poll(rewritten, { timeout: 20_000 }).toEqual(['f']);
    },
  );

  it('says so when the site may keep no more', async () => {
    await write(page, 'f', 'old');
    const devtools = await context.newCDPSession(page);
    await devtools.send('Storage.overrideQuotaForOrigin', { origin: server.origin, quotaSize: 200_000 });
    const error = await page.evaluate(async () => {
      const folder = await nn.opfsFolder('adapters/mine');
      function* large(): Generator<Uint8Array> {
        for (let i = 0; i < 10; i++) yield new Uint8Array(100_000);
      }
      return folder.write('f', large(), 1_000_000).catch(String);
    });
    expect(error).toMatch(/^BaxError: opfs:adapters\/mine\/f: the browser lets this site keep no more \(\d+ of \d+ bytes are used\), after \d+ bytes; the file needs 1000000 bytes; nothing was changed$/); // prettier-ignore
    expect(await read(page, 'f')).toBe('old');
    expect(await raw()).toEqual(['f']);
    await devtools.send('Storage.overrideQuotaForOrigin', { origin: server.origin, quotaSize: 1 });
    const folder = await page.evaluate(async () =>
      nn.opfsFolder('adapters/new', { create: true }).catch(String),
    );
    expect(folder).toMatch(/^BaxError: opfs:adapters\/new: the browser lets this site keep no more \(\d+ of \d+ bytes are used\), after 0 bytes; nothing was changed$/); // prettier-ignore
  });

  it('deletes a file, and says whether there was one', async () => {
    await write(page, 'f', 'x');
    const removed = await page.evaluate(async () => {
      const folder = await nn.opfsFolder('adapters/mine');
      return [await folder.remove('f'), await folder.remove('f')];
    });
    expect([removed, await raw()]).toEqual([[true, false], []]);
  });

  it('lists and deletes folders', async () => {
    await write(page, 'f', 'x');
    const seen = await page.evaluate(async () => [
      await nn.opfsFolders(),
      await nn.opfsFolders('adapters'),
      await nn.opfsFolders('adapters/mine'),
      await nn.opfsFolders('nowhere'),
      await nn.removeOpfsFolder('adapters/other'),
      await nn.removeOpfsFolder('nowhere/mine'),
      await nn.removeOpfsFolder('adapters/mine'),
      await nn.opfsFolders('adapters'),
      await nn.removeOpfsFolder('adapters'),
      await nn.opfsFolders(),
    ]);
    expect(seen).toEqual([['adapters'], ['mine'], [], [], false, false, true, [], true, []]);
  });

  it('P60: says what is missing, of the wrong kind, or leads elsewhere', async () => {
    await write(page, 'f', 'x');
    const errors = await page.evaluate(async () => {
      const folder = await nn.opfsFolder('adapters/mine');
      const adapters = await nn.opfsFolder('adapters');
      const acts = [
        async () => nn.opfsFolder('nowhere'),
        async () => nn.opfsFolder('adapters/mine/f'),
        async () => nn.opfsFolder('adapters//mine'),
        async () => nn.opfsFolder('../x', { create: true }),
        async () => nn.removeOpfsFolder(''),
        async () => folder.open('g'),
        async () => adapters.open('mine'),
        async () => adapters.write('mine', []),
        async () => folder.write('../f', []),
        async () => folder.remove('../f'),
        async () => folder.has('a/b'),
      ];
      return Promise.all(acts.map(async (act) => act().then(() => 'none', String)));
    });
    const plain = (where: string, name: string): string => `BaxError: ${where}: ${JSON.stringify(name)} is not a plain file name; no '/', '\\', ':', NUL, '.' or '..' may lead out of the folder`; // prettier-ignore
    const kind = 'is a folder where a file was expected, or a file where a folder was';
    expect(errors).toEqual([
      'BaxError: opfsFolder: there is no folder nowhere; pass { create: true } to make it',
      `BaxError: opfs:adapters/mine/f: ${kind}`,
      plain('opfs:adapters//mine', ''),
      plain('opfs:../x', '..'),
      plain('opfs:', ''),
      "BaxError: opfs:adapters/mine: there is no file 'g'",
      `BaxError: opfs:adapters/mine: ${kind}`,
      `BaxError: opfs:adapters/mine: ${kind}`,
      plain('opfs:adapters/mine', '../f'),
      plain('opfs:adapters/mine', '../f'),
      plain('opfs:adapters/mine', 'a/b'),
    ]);
  });

  it('says so where there is none', async () => {
    const message = await page.evaluate(async () => {
      Object.defineProperty(navigator, 'storage', { value: undefined });
      return nn.opfsFolder('x').catch(String);
    });
    expect(message).toBe(
      'BaxError: opfs: here is no private file system; it needs a browser of 2023 or later, and a page on https or localhost',
    );
  });
});

describe('files from another origin', { timeout: 60_000 }, () => {
  let files: TestServer;
  beforeEach(async () => {
    files = await serveFiles();
    files.files.set(
      '/m/f',
      Uint8Array.from({ length: 5000 }, (_, i) => i % 251),
    );
    files.headers = {
      etag: '"1"',
      'access-control-allow-origin': '*',
      'access-control-expose-headers': 'Content-Range, ETag',
    };
    // Another page than the others: their policy lets them fetch from their own origin alone.
    await page.goto(`${server.origin}/plain/files.html`);
    await page.waitForFunction(() => 'nn' in globalThis);
  });
  afterEach(async () => files.close());
  const fetched = async (cache?: string): Promise<string | number[]> =>
    page.evaluate(
      async ([url, name]) => {
        const folder = nn.httpFolder(`${url}/m`, { blockBytes: 1000, ...(name ? { cache: name } : {}) });
        try {
          return [...(await (await folder.open('f')).read(1500, 1000))];
        } catch (error) {
          return String(error);
        }
      },
      [files.origin, cache] as const,
    );

  it('are read by ranges without asking for leave first, and kept for the next visit', async () => {
    const expected = Array.from({ length: 1000 }, (_, i) => (1500 + i) % 251);
    expect(await fetched('models')).toEqual(expected);
    expect(files.asked).toEqual(['GET /m/f 0-999', 'GET /m/f 1000-2999']);
    files.asked.length = 0;
    await page.reload();
    await page.waitForFunction(() => 'nn' in globalThis);
    expect(await fetched('models')).toEqual(expected);
    expect(files.asked).toEqual(['GET /m/f 0-1']);
    files.asked.length = 0;
    files.headers = { ...files.headers, etag: '"2"' };
    files.files.set('/m/f', new Uint8Array(5000));
    expect(await fetched('models')).toEqual(Array.from({ length: 1000 }, () => 0));
    expect(await page.evaluate(async () => (await (await caches.open('models')).keys()).length)).toBe(2);
  });

  it('are told apart in two versions, also by way of the cache that a browser has anyway', async () => {
    files.headers = { ...files.headers, 'cache-control': 'max-age=3600' };
    const changed = await page.evaluate(async (url) => {
      const source = await nn.httpFolder(`${url}/m`, { blockBytes: 1000 }).open('f');
      return [source.size, [...(await source.read(0, 3))]];
    }, files.origin);
    expect(changed).toEqual([5000, [0, 1, 2]]);
    files.headers = { ...files.headers, etag: '"2"' };
    files.files.set('/m/f', new Uint8Array(5000));
    expect(await fetched()).toEqual(Array.from({ length: 1000 }, () => 0));
  });

  it('say what the server must send, if it does not', async () => {
    const name = `BaxError: ${files.origin}/m/f`;
    files.headers = { etag: '"1"', 'access-control-allow-origin': '*' };
    expect(await fetched()).toBe(`${name}: the answer has no Content-Range that this page may read; Access-Control-Expose-Headers must name Content-Range, and ETag`); // prettier-ignore
    files.headers = { etag: '"1"' };
    const unreachable = `${name}: could not be fetched: is there a network, and does ${new URL(files.origin).host} let this page read it? It must send Access-Control-Allow-Origin, and a Content-Security-Policy of this page must name it in connect-src`;
    expect(await fetched()).toBe(unreachable);
    files.headers = { 'access-control-allow-origin': '*', 'access-control-expose-headers': 'Content-Range' };
    await page.goto(`${server.origin}/strict/files.html`);
    await page.waitForFunction(() => 'nn' in globalThis);
    expect(await fetched()).toBe(unreachable); // the policy
  });
});
