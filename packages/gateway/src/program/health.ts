import { createHash } from 'node:crypto';
import { rmSync } from 'node:fs';
import { createServer as createHttpServer } from 'node:http';
import { createServer, connect, type Server } from 'node:net';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { PamError } from '@sallyport/protocol';
import { z } from 'zod';
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

/** Answers HTTP on 127.0.0.1: 200 when ready, else 503; the body is the same line. Only when a port was asked for. */
export async function serveHealthPort(port: number, health: () => Health): Promise<HealthServer> {
  const server = createHttpServer({ headersTimeout: 5_000, requestTimeout: 5_000 }, (_request, response) => {
    const now = health();
    response.writeHead(now.ready ? 200 : 503, { 'content-type': 'application/json', connection: 'close' });
    response.end(`${JSON.stringify(now)}\n`);
  });
  server.maxConnections = 64;
  await listening(server, `127.0.0.1:${port}`, () => server.listen(port, '127.0.0.1'));
  return {
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
