/** A static server on this machine alone, whose headers are part of what is tested. */
import { readFile } from 'node:fs/promises';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { extname, join, normalize } from 'node:path';

const TYPES: Readonly<Record<string, string>> = {
  '.html': 'text/html; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.wasm': 'application/wasm',
};
const ISOLATED = {
  'cross-origin-opener-policy': 'same-origin',
  'cross-origin-embedder-policy': 'require-corp',
};
const POLICY = "default-src 'self'; script-src 'self' 'wasm-unsafe-eval'; worker-src 'self'";

/** The same files under one path for each set of headers: `/strict/page.html`. */
export const VARIANTS = {
  plain: {},
  isolated: ISOLATED,
  /** What an application with a Content-Security-Policy must allow. */
  strict: { 'content-security-policy': POLICY },
  'strict-isolated': { ...ISOLATED, 'content-security-policy': POLICY },
  /** A policy that allows files of the page's own origin and nothing else: no WebAssembly either. */
  strictest: { 'content-security-policy': "default-src 'self'; script-src 'self'" },
} as const satisfies Readonly<Record<string, Readonly<Record<string, string>>>>;
export type Variant = keyof typeof VARIANTS;

export interface Server {
  readonly origin: string;
  /** What the page at `path` posts to /outcome/<id>, its `id` parameter. */
  outcome(id: string): Promise<string>;
  close(): void;
}

export async function serve(folder: string): Promise<Server> {
  const waiting = new Map<string, (body: string) => void>();
  const answer = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    const { pathname } = new URL(request.url ?? '/', 'http://localhost');
    if (request.method === 'POST') {
      const chunks: Buffer[] = [];
      for await (const chunk of request) chunks.push(chunk as Buffer);
      waiting.get(pathname)?.(Buffer.concat(chunks).toString());
      response.writeHead(204).end();
      return;
    }
    const [, variant, ...rest] = pathname.split('/');
    const type = TYPES[extname(pathname)];
    const headers = Object.hasOwn(VARIANTS, variant) ? VARIANTS[variant as Variant] : undefined;
    try {
      if (!headers || !type) throw new Error('not served');
      const body = await readFile(join(folder, normalize(`/${rest.join('/')}`)));
      response.writeHead(200, { ...headers, 'content-type': type, 'cache-control': 'no-store' }).end(body);
    } catch {
      response.writeHead(404).end();
    }
  };
  const server = createServer((request, response) => void answer(request, response));
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  return {
    origin: `http://127.0.0.1:${port}`,
    outcome: async (id) => new Promise((resolve) => waiting.set(`/outcome/${id}`, resolve)),
    close: () => void server.close(),
  };
}
