import { createHash, randomBytes } from 'node:crypto';
import { createServer, type Server, type Socket } from 'node:net';
import { createCleanup } from '@sallyport/testkit';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { type Installation, newInstallation, newMachine, withPool } from './harness/installation.ts';
import type { Instance } from './harness/instance.ts';
import { connectRaw, type RawConnection } from './harness/raw-connection.ts';
import type { Tunnel } from './harness/tunnel.ts';

import { patience, until } from './harness/until.ts';

vi.setConfig(patience);

const mebibyte = 1024 * 1024;
const cleanup = createCleanup();
let installation: Installation;
const instances: Instance[] = [];
let serve: (socket: Socket) => void = () => {};
let tunnel: Tunnel;

beforeAll(async () => {
  const target = await listen((socket) => serve(socket));
  installation = await newInstallation(cleanup.later);
  const config = await withPool(installation);
  await newMachine(installation, 'raw', target);
  for (const name of ['one', 'two', 'three']) instances.push(installation.startInstance(name, config));
  await Promise.all(instances.map((instance) => instance.id()));
  tunnel = await installation.openTunnel('raw');
});
afterAll(() => cleanup.run());

async function listen(onConnection: (socket: Socket) => void): Promise<{ host: string; port: number }> {
  const open = new Set<Socket>();
  const server: Server = createServer({ allowHalfOpen: true }, (socket) => {
    open.add(socket);
    socket.on('error', () => socket.destroy()).on('close', () => open.delete(socket));
    onConnection(socket);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  cleanup.later(() => {
    for (const socket of open) socket.destroy();
    server.close();
  });
  const address = server.address();
  return { host: '127.0.0.1', port: typeof address === 'object' && address !== null ? address.port : 0 };
}

function sha256(chunks: Iterable<Buffer>): string {
  const hash = createHash('sha256');
  for (const chunk of chunks) hash.update(chunk);
  return hash.digest('hex');
}

test('256 MiB come down a tunnel byte for byte, and end with an end', async () => {
  const chunk = randomBytes(mebibyte);
  const sent = sha256(Array.from({ length: 256 }, () => chunk));
  serve = (socket) => {
    let left = 256;
    const push = (): void => {
      while (left > 0) {
        left -= 1;
        if (!socket.write(chunk)) return;
      }
      socket.off('drain', push).end();
    };
    socket.on('drain', push);
    push();
  };
  const connection = await connectRaw(tunnel.port);
  const hash = createHash('sha256');
  let bytes = 0;
  connection.socket.removeAllListeners('data').on('data', (data: Buffer) => {
    bytes += data.byteLength;
    hash.update(data);
  });
  expect(await connection.ended).toBe('end');
  expect(bytes).toBe(256 * mebibyte);
  expect(hash.digest('hex')).toBe(sent);
  connection.socket.end();
});

test('each direction ends by itself: the client first, then the target', async () => {
  const question = randomBytes(3 * mebibyte);
  // The target answers only after the end of the question: an end that is not passed on would wait for ever.
  serve = (socket) => {
    const chunks: Buffer[] = [];
    socket.on('data', (data: Buffer) => void chunks.push(data));
    socket.on('end', () => socket.end(`${sha256(chunks)}\n`));
  };
  const connection = await connectRaw(tunnel.port);
  connection.socket.end(question);
  expect(await connection.ended).toBe('end');
  expect(connection.received().toString()).toBe(`${sha256([question])}\n`);
});

test('each direction ends by itself: the target first, then the client', async () => {
  const said = new Promise<string>((resolve) => {
    serve = (socket) => {
      const chunks: Buffer[] = [];
      socket.on('data', (data: Buffer) => void chunks.push(data));
      socket.on('end', () => resolve(sha256(chunks)));
      socket.end('I have nothing more to say\n');
    };
  });
  const connection = await connectRaw(tunnel.port);
  expect(await connection.ended).toBe('end');
  expect(connection.received().toString()).toBe('I have nothing more to say\n');
  const late = randomBytes(3 * mebibyte);
  connection.socket.end(late);
  expect(await said).toBe(sha256([late]));
});

interface Served {
  readonly connection: RawConnection;
  readonly by: Instance;
}

/** Opens connections, one after the other, until each instance serves one at least: whose turn it is differs on a busy machine. */
async function oneOnEach(isThere: (received: number) => boolean): Promise<readonly Served[]> {
  const opened: Served[] = [];
  while (new Set(opened.map(({ by }) => by)).size < instances.length) {
    const before = instances.map((one) => one.opened().length);
    const connection = await connectRaw(tunnel.port);
    await until('it is served', () => isThere(connection.received().byteLength));
    const by = await until('its instance says so', () =>
      instances.find((one, at) => one.opened().length > (before[at] ?? 0)),
    );
    opened.push({ connection, by });
  }
  return opened;
}

test('a stream on an instance that dies ends as soon as its link is missed with ECONNRESET, never with an end', async () => {
  const chunk = Buffer.alloc(64 * 1024, 0x61);
  serve = (socket) => {
    const push = (): void => {
      while (!socket.destroyed && socket.write(chunk));
    };
    socket.on('drain', push);
    push();
  };
  // One in full flow and one idle on each instance.
  const flow = serve;
  serve = (socket) => void socket.write('hello\n');
  const idle = await oneOnEach((received) => received > 0);
  serve = flow;
  const flowing = await oneOnEach((received) => received > mebibyte);
  serve = (socket) => void socket.write('hello\n');

  const [victim] = instances;
  await victim?.kill();
  const ofVictim = [...flowing, ...idle].filter(({ by }) => by === victim);
  for (const { connection } of ofVictim) expect(await connection.ended).toBe('ECONNRESET');

  // The others' streams run on, and new connections find an instance.
  const others = idle.filter(({ by }) => by !== victim);
  expect(others.map(({ connection: { socket } }) => socket.destroyed || socket.errored)).toEqual(
    others.map(() => null),
  );
  const fresh = await connectRaw(tunnel.port);
  await until('a new connection is served', () => fresh.received().byteLength > 0);
  for (const { socket } of [...flowing, ...idle].map(({ connection }) => connection)) socket.destroy();
  fresh.socket.destroy();
});

test('a reset by the target is a reset for the client, and one by the client a reset for the target', async () => {
  serve = (socket) => void socket.once('data', () => socket.resetAndDestroy());
  const first = await connectRaw(tunnel.port);
  first.socket.write('x');
  expect(await first.ended).toBe('ECONNRESET');

  const atTarget = new Promise<string>((resolve) => {
    serve = (socket) => {
      socket.write('hello\n');
      socket.once('error', (error: NodeJS.ErrnoException) => resolve(error.code ?? ''));
      socket.once('end', () => resolve('end'));
    };
  });
  const second = await connectRaw(tunnel.port);
  await until('greeted', () => second.received().byteLength > 0);
  second.socket.resetAndDestroy();
  expect(await atTarget).toBe('ECONNRESET');
});
