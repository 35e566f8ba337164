import { createServer } from 'node:http';
import type { Later } from '../process/cleanup.ts';

/** A small HTTP server that tells each caller over which connection it came. */
export interface HttpTarget {
  readonly host: string;
  readonly port: number;
  /** Port of the peer of every connection ever accepted, oldest first. */
  readonly accepted: readonly number[];
  readonly requests: readonly { readonly method: string; readonly path: string; readonly connection: number }[];
  openCount(): number;
  close(): Promise<void>;
}

const maxBytes = 2 ** 31;

/**
 * `GET /bytes/N` answers N bytes, `POST /length` the length of the body, anything else
 * `{"connection":7,"connections":7,"request":9}`: the number of this connection, how many there were, which request.
 */
export async function startHttpTarget(later: Later, host = '127.0.0.1'): Promise<HttpTarget> {
  const accepted: number[] = [];
  const requests: { method: string; path: string; connection: number }[] = [];
  const numbers = new WeakMap<object, number>();
  let open = 0;
  const server = createServer((request, response) => {
    const connection = numbers.get(request.socket) ?? 0;
    const path = request.url ?? '/';
    requests.push({ method: request.method ?? '', path, connection });
    const [, size] = /^\/bytes\/(\d{1,10})$/.exec(path) ?? [];
    if (size !== undefined) {
      let left = Math.min(Number(size), maxBytes);
      response.writeHead(200, { 'content-type': 'application/octet-stream', 'content-length': left });
      const chunk = Buffer.alloc(64 * 1024, 0x63);
      const push = (): void => {
        while (left > 0) {
          const part = chunk.subarray(0, Math.min(left, chunk.byteLength));
          left -= part.byteLength;
          if (!response.write(part)) return;
        }
        response.off('drain', push).end();
      };
      response.on('drain', push);
      push();
      return;
    }
    let length = 0;
    const count = requests.length;
    request.on('data', (chunk: Buffer) => void (length += chunk.byteLength));
    request.on('end', () => {
      response.writeHead(200, { 'content-type': 'application/json' });
      const answer = path === '/length' ? { length } : { connection, connections: accepted.length, request: count };
      response.end(`${JSON.stringify(answer)}\n`);
    });
  });
  server.on('connection', (socket) => {
    accepted.push(socket.remotePort ?? 0);
    numbers.set(socket, accepted.length);
    open += 1;
    socket.once('close', () => void (open -= 1));
  });
  await new Promise<void>((resolve, reject) => server.once('error', reject).listen(0, host, resolve));
  const address = server.address();
  const close = (): Promise<void> =>
    new Promise((resolve) => {
      server.closeAllConnections();
      server.close(() => resolve());
    });
  later(close);
  return {
    host,
    port: address !== null && typeof address === 'object' ? address.port : 0,
    accepted,
    requests,
    openCount: () => open,
    close,
  };
}
