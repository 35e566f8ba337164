import { createHash } from 'node:crypto';
import { rmSync } from 'node:fs';
import { createServer as createHttpServer } from 'node:http';
import { type AddressInfo, createServer, connect, type Server } from 'node:net';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { PamError } from '@sallyport/protocol';
import { z } from 'zod';
import type { Page } from '../watch/index.ts';
import type { ListenPlace } from './listen-place.ts';
import { parseJson } from './private-file.ts';

/** What an instance says about itself; one JSON line per connection to its health socket. */
export const healthSchema = z.strictObject({
  /** Link up, admitted as slot or standby, trust log and keys verified. */
  ready: z.boolean(),
  membership: z.enum(['slot', 'standby', 'none']),
  instance: z.string().max(64),
  gateway: z.string().max(64),
  router: z.string().max(4_096),
  streams: z.int(),
  version: z.string().max(32),
  /** Why it is not ready, or why it waits as a standby; '' otherwise. */
  why: z.string().max(1_024),
});
export type Health = z.infer<typeof healthSchema>;

/** Unix socket paths end at 107 bytes; a longer one goes to the temporary folder, named by the state folder. */
const pathMaxBytes = 100;
const answerMaxBytes = 16_384;

function healthSocketPath(stateDir: string): string {
  const path = join(resolve(stateDir), 'health.sock');
  if (Buffer.byteLength(path) <= pathMaxBytes) return path;
  const name = createHash('sha256').update(path).digest('hex').slice(0, 24);
  return join(tmpdir(), `sallyport-${name}.sock`);
}

export interface HealthServer {
  close(): Promise<void>;
}

const closed = (server: Server): Promise<void> => new Promise((done) => server.close(() => done()));

function listening(server: Server, where: string, start: () => void): Promise<void> {
  const { promise, resolve: ready, reject } = Promise.withResolvers<void>();
  server.once('error', (reason: NodeJS.ErrnoException) => {
    const code = reason.code === 'EADDRINUSE' ? 'PAM_PORT_IN_USE' : 'PAM_CONFIG_INVALID';
    reject(new PamError(code, `the health check cannot listen on ${where}`, { cause: reason }));
  });
  server.once('listening', ready);
  start();
  return promise;
}

/** Answers on a unix socket in the state folder (only its owner reaches it). The folder is locked: a stale one is ours. */
export async function serveHealthSocket(stateDir: string, health: () => Health): Promise<HealthServer> {
  const path = healthSocketPath(stateDir);
  rmSync(path, { force: true });
  const server = createServer((socket) => {
    socket.on('error', () => socket.destroy());
    socket.end(`${JSON.stringify(health())}\n`);
  });
  await listening(server, path, () => server.listen({ path, readableAll: false, writableAll: false }));
  return { close: () => closed(server) };
}

const httpLimits = {
  maxHeaderSize: 8_192,
  headersTimeout: 5_000,
  requestTimeout: 5_000,
  connectionsCheckingInterval: 1_000,
} as const;

/**
 * Answers HTTP: what `page` has under the path, else 200 when ready and 503 when not, with the line of the unix socket.
 * Only where a port was asked for. Plain HTTP without credentials: nothing in it is secret.
 */
export async function serveHealthPort(
  place: ListenPlace,
  page: (target: string) => Page | null,
  health: () => Health,
): Promise<HealthServer & ListenPlace> {
  const server = createHttpServer(httpLimits, (request, response) => {
    request.resume();
    const now = health();
    const line: Page = { status: now.ready ? 200 : 503, type: 'application/json', body: `${JSON.stringify(now)}\n` };
    const { status, type, body } = page(request.url ?? '/') ?? line;
    response.writeHead(status, { 'content-type': type, 'x-content-type-options': 'nosniff', connection: 'close' });
    response.end(body);
  });
  server.maxConnections = 64;
  const { host } = place;
  await listening(server, `${host}:${place.port}`, () => server.listen(place.port, host));
  const { address, port } = server.address() as AddressInfo;
  return {
    host: address,
    port,
    close: async () => {
      server.closeAllConnections();
      await closed(server);
    },
  };
}

/**
 * Asks an instance on its unix socket.
 *
 * @returns null when nothing answers there. @throws PAM_BAD_REQUEST when something else does.
 */
export function askHealth(stateDir: string): Promise<Health | null> {
  const path = healthSocketPath(stateDir);
  const { promise, resolve: answer, reject } = Promise.withResolvers<Health | null>();
  const socket = connect({ path, timeout: 5_000 });
  let text = '';
  socket.setEncoding('utf8');
  socket.on('data', (chunk: string) => {
    text += chunk;
    if (text.length > answerMaxBytes) socket.destroy();
  });
  socket.on('timeout', () => socket.destroy());
  socket.on('error', () => answer(null));
  socket.on('close', () => {
    const parsed = healthSchema.safeParse(parseJson(text));
    if (parsed.success) answer(parsed.data);
    else if (text === '') answer(null);
    else reject(new PamError('PAM_BAD_REQUEST', `what answers at ${path} is not an instance`));
  });
  return promise;
}
