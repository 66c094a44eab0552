/** A web server on this machine alone, which remembers what it was asked and may be made to misbehave. */
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';

export type Misbehaviour = (request: IncomingMessage, response: ServerResponse, range: Range) => void;
export interface Range {
  readonly from: number;
  /** Included. */
  readonly to: number;
  readonly text: string;
}

export interface TestServer {
  readonly origin: string;
  /** By path; may be changed at any time. */
  readonly files: Map<string, Uint8Array>;
  /** What was asked, in order: `GET /m/model.safetensors 0-1023`. */
  readonly asked: string[];
  /** Bodies that ended because the client went away. */
  readonly dropped: string[];
  /** Sent with every answer of `proper` and `whole`; the version of the files. */
  headers: Record<string, string>;
  /** What answers: by default `proper`. */
  answer: Misbehaviour;
  /** Answers ranges as RFC 9110 says. */
  readonly proper: Misbehaviour;
  /** Knows nothing of ranges. */
  readonly whole: Misbehaviour;
  close(): Promise<void>;
}

export async function serveFiles(): Promise<TestServer> {
  const sockets = new Set<Socket>();
  const http = createServer((request, response) => {
    const { pathname, search } = new URL(request.url!, 'http://x');
    const text = (request.headers.range ?? '').replace('bytes=', '');
    const [from, to] = text.split('-').map(Number);
    server.asked.push(`${request.method} ${pathname}${search} ${text}`);
    response.on('close', () => response.writableFinished || server.dropped.push(pathname));
    server.answer(request, response, { from, to, text });
  });
  http.on('connection', (socket) => {
    sockets.add(socket);
    socket.on('close', () => sockets.delete(socket));
  });
  const found = (request: IncomingMessage, response: ServerResponse): Uint8Array | undefined => {
    const bytes = server.files.get(new URL(request.url!, 'http://x').pathname);
    if (!bytes) response.writeHead(404, { 'content-type': 'text/plain' }).end('not here');
    return bytes;
  };
  const server: TestServer = {
    origin: '',
    files: new Map(),
    asked: [],
    dropped: [],
    headers: { etag: '"1"' },
    proper(request, response, { from, to }) {
      const bytes = found(request, response);
      if (!bytes) return;
      const size = bytes.byteLength;
      if (from >= size) {
        response.writeHead(416, { ...server.headers, 'content-range': `bytes */${size}` }).end();
        return;
      }
      const part = bytes.subarray(from, Math.min(to + 1, size));
      const range = `bytes ${from}-${from + part.byteLength - 1}/${size}`;
      response
        .writeHead(206, {
          ...server.headers,
          'content-range': range,
          'content-length': part.byteLength,
        })
        .end(part);
    },
    whole(request, response) {
      const bytes = found(request, response);
      if (bytes)
        response.writeHead(200, { ...server.headers, 'content-length': bytes.byteLength }).end(bytes);
    },
    answer: (...args) => server.proper(...args),
    async close() {
      for (const socket of sockets) socket.destroy();
      await new Promise((resolve) => http.close(resolve));
    },
  };
  await new Promise<void>((resolve) => http.listen(0, '127.0.0.1', resolve));
  return Object.assign(server, { origin: `http://127.0.0.1:${(http.address() as AddressInfo).port}` });
}
