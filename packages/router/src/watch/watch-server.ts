import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { metricsContentType, PamError } from '@sallyport/protocol';
import type { NotReady } from './readiness.ts';

/** What the endpoints answer. */
export interface WatchAnswers {
  readonly version: string;
  reasons(): Promise<readonly NotReady[]>;
  metrics(): Promise<string>;
}

export interface WatchPlace {
  readonly host: string;
  /** 0 = any free port. */
  readonly port: number;
}

export interface WatchServer extends WatchPlace {
  close(): Promise<void>;
}

const limits = { connections: 64, headerBytes: 8_192, requestMs: 5_000, keepAliveMs: 65_000 } as const;

function send(response: ServerResponse, status: number, type: string, body: string): void {
  response.writeHead(status, {
    'content-type': type,
    'content-length': Buffer.byteLength(body),
    'cache-control': 'no-store',
    'x-content-type-options': 'nosniff',
    'cross-origin-resource-policy': 'same-origin',
  });
  response.end(body);
}

function sendJson(response: ServerResponse, status: number, body: unknown): void {
  send(response, status, 'application/json', `${JSON.stringify(body)}\n`);
}

async function answer(answers: WatchAnswers, request: IncomingMessage, response: ServerResponse): Promise<void> {
  request.resume(); // a body is of no interest; `requestTimeout` bounds it
  if (request.method !== 'GET' && request.method !== 'HEAD') return sendJson(response, 405, { error: 'GET only' });
  switch (request.url?.split('?')[0]) {
    case '/livez':
      return sendJson(response, 200, { live: true, version: answers.version });
    case '/readyz': {
      const reasons = await answers.reasons();
      return sendJson(response, reasons.length === 0 ? 200 : 503, { ready: reasons.length === 0, reasons });
    }
    case '/metrics':
      return send(response, 200, metricsContentType, await answers.metrics());
    default:
      return sendJson(response, 404, { error: 'there is /livez, /readyz and /metrics' });
  }
}

/**
 * Serves `/livez`, `/readyz` and `/metrics` over plain HTTP, to whoever reaches the address: nothing in them is secret,
 * and nothing can be changed. Few connections, small heads, no bodies.
 *
 * @throws PAM_PORT_IN_USE, PAM_CONFIG_INVALID
 */
export async function serveWatch(
  place: WatchPlace,
  answers: WatchAnswers,
  failed: (error: unknown) => void,
): Promise<WatchServer> {
  const { headerBytes, requestMs, keepAliveMs } = limits;
  const server = createServer(
    {
      maxHeaderSize: headerBytes,
      headersTimeout: requestMs,
      requestTimeout: requestMs,
      keepAliveTimeout: keepAliveMs,
      connectionsCheckingInterval: 1_000,
    },
    (request, response) => {
      answer(answers, request, response).catch((error: unknown) => {
        failed(error);
        if (!response.headersSent) sendJson(response, 500, { error: 'the router failed to answer' });
      });
    },
  );
  server.maxConnections = limits.connections;
  const { promise: listening, resolve, reject } = Promise.withResolvers<void>();
  server.once('error', (reason: NodeJS.ErrnoException) => {
    const where = `${place.host}:${place.port}`;
    const isTaken = reason.code === 'EADDRINUSE';
    const detail = { flag: 'metrics-listen' };
    const message = isTaken ? `port ${where} for metrics is taken` : `metrics cannot be served on ${where}`;
    const remedy = 'Give another HOST:PORT with --metrics-listen (port 0 = any free one), or stop what holds it.';
    reject(
      new PamError(isTaken ? 'PAM_PORT_IN_USE' : 'PAM_CONFIG_INVALID', message, { cause: reason, remedy, detail }),
    );
  });
  server.listen({ host: place.host, port: place.port, backlog: limits.connections }, resolve);
  await listening;
  server.on('error', failed);
  const { address, port } = server.address() as AddressInfo;
  return {
    host: address,
    port,
    close: async () => {
      const closed = new Promise((done) => server.close(done));
      server.closeAllConnections();
      await closed;
    },
  };
}
