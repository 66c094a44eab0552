// A folder on a web server, read by ranges: of a model's file first the head, then each tensor when it is asked for.
// Files are cut into blocks; a read takes what it needs of them from memory, from the browser's store, or in one request
// for each run of blocks that are in neither.
import { BaxError } from '@bax/core';
import { BlockCache } from './block-cache.ts';
import { type Answer, ask, type Question } from './http-answer.ts';
import { type BlockedFile, blocksOf, wholeOf } from './http-blocks.ts';
import { type BlockId, HttpStore } from './http-store.ts';
import { checkUrl, urlOf } from './http-url.ts';
import { type ByteSource, type Folder, checkFileName, checkRange, textOf } from './source.ts';

export interface HttpFolderOptions {
  /** Blocks held in memory, at most; also the largest file of a server that ignores ranges. Default 64 MiB. */
  readonly cacheBytes?: number;
  /** What is fetched at least: small neighbours come in one request. Default 1 MiB. */
  readonly blockBytes?: number;
  /** Keep blocks across visits in the browser's Cache of this name, if it has one, and the server sends an ETag or Last-Modified. */
  readonly cache?: string;
  /** The names of its files, where they are known: `list` and `has` answer by them. HTTP itself cannot list a folder. */
  readonly files?: readonly string[];
  /** Ends every request that is under way, and refuses new ones. */
  readonly signal?: AbortSignal | undefined;
  /** Used in place of the global one: to add a token, or to count. */
  readonly fetch?: typeof globalThis.fetch;
}

interface HttpFile extends Question, BlockedFile {
  readonly validator: string | undefined;
  /** Undefined if blocks are not kept. */
  readonly store: HttpStore | undefined;
}

/** A block that is on its way, for all who want it. */
interface Coming {
  readonly index: number;
  readonly promise: Promise<Uint8Array>;
  readonly resolve: (block: Uint8Array) => void;
  readonly reject: (error: unknown) => void;
}

/**
 * The folder at `url`, which is absolute; a query is kept and sent with each file (a version, a signature). Nothing is
 * fetched before it is asked for; a file that changes on the server while it is read is an error, never a mixture.
 * @throws BaxError for a URL that is not http(s) or has a fragment or a password, and for options out of range.
 */
export function httpFolder(url: string | URL, options: HttpFolderOptions = {}): Folder {
  const base = checkUrl(url);
  const { cacheBytes = 64 * 2 ** 20, blockBytes = 2 ** 20, signal } = options;
  for (const [name, value, least] of [
    ['cacheBytes', cacheBytes, 0],
    ['blockBytes', blockBytes, 1],
  ] as const)
    // prettier-ignore
    if (!Number.isSafeInteger(value) || value < least)
      throw new BaxError(`httpFolder: ${name} is ${value}; it must be an integer from ${least}`);
  const fetch = options.fetch ?? (async (...request) => globalThis.fetch(...request));
  const store = options.cache === undefined ? undefined : new HttpStore(options.cache);
  const folderName = `${base.origin}${base.pathname.slice(0, -1)}`;
  const files = options.files && new Set(options.files);
  for (const file of files ?? []) checkFileName(file, folderName);

  const memory = new BlockCache(cacheBytes);
  const coming = new Map<string, Coming>();
  const found = new Map<string, Promise<HttpFile | undefined>>();

  /** Each file is looked for once, if it is there. */
  async function find(name: string): Promise<HttpFile | undefined> {
    checkFileName(name, folderName);
    signal?.throwIfAborted();
    if (files && !files.has(name)) return undefined;
    let file = found.get(name);
    if (!file) {
      found.set(name, (file = look(name)));
      const forget = (): void => void found.delete(name);
      file.then((there) => there ?? forget(), forget);
    }
    return file;
  }

  async function look(file: string): Promise<HttpFile | undefined> {
    const name = `${folderName}/${file}`;
    const question = { url: urlOf(base, file, folderName), name, fetch, signal };
    // The first block, if it is not here from an earlier visit: the whole of a small file, the head of a model's.
    // Else two bytes say which version is there; one would do, but Vite's server takes `0-0` for all.
    const known = (await store?.knows(question.url)) ?? false;
    const answer = await ask(question, 0, known ? 1 : blockBytes - 1);
    if (!answer) return undefined;
    const { ranged, size, validator } = answer;
    if (!ranged) {
      const whole = await wholeOf(answer, name, cacheBytes);
      const cut = { blockBytes: Math.max(1, whole.byteLength), size: whole.byteLength };
      memory.set(`${name} 0`, whole);
      return { ...question, ...cut, validator, store: undefined };
    }
    const kept = validator === undefined ? undefined : store;
    const there: HttpFile = { ...question, size: size!, validator, blockBytes, store: kept };
    if (known) {
      answer.cancel();
      if (!(await kept?.has(idOf(there, 0)))) await store?.forget(question.url); // of another version
    } else for await (const block of blocksOf(there, answer, 0, there.size && 1)) await hold(there, 0, block);
    return there;
  }

  async function hold(file: HttpFile, index: number, block: Uint8Array<ArrayBuffer>): Promise<void> {
    memory.set(`${file.name} ${index}`, block);
    await file.store?.set(idOf(file, index), block);
  }

  async function read(file: HttpFile, offset: number, length: number): Promise<Uint8Array> {
    signal?.throwIfAborted();
    checkRange(file, offset, length);
    const bytes = allocate(length, file.name);
    if (length === 0) return bytes;
    const place = (index: number, block: Uint8Array): void => {
      const at = index * file.blockBytes - offset; // where the block begins in `bytes`, or before them
      bytes.set(block.subarray(Math.max(0, -at), length - at), Math.max(0, at));
    };
    const waits: Promise<void>[] = [];
    let run: Coming[] = [];
    const fetchRun = (): void => {
      if (run.length > 0) void load(file, run);
      run = [];
    };
    for (let i = Math.floor(offset / file.blockBytes); i * file.blockBytes < offset + length; i++) {
      const key = `${file.name} ${i}`;
      const here = memory.get(key);
      if (here) place(i, here);
      let wanted = coming.get(key);
      if (here || wanted) fetchRun();
      else {
        coming.set(key, (wanted = newComing(i)));
        run.push(wanted);
      }
      if (!here && wanted) waits.push(wanted.promise.then((block) => place(i, block)));
    }
    fetchRun();
    await Promise.all(waits);
    return bytes;
  }

  /** Brings neighbouring blocks, each from the store or else with those after it that are not there either. */
  async function load(file: HttpFile, run: Coming[]): Promise<void> {
    const arrived = (block: Uint8Array): void => {
      const { index, resolve } = run.shift()!;
      coming.delete(`${file.name} ${index}`);
      resolve(block);
    };
    try {
      while (run.length > 0) {
        const first = run[0].index;
        const kept = await file.store?.get(idOf(file, first));
        if (kept) {
          memory.set(`${file.name} ${first}`, kept);
          arrived(kept);
          continue;
        }
        let count = 1;
        while (count < run.length && !(await file.store?.has(idOf(file, first + count)))) count++;
        for await (const block of blocksOf(file, await askAgain(file, first, count), first, count)) {
          await hold(file, run[0].index, block);
          arrived(block);
        }
      }
    } catch (error) {
      for (const { index, reject } of run) {
        coming.delete(`${file.name} ${index}`);
        reject(error);
      }
    }
  }

  const folder: Folder = {
    name: folderName,
    async list() {
      if (files) return [...files].sort();
      throw new BaxError(`${folderName}: HTTP cannot list a folder; give httpFolder { files: [...] }, the names of its files`); // prettier-ignore
    },
    async has(name) {
      return (await find(name)) !== undefined;
    },
    async open(name): Promise<ByteSource> {
      const file = await find(name);
      if (!file) throw new BaxError(`${folderName}: there is no file '${name}'`);
      let closed = false;
      return {
        name: file.name,
        size: file.size,
        async read(offset, length) {
          if (closed) throw new BaxError(`${file.name}: is closed`);
          return read(file, offset, length);
        },
        async close() {
          closed = true;
        },
      };
    },
    async readText(name, maxBytes) {
      return textOf(await folder.open(name), maxBytes);
    },
  };
  return folder;
}

const idOf = ({ url, validator, size, blockBytes }: HttpFile, index: number): BlockId => ({
  url,
  validator: validator ?? '',
  size,
  blockBytes,
  index,
});

function newComing(index: number): Coming {
  let [resolve, reject]: [Coming['resolve'], Coming['reject']] = [() => {}, () => {}];
  const promise = new Promise<Uint8Array>((...settle) => ([resolve, reject] = settle));
  return { index, promise, resolve, reject };
}

/** Asks for `count` blocks of a file that was there. @throws BaxError if it is another one now. */
async function askAgain(file: HttpFile, first: number, count: number): Promise<Answer> {
  const [from, end] = [first * file.blockBytes, Math.min((first + count) * file.blockBytes, file.size)];
  const answer = await ask(file, from, end - 1);
  const same = answer?.validator === file.validator && (!answer?.ranged || answer.size === file.size);
  if (answer && same && (answer.ranged || end - from === file.size)) return answer;
  answer?.cancel();
  if (answer && same)
    throw new BaxError(`${file.name}: the server sent a part of it before, and now only the whole file`);
  throw new BaxError(`${file.name}: changed on the server since it was opened; open the folder again`);
}

function allocate(length: number, name: string): Uint8Array {
  try {
    return new Uint8Array(length);
  } catch (cause) {
    throw new BaxError(`${name}: there is no memory for ${length} bytes of it`, { cause });
  }
}
