// Blocks of files on the web that the browser keeps across visits, in its Cache API, as far as its quota goes. It is a
// cache: whatever fails here is a miss, never an error. https://w3c.github.io/ServiceWorker/#cache-interface

/** Which block: a file in one version, cut in one way. */
export interface BlockId {
  readonly url: URL;
  readonly validator: string;
  readonly size: number;
  readonly blockBytes: number;
  readonly index: number;
}

/** An entry's name: the file's URL, so that what belongs to it can be found, with the rest in the query. */
function keyOf({ url, validator, size, blockBytes, index }: BlockId): string {
  const key = new URL(url);
  key.searchParams.append('bax-block', JSON.stringify([validator, size, blockBytes, index]));
  return key.href;
}

/** All versions of a file, for which the query does not count. */
const ANY = { ignoreSearch: true };

export class HttpStore {
  readonly #cache: Promise<Cache | undefined>;

  /** Finds nothing and keeps nothing where there is no Cache API: in Node, and on pages without https. */
  constructor(name: string) {
    this.#cache = tried(async () => (typeof caches === 'undefined' ? undefined : caches.open(name)));
  }

  /** Whether there is a block of `url`, of whatever version. */
  async knows(url: URL): Promise<boolean> {
    return (await this.#find(url.href, ANY)) !== undefined;
  }

  async has(id: BlockId): Promise<boolean> {
    return (await this.#find(keyOf(id))) !== undefined;
  }

  async get(id: BlockId): Promise<Uint8Array | undefined> {
    const found = await this.#find(keyOf(id));
    const bytes = found && (await tried(async () => new Uint8Array(await found.arrayBuffer())));
    const { size, blockBytes, index } = id;
    return bytes?.byteLength === Math.min(blockBytes, size - index * blockBytes) ? bytes : undefined;
  }

  async set(id: BlockId, block: Uint8Array<ArrayBuffer>): Promise<void> {
    await tried(async () => (await this.#cache)?.put(keyOf(id), new Response(block)));
  }

  /** Drops every block of `url`, of whatever version. */
  async forget(url: URL): Promise<void> {
    await tried(async () => (await this.#cache)?.delete(url.href, ANY));
  }

  async #find(key: string, options: CacheQueryOptions = {}): Promise<Response | undefined> {
    return tried(async () => (await this.#cache)?.match(key, options));
  }
}

async function tried<T>(f: () => Promise<T>): Promise<T | undefined> {
  try {
    return await f();
  } catch {
    return undefined;
  }
}
