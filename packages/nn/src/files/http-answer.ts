// One question to a web server, "bytes `from` to `to` of this file", and what it may answer. The server may be anyone's:
// what it says is compared with what it sends, and no more of that is taken than was asked for.
import { BaxError } from '@bax/core';

/** How a file is asked for. */
export interface Question {
  readonly url: URL;
  /** How errors call it: the URL without its query, which may hold a secret. */
  readonly name: string;
  readonly fetch: typeof globalThis.fetch;
  readonly signal: AbortSignal | undefined;
}

export interface Answer {
  /** False: the server ignores ranges and sends the whole file. */
  readonly ranged: boolean;
  /** Of the whole file; undefined where it is sent whole and its length is not known beforehand. */
  readonly size: number | undefined;
  /** What changes when the file does: its ETag, else its Last-Modified; undefined if the server says neither. */
  readonly validator: string | undefined;
  /** The bytes that were asked for, or all of them, as they come. */
  chunks(): AsyncGenerator<Uint8Array, void, undefined>;
  /** Takes no more of them. */
  cancel(): void;
}

/**
 * Asks for bytes `from` to `to`, the last one included. Undefined if there is no such file: 404, 410, or a web page in
 * its place, as servers of single-page applications answer for what they have not.
 * @throws BaxError if the server cannot be reached, refuses, or answers what was not asked; the signal's reason if it aborts.
 */
export async function ask(question: Question, from: number, to: number): Promise<Answer | undefined> {
  const { url, name, fetch, signal } = question;
  let response: Response;
  try {
    // 'no-cache' asks the server each time, if only whether it changed: parts of two versions would not fit together.
    const init = {
      headers: { range: `bytes=${from}-${to}` },
      cache: 'no-cache',
      signal: signal ?? null,
    } as const;
    response = await fetch(url.href, init);
  } catch (cause) {
    signal?.throwIfAborted();
    throw new BaxError(`${name}: could not be fetched: ${reasonFor(url)}`, { cause });
  }
  const { status, headers } = response;
  const cancel = (): void => void response.body?.cancel().catch(() => undefined);
  const fail = (what: string): never => {
    cancel();
    throw new BaxError(`${name}: ${what}`);
  };
  if (status === 404 || status === 410 || (response.ok && isPage(headers, url))) {
    cancel();
    return undefined;
  }
  const validator = headers.get('etag') ?? headers.get('last-modified') ?? undefined;
  const encoding = headers.get('content-encoding') ?? 'identity';
  const length = wholeNumber(headers.get('content-length'));
  const common = { validator, cancel };

  if (status === 200) {
    // Of a compressed body the length is that before it is unpacked.
    const size = encoding === 'identity' ? length : undefined;
    return { ...common, ranged: false, size, chunks: () => chunksOf(question, response, undefined) };
  }
  if (status === 416 && from === 0 && headers.get('content-range') === 'bytes */0') {
    cancel();
    return { ...common, ranged: true, size: 0, chunks: nothing };
  }
  if (status === 416)
    return fail(`has no byte ${from} (416); was it changed on the server? Open the folder again`);
  if (status === 401 || status === 403)
    return fail(
      `the server refuses it (${status}); does it need a login, or is it missing from a store that lists nothing?`,
    );
  if (status !== 206) return fail(`the server answered ${status} ${response.statusText}`.trimEnd());

  if (encoding !== 'identity')
    return fail(
      `the server compresses parts of it (content-encoding: ${encoding}); let it send this file as it is`,
    );
  const said = headers.get('content-range');
  if (said === null)
    return fail('the answer has no Content-Range that this page may read; Access-Control-Expose-Headers must name Content-Range, and ETag'); // prettier-ignore
  const [, first, last, total] = /^bytes (\d+)-(\d+)\/(\d+)$/.exec(said) ?? [];
  const size = wholeNumber(total ?? null);
  if (size === undefined || Number(first) !== from || Number(last) !== Math.min(to, size - 1))
    return fail(
      `asked for bytes ${from} to ${to}, the server answered ${JSON.stringify(said.slice(0, 100))}`,
    );
  const wanted = Math.min(to, size - 1) - from + 1;
  if (length !== undefined && length !== wanted)
    return fail(`asked for ${wanted} bytes, the server announces ${length}`);
  return { ...common, ranged: true, size, chunks: () => chunksOf(question, response, wanted) };
}

/** The body, piece by piece; exactly `wanted` bytes of it, if that is known. */
async function* chunksOf(
  { name, signal }: Question,
  response: Response,
  wanted: number | undefined,
): AsyncGenerator<Uint8Array, void, undefined> {
  const reader = response.body?.getReader();
  let came = 0;
  try {
    for (;;) {
      const next = await reader?.read().catch((cause: unknown) => {
        signal?.throwIfAborted();
        const of = wanted === undefined ? '' : ` of ${wanted}`;
        throw new BaxError(`${name}: the connection broke after ${came}${of} bytes; try again`, { cause });
      });
      if (!next || next.done) break;
      came += next.value.byteLength;
      if (came > (wanted ?? Infinity)) break;
      yield next.value;
    }
    if (wanted !== undefined && came !== wanted)
      throw new BaxError(
        `${name}: asked for ${wanted} bytes, the server sent ${came < wanted ? came : 'more'}`,
      );
  } finally {
    void reader?.cancel().catch(() => undefined); // whoever stops early wants no more of it
  }
}

async function* nothing(): AsyncGenerator<Uint8Array, void, undefined> {}

const wholeNumber = (text: string | null): number | undefined =>
  text !== null && /^\d{1,16}$/.test(text) && Number.isSafeInteger(Number(text)) ? Number(text) : undefined;

const isPage = (headers: Headers, url: URL): boolean =>
  /^text\/html\b/i.test(headers.get('content-type') ?? '') && !/\.html?$/i.test(url.pathname);

/** `fetch` does not say why it failed, so that pages cannot spy; what it may have been, from where this runs. */
function reasonFor(url: URL): string {
  const page = typeof location === 'undefined' ? undefined : location;
  if (!page || page.origin === url.origin) return 'is there a network, and does the server run?';
  if (page.protocol === 'https:' && url.protocol === 'http:') return 'a page on https may not read from http';
  return `is there a network, and does ${url.host} let this page read it? It must send Access-Control-Allow-Origin, and a Content-Security-Policy of this page must name it in connect-src`;
}
