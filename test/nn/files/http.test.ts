import { randomBytes } from 'node:crypto';
import { gzipSync } from 'node:zlib';
import { setBackend } from '@bax/core';
import { cpu } from '@bax/cpu';
import { httpFolder, loadAdapter, loadGpt2, loadTokenizer, openSafetensors } from '@bax/nn';
import { openFolder } from '@bax/nn/node';
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { goldenBytes } from '../support/golden.ts';
import { modelHashes } from '../support/hash.ts';
import { type Misbehaviour, serveFiles, type TestServer } from './http-server.ts';
import { ascii, failure, fileOf } from './support.ts';
import { runs } from '../../support/runs.ts';

let server: TestServer;
let [root, name] = ['', ''];
beforeEach(async () => {
  server = await serveFiles();
  root = `${server.origin}/m/`;
  name = `${server.origin}/m/f`;
});
afterEach(async () => {
  vi.unstubAllGlobals();
  await server.close();
});

const counting = (length: number): Uint8Array => Uint8Array.from({ length }, (_, i) => (i * 7 + 3) % 251);
const put = (bytes: Uint8Array, path = '/m/f'): Uint8Array => {
  server.files.set(path, bytes);
  return bytes;
};
const small = { blockBytes: 10, cacheBytes: 40 };

describe('reads', () => {
  test('any ranges, at the same time, whatever the blocks and however little memory', async () => {
    const bytes = put(counting(300));
    const range = fc.tuple(fc.nat(300), fc.nat(300)).map(([a, b]) => [Math.min(a, b), Math.abs(a - b)] as const); // prettier-ignore
    await fc.assert(
      fc.asyncProperty(
        fc.integer({ min: 1, max: 400 }),
        fc.nat(400),
        fc.array(fc.array(range, { maxLength: 5 }), { maxLength: 4 }),
        async (blockBytes, cacheBytes, rounds) => {
          const source = await httpFolder(root, { blockBytes, cacheBytes }).open('f');
          expect([source.name, source.size]).toEqual([name, 300]);
          for (const together of rounds) {
            const read = await Promise.all(together.map(async ([at, length]) => source.read(at, length)));
            expect(read).toEqual(together.map(([at, length]) => bytes.slice(at, at + length)));
          }
        },
      ),
      runs(60),
    );
  });

  test('small neighbours in one request, and what is not in memory in one more', async () => {
    put(counting(100));
    const source = await httpFolder(root, small).open('f');
    for (let at = 0; at < 10; at++) await source.read(at, 1);
    expect(server.asked).toEqual(['GET /m/f 0-9']);
    await source.read(5, 30); // blocks 0 to 3, of which the first is there
    expect(server.asked.slice(1)).toEqual(['GET /m/f 10-39']);
    await source.read(0, 40);
    await source.read(95, 5);
    expect(server.asked.slice(2)).toEqual(['GET /m/f 90-99']);
    await source.read(35, 30); // 3 is there, 0 made room for 9
    expect(server.asked.slice(3)).toEqual(['GET /m/f 40-69']);
  });

  test('a block once that many want at once', async () => {
    const bytes = put(counting(100));
    const folder = httpFolder(root, { blockBytes: 10, cacheBytes: 0 });
    const sources = await Promise.all([folder.open('f'), folder.open('f'), folder.open('f')]);
    expect(server.asked).toEqual(['GET /m/f 0-9']);
    const read = await Promise.all(sources.map(async (source, i) => source.read(40 + i, 10)));
    expect(read).toEqual([0, 1, 2].map((i) => bytes.slice(40 + i, 50 + i)));
    expect(server.asked.slice(1)).toEqual(['GET /m/f 40-49', 'GET /m/f 50-59']);
  });

  test('P52: copies: who changes them changes nothing else', async () => {
    const bytes = put(counting(20));
    const source = await httpFolder(root).open('f');
    (await source.read(0, 20)).fill(0);
    expect(await source.read(0, 20)).toEqual(bytes);
  });

  test('nothing where nothing is wanted, and an empty file', async () => {
    put(new Uint8Array(0));
    const folder = httpFolder(root, small);
    const source = await folder.open('f');
    expect([source.size, await source.read(0, 0)]).toEqual([0, new Uint8Array(0)]);
    expect(await folder.readText('f', 0)).toBe('');
    server.answer = (...args) => server.whole(...args);
    expect((await httpFolder(root).open('f')).size).toBe(0);
    put(counting(100));
    server.asked.length = 0;
    server.answer = (...args) => server.proper(...args);
    expect(await (await httpFolder(root, small).open('f')).read(55, 0)).toEqual(new Uint8Array(0));
    expect(server.asked).toEqual(['GET /m/f 0-9']);
  });

  test('P60: refuses a range that is not inside, and a closed source', async () => {
    put(counting(10));
    const source = await httpFolder(root).open('f');
    expect(await failure(() => source.read(1, 10))).toBe(
      `${name}: cannot read 10 bytes from byte 1 on: the file has 10 bytes`,
    );
    await source.close();
    expect(await failure(() => source.read(0, 1))).toBe(`${name}: is closed`);
  });
});

describe('names', () => {
  test('a file that is not there', async () => {
    put(ascii('x'), '/m/here');
    const folder = httpFolder(root);
    expect([await folder.has('here'), await folder.has('f')]).toEqual([true, false]);
    expect(await failure(() => folder.open('f'))).toBe(`${server.origin}/m: there is no file 'f'`);
    put(ascii('late')); // it was not remembered as missing
    expect(await folder.readText('f', 9)).toBe('late');
    expect(server.asked.length).toBe(4);
  });

  test('a web page in the place of a file is no file', async () => {
    server.answer = (_, response) => response.writeHead(200, { 'content-type': 'text/html; charset=utf-8' }).end('<!doctype html>'); // prettier-ignore
    expect(await httpFolder(root).has('f')).toBe(false);
    expect(await httpFolder(root).readText('page.html', 99)).toBe('<!doctype html>');
  });

  test('lists what it was told, and nothing else is there', async () => {
    put(ascii('x'));
    const folder = httpFolder(root, { files: ['g', 'f'] });
    expect(await folder.list()).toEqual(['f', 'g']);
    expect([await folder.has('f'), await folder.has('x')]).toEqual([true, false]);
    expect(server.asked).toEqual(['GET /m/f 0-1048575']);
    expect(await failure(() => httpFolder(root).list())).toBe(
      `${server.origin}/m: HTTP cannot list a folder; give httpFolder { files: [...] }, the names of its files`,
    );
  });

  test('P60: none leads out of the folder', async () => {
    put(ascii('secret'), '/secret');
    const folder = httpFolder(root);
    for (const bad of ['../secret', '..', '/secret', '', 'a\\b', 'http://x', 'a\0'])
      for (const act of [
        (n: string) => folder.open(n),
        (n: string) => folder.has(n),
        (n: string) => folder.readText(n, 9),
      ])
        // prettier-ignore
        expect(await failure(() => act(bad))).toMatch(/is not a plain file name/);
    expect(await failure(() => httpFolder(root, { files: ['../x'] }))).toMatch(/is not a plain file name/);
    expect(server.asked).toEqual([]);
    // What a URL would read otherwise is part of the name.
    for (const odd of ['%2e%2e', '?secret', '#f', ';x', 'größe 1', '%2F..%2Fsecret', '...'])
      expect(await folder.has(odd)).toBe(false);
    expect(server.asked.map((line) => line.split(' ')[1])).toEqual(
      ['%252e%252e', '%3Fsecret', '%23f', '%3Bx', 'gr%C3%B6%C3%9Fe%201', '%252F..%252Fsecret', '...'].map((n) => `/m/${n}`), // prettier-ignore
    );
    expect(await failure(() => folder.has('a\ud800'))).toMatch(/has half of a character in it/);
  });

  test('of folders: absolute http(s) URLs, with or without a slash, whose query goes with each file', async () => {
    put(ascii('x'));
    expect(await httpFolder(`${server.origin}/m?token=a%2Fb`).readText('f', 1)).toBe('x');
    expect(server.asked).toEqual(['GET /m/f?token=a%2Fb 0-1048575']);
    const signed = httpFolder(new URL('?token=secret', root));
    expect(await failure(() => signed.open('g'))).toBe(`${server.origin}/m: there is no file 'g'`);
    const refused: [string, string][] = [
      [
        'base/',
        `httpFolder: "base/" is not an absolute URL; in a page, give new URL('models/', location.href)`,
      ],
      ['', `httpFolder: "" is not an absolute URL; in a page, give new URL('models/', location.href)`],
      ['file:///etc', 'httpFolder: file:///etc: only http and https URLs can be fetched'],
      ['data:text/plain,x', 'httpFolder: data://text/plain,x: only http and https URLs can be fetched'],
      ['https://u:p@x.org/m', 'httpFolder: https://x.org/m: a URL with a user or password cannot be fetched; give { fetch } that adds a header'], // prettier-ignore
      ['https://x.org/m#top', "httpFolder: https://x.org/m: leave out '#top', which no server ever sees"],
    ];
    for (const [url, message] of refused) expect(await failure(() => httpFolder(url))).toBe(message);
    expect(await failure(() => httpFolder(root, { cacheBytes: -1 }))).toBe(
      'httpFolder: cacheBytes is -1; it must be an integer from 0',
    );
    expect(await failure(() => httpFolder(root, { blockBytes: 0 }))).toBe(
      'httpFolder: blockBytes is 0; it must be an integer from 1',
    );
  });
});

describe('a server that ignores ranges', () => {
  beforeEach(() => void (server.answer = (...args) => server.whole(...args)));

  test('will do for a file that fits into memory', async () => {
    const bytes = put(counting(40));
    const source = await httpFolder(root, small).open('f');
    expect(await source.read(13, 20)).toEqual(bytes.slice(13, 33));
    expect(server.asked.length).toBe(1);
  });

  test('is asked again for what made room for another file', async () => {
    const [a, b] = [put(counting(30)), put(counting(25).reverse(), '/m/g')];
    const folder = httpFolder(root, small);
    const [first, second] = [await folder.open('f'), await folder.open('g')];
    for (let i = 0; i < 2; i++) {
      expect(await first.read(3, 20)).toEqual(a.slice(3, 23));
      expect(await second.read(3, 20)).toEqual(b.slice(3, 23));
    }
    expect(server.asked.length).toBe(6);
  });

  test.each([
    ['announced', '1000 bytes'],
    ['not announced', 'more than 40 bytes'],
  ])('is refused for a larger one, %s, before that costs memory', async (how, size) => {
    put(counting(1000));
    if (how !== 'announced')
      server.answer = (_, response) => {
        response.writeHead(200, server.headers);
        const endless = (): void => {
          while (!response.destroyed && response.write(new Uint8Array(1000)));
          if (!response.destroyed) response.once('drain', endless);
        };
        endless();
      };
    expect(await failure(() => httpFolder(root, small).open('f'))).toBe(
      `${name}: the server ignores ranges and sends the whole file, ${size}, of which { cacheBytes: 40 } cannot hold all; serve it with ranges, or raise cacheBytes`,
    );
    if (how !== 'announced') await vi.waitFor(() => expect(server.dropped).toEqual(['/m/f']));
  });

  test('may compress it', async () => {
    const bytes = put(new Uint8Array(1000));
    const packed = gzipSync(bytes);
    server.answer = (_, response) =>
      response.writeHead(200, { 'content-encoding': 'gzip', 'content-length': packed.byteLength }).end(packed); // prettier-ignore
    const source = await httpFolder(root, { cacheBytes: 1000 }).open('f');
    expect([source.size, await source.read(0, 1000)]).toEqual([1000, bytes]);
    const noise = put(randomBytes(1000));
    const larger = gzipSync(noise);
    server.answer = (_, response) =>
      response
        .writeHead(200, { 'content-encoding': 'gzip', 'content-length': larger.byteLength })
        .end(larger);
    expect(larger.byteLength).toBeGreaterThan(1000);
    expect(await (await httpFolder(root, { cacheBytes: 1000 }).open('f')).read(0, 1000)).toEqual(
      Uint8Array.from(noise),
    );
    // And a small body that unpacks to more is stopped at the cap.
    expect(await failure(() => httpFolder(root, { cacheBytes: 999 }).open('f'))).toMatch(
      /more than 999 bytes/,
    );
  });
});

describe('a file that changes on the server', () => {
  const changed = (): string => `${name}: changed on the server since it was opened; open the folder again`;

  test.each<[string, () => void]>([
    ['ETag', () => (server.headers = { etag: '"2"' })],
    ['Last-Modified', () => (server.headers = { 'last-modified': 'Tue, 02 Jan 2024 00:00:00 GMT' })],
    ['size alone', () => void put(counting(99))],
    ['to nothing', () => void server.files.delete('/m/f')],
    ['to a server without ranges', () => {
      server.headers = { etag: '"2"' };
      server.answer = (...args) => server.whole(...args);
    }], // prettier-ignore
  ])('is no mixture: %s', async (what, change) => {
    put(counting(100));
    if (what === 'Last-Modified') server.headers = { 'last-modified': 'Mon, 01 Jan 2024 00:00:00 GMT' };
    const folder = httpFolder(root, small);
    const source = await folder.open('f');
    change();
    expect(await source.read(0, 10)).toEqual(counting(10)); // that was here
    expect(await failure(() => source.read(5, 10))).toBe(changed());
    expect(await failure(() => source.read(50, 10))).toBe(changed());
  });

  test('shrinks', async () => {
    put(counting(100));
    const source = await httpFolder(root, small).open('f');
    put(counting(50));
    expect(await failure(() => source.read(80, 10))).toBe(
      `${name}: has no byte 80 (416); was it changed on the server? Open the folder again`,
    );
  });

  test('keeps its ETag while the server forgets what ranges are', async () => {
    put(counting(100));
    const source = await httpFolder(root, small).open('f');
    server.answer = (...args) => server.whole(...args);
    expect(await failure(() => source.read(80, 10))).toBe(
      `${name}: the server sent a part of it before, and now only the whole file`,
    );
  });
});

describe('a server that goes wrong', () => {
  const broken = (status: number, headers: Record<string, string | number>, body: Uint8Array = new Uint8Array(0)): Misbehaviour => (_, response) => void response.writeHead(status, headers).end(body); // prettier-ignore
  const range = { 'content-range': 'bytes 0-9/100' };

  test.each<[string, Misbehaviour, string]>([
    ['refuses', broken(403, {}), 'the server refuses it (403); does it need a login, or is it missing from a store that lists nothing?'],
    ['fails', broken(503, {}), 'the server answered 503 Service Unavailable'],
    ['has nothing to say', broken(204, {}), 'the server answered 204 No Content'],
    ['compresses parts', broken(206, { ...range, 'content-encoding': 'gzip' }, gzipSync(counting(10))), 'the server compresses parts of it (content-encoding: gzip); let it send this file as it is'],
    ['hides Content-Range', broken(206, {}, counting(10)), 'the answer has no Content-Range that this page may read; Access-Control-Expose-Headers must name Content-Range, and ETag'],
    ['sends another part', broken(206, { 'content-range': 'bytes 5-14/100' }, counting(10)), 'asked for bytes 0 to 9, the server answered "bytes 5-14/100"'],
    ['sends the end of it', broken(206, { 'content-range': 'bytes 5-9/100' }, counting(10)), 'asked for bytes 0 to 9, the server answered "bytes 5-9/100"'],
    ['sends too small a part', broken(206, { 'content-range': 'bytes 0-4/100' }, counting(5)), 'asked for bytes 0 to 9, the server answered "bytes 0-4/100"'],
    ['sends too large a part', broken(206, { 'content-range': 'bytes 0-99/100' }, counting(100)), 'asked for bytes 0 to 9, the server answered "bytes 0-99/100"'],
    ['does not say how long the file is', broken(206, { 'content-range': 'bytes 0-9/*' }, counting(10)), 'asked for bytes 0 to 9, the server answered "bytes 0-9/*"'],
    ['counts beyond what can be counted', broken(206, { 'content-range': 'bytes 0-9/9007199254740993' }, counting(10)), 'asked for bytes 0 to 9, the server answered "bytes 0-9/9007199254740993"'],
    ['announces another length', broken(206, { ...range, 'content-length': 3 }, counting(3)), 'asked for 10 bytes, the server announces 3'],
    ['ends early', (_, response) => void response.writeHead(206, range).end(counting(3)), 'asked for 10 bytes, the server sent 3'],
    ['never stops', (_, response) => void response.writeHead(206, range).end(counting(11)), 'asked for 10 bytes, the server sent more'],
    ['breaks the connection', (_, response) => {
      response.writeHead(206, { ...range, 'content-length': 10 }).write(counting(3));
      setTimeout(() => response.destroy(), 20);
    }, 'the connection broke after 3 of 10 bytes; try again'],
  ])('%s', async (_, answer, message) => {
    server.answer = answer;
    expect(await failure(() => httpFolder(root, small).open('f'))).toBe(`${name}: ${message}`);
  }); // prettier-ignore

  test('is given another chance', async () => {
    const bytes = put(counting(100));
    const folder = httpFolder(root, small);
    server.answer = broken(500, {});
    expect(await failure(() => folder.has('f'))).toMatch(/500/);
    server.answer = (...args) => server.proper(...args);
    const source = await folder.open('f');
    server.answer = (_, response) => void response.destroy();
    expect(await failure(() => source.read(20, 60))).toBe(
      `${name}: could not be fetched: is there a network, and does the server run?`,
    );
    server.answer = (...args) => server.proper(...args);
    expect(await source.read(20, 60)).toEqual(bytes.slice(20, 80));
  });

  test('P60: is never believed: what is read is the file, or an error', async () => {
    const bytes = put(counting(64));
    const number = fc.oneof(
      fc.nat(70),
      fc.constantFrom(2 ** 53 - 1, 2 ** 53, 2 ** 64, '*', '', '-1', 'x', '1e3', ' 5'),
    );
    const spoiled = fc.record({
      status: fc.constantFrom(200, 206, 206, 206, 416),
      contentRange: fc.option(fc.tuple(fc.constantFrom('bytes ', 'bytes', 'BYTES ', 'items '), number, number, number)), // prettier-ignore
      length: fc.nat(80),
      etag: fc.option(fc.constantFrom('"1"', '"2"')),
      encoding: fc.option(fc.constantFrom('identity', 'gzip', 'br')),
    });
    await fc.assert(
      fc.asyncProperty(spoiled, fc.nat(3), async ({ status, contentRange, length, etag, encoding }, after) => {
        let asked = 0;
        server.answer = (request, response, wanted) => {
          if (asked++ < after) return server.proper(request, response, wanted);
          const [unit, from, to, total] = contentRange ?? [];
          const headers = {
            ...(contentRange && { 'content-range': `${unit}${from}-${to}/${total}` }),
            ...(etag && { etag }),
            ...(encoding && { 'content-encoding': encoding }),
          };
          // The right bytes, or wrong ones, but for a whole file, of which a server may say what it likes.
          const body = status === 200 ? bytes : new Uint8Array(length).fill(255);
          if (body.length === wanted.to - wanted.from + 1) body.set(bytes.subarray(wanted.from, wanted.to + 1));
          response.writeHead(status, headers).end(body);
        };
        const settled = await Promise.allSettled([
          (async () => {
            const source = await httpFolder(root, { blockBytes: 16, cacheBytes: 64 }).open('f');
            return [source.size, await source.read(3, 30), await source.read(30, 20)] as const;
          })(),
        ]);
        const [outcome] = settled;
        if (outcome.status === 'rejected') expect(outcome.reason).toMatchObject({ name: 'BaxError' });
        else if (outcome.value[0] === 64)
          expect(outcome.value.slice(1)).toEqual([bytes.slice(3, 33), bytes.slice(30, 50)]);
      }),
      runs(150),
    ); // prettier-ignore
  });

  test('P60: may call a file larger than memory; that costs nothing before it comes', async () => {
    const header = JSON.stringify({ t: { dtype: 'U8', shape: [2 ** 50], data_offsets: [0, 2 ** 50] } });
    const head = fileOf(header);
    const size = head.byteLength + 2 ** 50;
    server.answer = (_, response, { from, to }) =>
      response
        .writeHead(206, { etag: '"1"', 'content-range': `bytes ${from}-${to}/${size}` })
        .end(Uint8Array.from({ length: to - from + 1 }, (_, i) => head[from + i] ?? 0));
    const file = await openSafetensors(await httpFolder(root, small).open('f'));
    expect(await failure(() => file.read('t'))).toBe(
      `${name}: there is no memory for ${2 ** 50} bytes of it`,
    );
  });
});

describe('a server that cannot be reached', () => {
  test.each([
    [undefined, 'is there a network, and does the server run?'],
    ['http://127.0.0.1:1/page', 'is there a network, and does the server run?'],
    ['https://example.org/page', 'a page on https may not read from http'],
    ['http://example.org/page', 'is there a network, and does 127.0.0.1:1 let this page read it? It must send Access-Control-Allow-Origin, and a Content-Security-Policy of this page must name it in connect-src'],
  ])('from %s', async (page, why) => {
    if (page) vi.stubGlobal('location', new URL(page));
    const fetch = async (): Promise<Response> => Promise.reject(new TypeError('fetch failed'));
    const folder = httpFolder('http://127.0.0.1:1/m?token=secret', { fetch });
    expect(await failure(() => folder.has('f'))).toBe(`http://127.0.0.1:1/m/f: could not be fetched: ${why}`);
  }); // prettier-ignore
});

describe('a signal', () => {
  test('ends what is under way, and refuses what comes after', async () => {
    put(counting(100));
    const stop = new AbortController();
    const folder = httpFolder(root, { ...small, signal: stop.signal });
    const source = await folder.open('f');
    server.answer = (_, response) =>
      response.writeHead(206, { etag: '"1"', 'content-range': 'bytes 50-69/100' }).write(counting(12));
    const reading = [source.read(50, 20), source.read(55, 1), source.read(65, 1)];
    await new Promise((resolve) => setTimeout(resolve, 50));
    stop.abort();
    for (const read of await Promise.allSettled(reading.slice(0, 1)))
      expect(read).toMatchObject({ status: 'rejected', reason: { name: 'AbortError' } });
    expect((await Promise.allSettled(reading)).map(({ status }) => status)).toEqual([
      'rejected',
      'fulfilled', // its block was complete
      'rejected',
    ]);
    await vi.waitFor(() => expect(server.dropped).toEqual(['/m/f']));
    await expect(source.read(0, 1)).rejects.toMatchObject({ name: 'AbortError' });
    await expect(folder.has('f')).rejects.toMatchObject({ name: 'AbortError' });
  });
});

describe("the browser's cache", () => {
  /** As much of a Cache as is used: https://developer.mozilla.org/docs/Web/API/Cache. */
  class FakeCache {
    readonly entries = new Map<string, Uint8Array<ArrayBuffer>>();
    full = false;
    #find(url: string, ignoreSearch: boolean | undefined): string | undefined {
      const path = (u: string): string => u.split('?', 1)[0];
      return [...this.entries.keys()].find((key) => (ignoreSearch ? path(key) === path(url) : key === url));
    }
    async match(url: string, options?: { ignoreSearch?: boolean }): Promise<Response | undefined> {
      const found = this.#find(url, options?.ignoreSearch);
      return found === undefined ? undefined : new Response(this.entries.get(found));
    }
    async put(url: string, response: Response): Promise<void> {
      if (this.full) throw new DOMException('no more', 'QuotaExceededError');
      if (response.status !== 200) throw new TypeError('only whole answers');
      this.entries.set(url, new Uint8Array(await response.arrayBuffer()));
    }
    async delete(url: string, options?: { ignoreSearch?: boolean }): Promise<void> {
      for (let key; (key = this.#find(url, options?.ignoreSearch)) !== undefined;) this.entries.delete(key);
    }
  }
  let cache: FakeCache;
  const opened: string[] = [];
  beforeEach(() => {
    cache = new FakeCache();
    vi.stubGlobal('caches', { open: async (which: string) => (opened.push(which), cache) });
  });
  const visit = async (...ranges: [number, number][]): Promise<Uint8Array[]> => {
    server.asked.length = 0;
    const source = await httpFolder(root, { ...small, cache: 'models' }).open('f');
    return Promise.all(ranges.map(async ([at, length]) => source.read(at, length)));
  };

  test('holds blocks across visits: a second one asks for two bytes alone, and for what is missing', async () => {
    const bytes = put(counting(100));
    await visit([0, 25], [95, 5]);
    expect(opened).toContain('models');
    expect([...server.asked].sort()).toEqual(['GET /m/f 0-9', 'GET /m/f 10-29', 'GET /m/f 90-99']);
    expect(await visit([3, 20], [95, 2])).toEqual([bytes.slice(3, 23), bytes.slice(95, 97)]);
    expect(server.asked).toEqual(['GET /m/f 0-1']);
    expect(await visit([15, 85])).toEqual([bytes.slice(15)]);
    expect(server.asked).toEqual(['GET /m/f 0-1', 'GET /m/f 30-89']);
  });

  test('drops what belongs to an older version', async () => {
    put(counting(100));
    await visit([0, 100]);
    expect(cache.entries.size).toBe(10);
    const newer = put(counting(100).reverse());
    server.headers = { etag: '"2"' };
    expect(await visit([0, 15])).toEqual([newer.slice(0, 15)]);
    expect(cache.entries.size).toBe(2);
  });

  test('is not used without a validator, nor believed if it was cut short, nor missed if it is full or not there', async () => {
    const bytes = put(counting(100));
    server.headers = {};
    expect(await visit([0, 15])).toEqual([bytes.slice(0, 15)]);
    expect(cache.entries.size).toBe(0);
    server.headers = { etag: '"1"' };
    await visit([0, 30]);
    for (const [key, block] of cache.entries) cache.entries.set(key, block.slice(1));
    expect(await visit([0, 30])).toEqual([bytes.slice(0, 30)]);
    cache.full = true;
    expect(await visit([0, 100])).toEqual([bytes]);
    vi.stubGlobal('caches', { open: async () => Promise.reject(new DOMException('no', 'SecurityError')) });
    expect(await visit([0, 100])).toEqual([bytes]);
    vi.unstubAllGlobals();
    expect(await visit([0, 100])).toEqual([bytes]);
  });
});

describe('models', () => {
  const putAll = async (path: string, folder: string): Promise<void> => {
    const disk = await openFolder(path);
    for (const file of await disk.list()) {
      const source = await disk.open(file);
      put(await source.read(0, source.size), `/${folder}/${file}`);
      await source.close();
    }
  };

  test('load over HTTP to the bits that they have on disk, with an adapter and a tokenizer', async () => {
    setBackend(cpu());
    const disk = await openFolder('examples/finetune/base');
    await putAll('examples/finetune/base', 'base');
    const folder = httpFolder(`${server.origin}/base`, { blockBytes: 2 ** 16 });
    const [there, here] = [await loadGpt2(folder), await loadGpt2(disk)];
    expect(await modelHashes(there)).toEqual(await modelHashes(here));
    const [ours, theirs] = [await loadTokenizer(folder), await loadTokenizer(disk)];
    expect(ours.encode('The Congress of 1862.')).toEqual(theirs.encode('The Congress of 1862.'));
    // Each byte came once.
    const size = [...server.files.values()].reduce((n, { byteLength }) => n + byteLength, 0);
    const came = server.asked.map((line) => {
      const [, path, range] = line.split(' ');
      const [from, to] = range.split('-').map(Number);
      return Math.min(to + 1, server.files.get(path)?.byteLength ?? 0) - from;
    });
    const readme = server.files.get('/base/README.md')!.byteLength; // nobody asked for it
    expect(came.reduce((a, b) => a + b)).toBe(size - readme);
  });

  test('an adapter', async () => {
    setBackend(cpu());
    for (const file of ['config.json', 'model.safetensors'])
      put(goldenBytes(`gpt2/${file}`), `/gpt2/${file}`);
    const peft = ['adapter_config.json', 'adapter_model.safetensors'];
    for (const file of peft) put(goldenBytes(`peft-c-attn/${file}`), `/a/${file}`);
    const base = await loadGpt2(httpFolder(`${server.origin}/gpt2`));
    const { lora } = await loadAdapter(base, httpFolder(`${server.origin}/a`));
    const disk = await loadAdapter(base, await openFolder('test/golden/peft-c-attn'));
    expect(await modelHashes(lora.model)).toEqual(await modelHashes(disk.lora.model));
    expect(await failure(() => loadAdapter(base, httpFolder(root)))).toBe(
      `loadAdapter: ${server.origin}/m is not an adapter: it has no adapter_config.json`,
    );
  });

  test('a tokenizer that is missing is named, although the folder cannot be listed', async () => {
    expect(await failure(() => loadTokenizer(httpFolder(root)))).toBe(
      `loadTokenizer: ${server.origin}/m has no tokenizer.json; transformers' save_pretrained writes one`,
    );
  });
});
