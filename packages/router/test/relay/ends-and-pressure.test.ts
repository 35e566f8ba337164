import { spawn } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import type { Socket } from 'node:net';
import { createInterface } from 'node:readline';
import { connectLeg, decodeTicket } from '@sallyport/stream';
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest';
import { type MatchEnd, type Relay, startRelay } from '../../src/relay/index.ts';
import { type Ends, makeEnds, never, newTicket, openPipe, type Pipe, startTarget } from './pipe.ts';

let relay: Relay;
let ends: Ends;
const ended = new Map<string, MatchEnd>();
const targets: { close: () => void }[] = [];

beforeAll(async () => {
  relay = await startRelay({
    host: '127.0.0.1',
    port: 0,
    log: () => undefined,
    events: { onTls: (waiting) => waiting.refuse(), onEnded: (match, { why }) => void ended.set(match, why) },
    // Long enough that ends of this process, which read whenever they run, are not taken for legs that read nothing.
    limits: { noProgressMs: 4_000, sweepMs: 100 },
  });
  ends = await makeEnds();
});
afterEach(() => {
  for (const target of targets.splice(0)) target.close();
});
afterAll(() => relay.close());

async function pipeTo(
  serve: (socket: Socket) => void,
  more: Partial<Parameters<typeof openPipe>[0]> = {},
): Promise<Pipe> {
  const target = await startTarget(serve);
  targets.push(target);
  return openPipe({ relay, ends, targetPort: target.port, ...more });
}

/** How a reader sees the end: `clean`, or the code of the error. */
async function endOf(socket: Socket): Promise<string> {
  const { promise, resolve } = Promise.withResolvers<string>();
  socket.on('error', (reason: NodeJS.ErrnoException) => resolve(reason.code ?? reason.message));
  socket.on('end', () => resolve('clean'));
  socket.on('close', () => resolve('closed'));
  socket.resume();
  return promise;
}

test('tells a reset of the target from its end', async () => {
  const reset = await pipeTo((socket) => socket.once('data', () => socket.resetAndDestroy()));
  const end = await pipeTo((socket) => socket.once('data', () => socket.end('bye')));
  const seen = [endOf(reset.user), endOf(end.user)];
  reset.user.write('x');
  end.user.write('x');
  expect(await Promise.all(seen)).toEqual(['ECONNRESET', 'clean']);
  expect(await reset.clientOutcome).toMatchObject({ reason: 'target-reset', error: { code: 'PAM_TARGET_RESET' } });
  expect(await reset.instanceOutcome).toMatchObject({ reason: 'target-reset' });
  end.user.end();
  expect(await end.clientOutcome).toMatchObject({ reason: 'target-closed', error: null });
});

test("tells the target of a reset of the user's connection", async () => {
  const seen = Promise.withResolvers<string>();
  const pipe = await pipeTo((socket) => void endOf(socket).then(seen.resolve));
  pipe.user.write('x');
  pipe.user.resetAndDestroy();
  expect(await seen.promise).toBe('ECONNRESET');
  expect(await pipe.instanceOutcome).toMatchObject({ reason: 'client-reset' });
});

test.each([
  ['the router cuts the match', (pipe: Pipe) => relay.cut(pipe.match)],
  ['the leg of the client dies', (pipe: Pipe) => (pipe.clientLeg as Socket).resetAndDestroy()],
  ['the leg of the instance dies', (pipe: Pipe) => pipe.instanceLeg.resetAndDestroy()],
  ['the leg of the instance ends without a word', (pipe: Pipe) => pipe.instanceLeg.destroy()],
])('a transfer cut in the middle is an error for both local ends: %s', async (_, cut) => {
  const targetSaw = Promise.withResolvers<string>();
  const pipe = await pipeTo((socket) => {
    void endOf(socket).then(targetSaw.resolve);
    const push = (): void => {
      while (!socket.destroyed && socket.write(Buffer.alloc(65_536)));
    };
    socket.on('drain', push);
    push();
  });
  const userSaw = endOf(pipe.user);
  await once(pipe.user, 'data');
  cut(pipe);
  expect(await userSaw).toBe('ECONNRESET');
  expect(await targetSaw.promise).toBe('ECONNRESET');
  expect(await pipe.clientOutcome).toMatchObject({ reason: 'carrier-lost', error: { code: 'PAM_STREAM_LOST' } });
  expect(await pipe.instanceOutcome).toMatchObject({ reason: 'carrier-lost' });
});

test('a stop of either side names the end on both and resets the local sockets', async () => {
  const stop = new AbortController();
  const pipe = await pipeTo((socket) => socket.resume(), { instanceSignal: stop.signal });
  const userSaw = endOf(pipe.user);
  stop.abort('deadline');
  expect(await userSaw).toBe('ECONNRESET');
  expect(await pipe.clientOutcome).toMatchObject({ reason: 'deadline', error: { code: 'PAM_SESSION_ENDED' } });
  expect(await pipe.instanceOutcome).toMatchObject({ reason: 'deadline', error: null });
});

test('pipelined requests whose answers are fifty times as long complete', async () => {
  const asked = 4 * 1_048_576;
  const factor = 50;
  const pipe = await pipeTo((socket) => {
    // A server that does not read while its own answers wait.
    socket.on('data', (bytes: Buffer) => {
      let isFree = true;
      for (let i = 0; i < factor; i++) isFree = socket.write(bytes);
      if (isFree) return;
      socket.pause();
      socket.once('drain', () => socket.resume());
    });
    socket.on('end', () => socket.end());
  });
  let got = 0;
  pipe.user.on('data', (bytes: Buffer) => {
    got += bytes.length;
  });
  pipe.user.end(Buffer.alloc(asked, 7));
  await once(pipe.user, 'end');
  expect(got).toBe(asked * factor);
  expect(await pipe.clientOutcome).toMatchObject({ bytesUp: asked, bytesDown: asked * factor, error: null });
});

test('bytes arrive as they were sent at readers that stop and go, both ways at once', async () => {
  // Buffers are used again as soon as the kernel took them: a reader that lags must not see later bytes in earlier ones.
  const block = randomBytes(1_048_576 + 13);
  const blocks = 24;
  const wanted = createHash('sha256');
  for (let i = 0; i < blocks; i++) wanted.update(block);
  const hex = wanted.digest('hex');
  const send = async (socket: Socket): Promise<void> => {
    for (let i = 0; i < blocks; i++) if (!socket.write(block)) await once(socket, 'drain');
    socket.end();
  };
  const readHaltingly = async (socket: Socket): Promise<string> => {
    const got = createHash('sha256');
    let reads = 0;
    // Long enough that every buffer on the way is full and writes are left half done.
    await new Promise((resolve) => setTimeout(resolve, 400));
    for await (const bytes of socket) {
      got.update(bytes as Buffer);
      if (reads++ % 40 === 0) await new Promise((resolve) => setTimeout(resolve, 5));
    }
    return got.digest('hex');
  };
  const targetGot = Promise.withResolvers<string>();
  const pipe = await pipeTo((socket) => {
    void send(socket);
    void readHaltingly(socket).then(targetGot.resolve);
  });
  void send(pipe.user);
  expect(await readHaltingly(pipe.user)).toBe(hex);
  expect(await targetGot.promise).toBe(hex);
  expect((await pipe.clientOutcome).error).toBeNull();
});

test('50 readers that stopped leave the relay below 64 MiB of growth, and a moving stream moving', async () => {
  const memory = (): number =>
    Number(/^VmRSS:\s+(\d+)/m.exec(readFileSync(`/proc/${relay.pid}/status`, 'utf8'))?.[1]) * 1_024;
  const flood = await startTarget((socket) => {
    const push = (): void => {
      while (!socket.destroyed && socket.write(Buffer.alloc(65_536)));
    };
    socket.on('drain', push);
    push();
  });
  targets.push(flood);
  const before = memory();
  // Nobody reads `user`: its window fills, acknowledgements stop, the carrier is still read by the client.
  const stopped = await Promise.all(
    Array.from({ length: 50 }, () => openPipe({ relay, ends, targetPort: flood.port, windowBytes: 262_144 })),
  );
  // Raw legs whose far end does not read at all: what a hostile or stopped process looks like to the relay.
  const frozen = await Promise.all(Array.from({ length: 25 }, (_, i) => frozenPair(`frozen${i}`)));
  const moving = await pipeTo((socket) => socket.on('data', (bytes) => socket.write(bytes)));
  for (let i = 0; i < 50; i++) {
    moving.user.write(Buffer.alloc(65_536));
    for (let got = 0; got < 65_536; ) got += ((await once(moving.user, 'data')) as [Buffer])[0].length;
  }
  expect(memory() - before).toBeLessThan(64 * 1_048_576);
  // Legs that take nothing are cut; those of live ends, whose carriers are always read, are not.
  await expect.poll(() => [...ended].filter(([, why]) => why === 'no-progress').length).toBe(25);
  expect(stopped.filter(({ match }) => ended.has(match))).toHaveLength(0);
  for (const { user } of [...stopped, moving]) user.resetAndDestroy();
  for (const socket of frozen.flat()) socket.destroy();
});

/** Two matched raw legs: one floods, the other never reads. */
async function frozenPair(match: string): Promise<Socket[]> {
  const [client, instance] = [newTicket(), newTicket()];
  await relay.expect([
    { ticket: client, role: 'client', match },
    { ticket: instance, role: 'instance', match },
  ]);
  const address = { host: '127.0.0.1', port: relay.port };
  const legs = await Promise.all([
    connectLeg({ address, role: 'client', ticket: decodeTicket(client), signal: never }),
    connectLeg({ address, role: 'instance', ticket: decodeTicket(instance), signal: never }),
  ]);
  const push = (): void => {
    while (!legs[1].destroyed && legs[1].write(Buffer.alloc(65_536)));
  };
  legs[1].on('drain', push);
  push();
  return legs;
}

test('with 256 descriptors a leg too many is told BUSY, and streams that run go on', async () => {
  const child = spawn(
    'sh',
    ['-c', 'ulimit -n 256; exec "$0" "$1"', process.execPath, new URL('./relay-on-stdio.ts', import.meta.url).pathname],
    {
      stdio: ['pipe', 'pipe', 'inherit'],
    },
  );
  const lines = createInterface(child.stdout)[Symbol.asyncIterator]();
  const say = async (order: object): Promise<Record<string, number>> => {
    child.stdin.write(`${JSON.stringify(order)}\n`);
    return JSON.parse(String((await lines.next()).value)) as Record<string, number>;
  };
  const port = (JSON.parse(String((await lines.next()).value)) as { port: number }).port;
  const remote = { port, expect: async (tickets: object) => void (await say({ tickets })) } as unknown as Relay;
  const target = await startTarget((socket) => socket.on('data', (bytes) => socket.write(bytes)));
  targets.push(target);
  const running = await openPipe({ relay: remote, ends, targetPort: target.port });
  const statuses: string[] = [];
  const held: Socket[] = [];
  for (let i = 0; i < 190; i++) {
    const client = newTicket();
    await remote.expect([{ ticket: client, role: 'client', match: `c${i}` }]);
    const leg = connectLeg({
      address: { host: '127.0.0.1', port },
      role: 'client',
      ticket: decodeTicket(client),
      signal: never,
    });
    leg.then(
      (socket) => held.push(socket),
      (reason: { detail?: { status?: string } }) => statuses.push(reason.detail?.status ?? ''),
    );
  }
  await expect.poll(() => statuses.filter((status) => status === 'busy').length).toBeGreaterThan(10);
  running.user.write('still here');
  expect(String((await once(running.user, 'data'))[0])).toBe('still here');
  running.user.destroy();
  for (const socket of held) socket.destroy();
  child.stdin.end();
  await once(child, 'exit');
});
