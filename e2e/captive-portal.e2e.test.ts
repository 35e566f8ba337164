import { readFileSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { createServer } from 'node:tls';
import { newRouterIdentity } from '@sallyport/seal';
import { createCleanup, echo, startTcpTarget } from '@sallyport/testkit';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { type Installation, newInstallation, newMachine, withPool } from './harness/installation.ts';
import { patience, until } from './harness/until.ts';

vi.setConfig(patience);

const cleanup = createCleanup();
let installation: Installation;
let tunnel: { readonly port: number; readonly log: string };

beforeAll(async () => {
  installation = await newInstallation(cleanup.later);
  const config = await withPool(installation);
  await newMachine(installation, 'echo', await startTcpTarget(cleanup.later, echo));
  await installation.startInstance('one', config).id();
  tunnel = (await installation.json(['tunnel', 'start', 'echo', '--background'])) as typeof tunnel;
  cleanup.later(async () => void (await installation.pam(['tunnel', 'stop', '--all'], { code: null })));
});
afterAll(() => cleanup.run());

interface Impostor {
  /** Connections that were made to it; whose key is another is left before the handshake is over. */
  dials(): number;
  /** Bytes that came inside TLS. */
  bytes(): number;
  stop(): Promise<void>;
}

/** Answers TLS where the router was, with a key of its own. */
async function startImpostor(port: number): Promise<Impostor> {
  const { certificatePem: cert, privateKeyPem: key } = await newRouterIdentity(['127.0.0.1'], Date.now());
  let [dials, bytes] = [0, 0];
  const sockets = new Set<Socket>();
  const server = createServer({ cert, key }, (socket) => {
    socket.on('error', () => undefined);
    socket.on('data', (chunk: Buffer) => {
      bytes += chunk.byteLength;
    });
  });
  server.on('connection', (socket: Socket) => {
    dials += 1;
    sockets.add(socket);
    socket.on('error', () => undefined);
  });
  server.on('tlsClientError', () => undefined);
  await new Promise<void>((resolve, reject) => server.once('error', reject).listen(port, '127.0.0.1', resolve));
  const stop = async (): Promise<void> => {
    const closed = new Promise<void>((resolve) => server.close(() => resolve()));
    for (const socket of sockets) socket.destroy();
    await closed;
  };
  cleanup.later(stop);
  return { dials: () => dials, bytes: () => bytes, stop };
}

/** An open connection through the tunnel; `say` resolves when its word came back, rejects when the connection ended. */
async function talker(): Promise<{ say(word: string): Promise<void>; leave(): void }> {
  const socket = connect(tunnel.port, '127.0.0.1');
  let heard = '';
  let over: string | null = null;
  socket.on('data', (chunk: Buffer) => {
    heard += chunk.toString();
  });
  socket.on('error', (error) => {
    over = error.message;
  });
  socket.on('close', () => {
    over ??= 'closed';
  });
  const say = async (word: string): Promise<void> => {
    socket.write(word);
    await until(`${word} comes back`, () => {
      if (over !== null) throw new Error(over);
      return heard.endsWith(word);
    });
  };
  await say('first');
  return { say, leave: () => socket.destroy() };
}

/** As `pam tunnel list` calls it. */
async function tunnelState(): Promise<string | undefined> {
  const { tunnels } = (await installation.json(['tunnel', 'list'])) as { tunnels: { port: number; state: string }[] };
  return tunnels.find(({ port }) => port === tunnel.port)?.state;
}
const told = (): number => readFileSync(tunnel.log, 'utf8').match(/does not hold the router’s key/g)?.length ?? 0;

test('a stream looks on past somebody who answers in the router’s place, and goes on when the router is back', async () => {
  const { say, leave } = await talker();
  await installation.router.kill();
  const impostor = await startImpostor(installation.router.port);
  await until('it was asked again and again', () => impostor.dials() > 5);
  await impostor.stop();
  await installation.restartRouter();
  await say('still here');
  leave();
  expect(impostor.bytes()).toBe(0);
});

test('a background tunnel says once that somebody else answers, sends him nothing, and comes back with the router', async () => {
  await until('it is ready', async () => (await tunnelState()) === 'ready');
  const before = told();
  await installation.router.kill();
  const impostor = await startImpostor(installation.router.port);
  await until('the tunnel says so', () => told() > before);
  const asked = impostor.dials();
  await until('it asks on', () => impostor.dials() > asked + 3);
  await impostor.stop();
  await installation.restartRouter();
  await until('the tunnel serves', async () => {
    const found = await talker().catch(() => null);
    found?.leave();
    return found !== null;
  });
  expect(told()).toBe(before + 1);
  expect(impostor.bytes()).toBe(0);
});
