import { createServer, type IncomingHttpHeaders, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Later } from '../process/cleanup.ts';

/** How the receiver treats a message: the last seven are faults that a sender must bear. */
export type WebhookMode =
  | 'takes'
  | 'fails'
  | 'busy'
  | 'redirects'
  | 'silent'
  | 'endless'
  | 'large-headers'
  | 'hangs-up';

/** A receiver of webhooks that keeps what came, and behaves as told. */
export interface WebhookReceiver {
  readonly url: string;
  readonly posts: readonly { readonly path: string; readonly headers: IncomingHttpHeaders; readonly body: string }[];
  behave(mode: WebhookMode): void;
  /** Connections that are open now. */
  openCount(): number;
}

const lastsMs = 5_000;

function answer(mode: WebhookMode, response: ServerResponse): void {
  switch (mode) {
    case 'takes':
      return void response.writeHead(204).end();
    case 'fails':
      return void response.writeHead(500).end('the receiver is broken');
    case 'busy':
      return void response.writeHead(429, { 'retry-after': String(lastsMs / 1_000) }).end();
    case 'redirects':
      return void response.writeHead(307, { location: '/elsewhere' }).end();
    case 'silent':
      return;
    case 'endless': {
      response.writeHead(200, { 'content-type': 'text/plain' });
      const chunk = Buffer.alloc(16_384, 0x61);
      const push = (): void => {
        while (!response.destroyed && response.write(chunk));
      };
      response.on('drain', push);
      return push();
    }
    case 'large-headers':
      return void response.writeHead(200, { 'x-large': 'a'.repeat(60_000) }).end();
    case 'hangs-up':
      return void response.destroy();
    default:
      return mode satisfies never;
  }
}

export async function startWebhookReceiver(later: Later): Promise<WebhookReceiver> {
  const posts: WebhookReceiver['posts'][number][] = [];
  let mode: WebhookMode = 'takes';
  let open = 0;
  const server = createServer((request, response) => {
    let body = '';
    request.setEncoding('utf8');
    request.on('data', (chunk: string) => void (body += chunk));
    request.on('end', () => {
      posts.push({ path: request.url ?? '', headers: request.headers, body });
      answer(mode, response);
    });
  });
  server.on('connection', (socket) => {
    open += 1;
    socket.on('error', () => socket.destroy());
    socket.once('close', () => void (open -= 1));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  later(async () => {
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  });
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/hook/secret-path`,
    posts,
    behave: (next) => void (mode = next),
    openCount: () => open,
  };
}
