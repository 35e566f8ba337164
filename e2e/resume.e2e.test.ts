import { createHash, randomBytes } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { createServer, type Socket } from 'node:net';
import { join } from 'node:path';
import {
  createCleanup,
  descendantsOf,
  requireTarget,
  runChild,
  startChild,
  startPostgres,
  startSshd,
  whyNoPostgres,
} from '@sallyport/testkit';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { type Installation, newInstallation, newMachine, withPool } from './harness/installation.ts';
import type { Instance } from './harness/instance.ts';
import { member, members } from './harness/json.ts';
import { connectRaw } from './harness/raw-connection.ts';
import type { Tunnel } from './harness/tunnel.ts';
import { longMs, patience, until } from './harness/until.ts';

vi.setConfig(patience);

const mebibyte = 1024 * 1024;
const megabytes = 256;
const cleanup = createCleanup();
const noPostgres = await whyNoPostgres();
const noSsh = [requireTarget('sshd'), requireTarget('ssh')].find((one) => one.isMissing);
if (noPostgres !== null) console.info(`skipped: psql and pgbench while the router dies: ${noPostgres}`);
if (noSsh) console.info(`skipped: scp while the router dies: ${noSsh.reason}`);

let installation: Installation;
let instances: readonly Instance[] = [];
let tunnel: Tunnel;
let postgresPort = 0;
let sshd: Awaited<ReturnType<typeof startSshd>> | null = null;
const chunk = randomBytes(mebibyte);
const wanted = createHash('sha256');
for (let n = 0; n < megabytes; n += 1) wanted.update(chunk);
const wantedHash = wanted.digest('hex');

/** Says `D`: sends all of it. Says `U`: takes all of it and answers with its hash. Else echoes. */
function serve(socket: Socket): void {
  socket.on('error', () => socket.destroy());
  socket.once('data', (first: Buffer) => {
    if (first[0] === 0x44) return sendAll(socket);
    if (first[0] !== 0x55) {
      socket.write(first);
      return void socket.pipe(socket);
    }
    const hash = createHash('sha256').update(first.subarray(1));
    socket.on('data', (more: Buffer) => hash.update(more));
    socket.on('end', () => socket.end(hash.digest('hex')));
  });
}

function sendAll(socket: Socket): void {
  let left = megabytes;
  const push = (): void => {
    while (left > 0) {
      left -= 1;
      if (!socket.write(chunk)) return;
    }
    socket.off('drain', push).end();
  };
  socket.on('drain', push);
  push();
}

beforeAll(async () => {
  const server = createServer({ allowHalfOpen: true }, serve);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  cleanup.later(() => void server.close());
  const address = server.address();
  const port = typeof address === 'object' && address !== null ? address.port : 0;
  installation = await newInstallation(cleanup.later);
  const config = await withPool(installation);
  await newMachine(installation, 'raw', { host: '127.0.0.1', port });
  if (noPostgres === null) {
    const postgres = await startPostgres();
    cleanup.later(() => postgres.stop());
    postgresPort = postgres.port;
    await newMachine(installation, 'orders', { host: '127.0.0.1', port: postgresPort });
  }
  if (!noSsh) {
    sshd = await startSshd(cleanup.later);
    await newMachine(installation, 'shell', sshd);
  }
  instances = ['one', 'two'].map((name) => installation.startInstance(name, config));
  await Promise.all(instances.map((instance) => instance.id()));
  tunnel = await installation.openTunnel('raw');
});
afterAll(() => cleanup.run());

/** Downloads all of it; `reached` resolves once a quarter is there. */
async function download(): Promise<{ reached: Promise<void>; hash: Promise<string> }> {
  const connection = await connectRaw(tunnel.port);
  const hash = createHash('sha256');
  const reached = Promise.withResolvers<void>();
  let bytes = 0;
  connection.socket.removeAllListeners('data').on('data', (data: Buffer) => {
    hash.update(data);
    bytes += data.byteLength;
    if (bytes > (megabytes / 4) * mebibyte) reached.resolve();
  });
  connection.socket.write('D');
  const ended = connection.ended.then((end) => {
    connection.socket.end();
    return end === 'end' && bytes === megabytes * mebibyte ? hash.digest('hex') : `${end} after ${bytes} bytes`;
  });
  return { reached: reached.promise, hash: ended };
}

async function upload(): Promise<{ reached: Promise<void>; hash: Promise<string> }> {
  const connection = await connectRaw(tunnel.port);
  const reached = Promise.withResolvers<void>();
  const { socket } = connection;
  socket.write('U');
  let left = megabytes;
  const push = (): void => {
    while (left > 0) {
      left -= 1;
      if (left < (megabytes * 3) / 4) reached.resolve();
      if (!socket.write(chunk)) return;
    }
    socket.off('drain', push).end();
  };
  socket.on('drain', push);
  push();
  return {
    reached: reached.promise,
    hash: connection.ended.then((end) => (end === 'end' ? connection.received().toString() : end)),
  };
}

interface Work {
  /** It is under way. */
  readonly reached: Promise<unknown>;
  /** Called when the router is back; resolves when it ended as it should. */
  finish(): Promise<void>;
}

/** An idle transaction, and eight clients at work. */
async function databaseWork(): Promise<readonly Work[]> {
  if (noPostgres !== null) return [];
  const orders = await installation.openTunnel('orders');
  const env = {
    PGHOST: orders.host,
    PGPORT: String(orders.port),
    PGUSER: 'postgres',
    PGPASSWORD: 'test-only',
    PGDATABASE: 'postgres',
  };
  expect(await runChild('pgbench', ['-i', '-s', '1', '-q'], { env })).toMatchObject({ code: 0 });
  const psql = startChild(cleanup.later, 'psql', ['-XAtq', '-v', 'ON_ERROR_STOP=1'], { env });
  psql.write("create table kept (n int); begin; insert into kept values (1); select 'inside';\n");
  const bench = startChild(cleanup.later, 'pgbench', ['-n', '-c', '8', '-j', '1', '-T', '15', '-P', '1'], { env });
  return [
    {
      reached: psql.waitForLine(/^inside$/, { withinMs: longMs }),
      finish: async () => {
        psql.write('commit; select count(*) from kept;\n');
        psql.closeStdin();
        expect(await psql.exited).toMatchObject({ code: 0 });
        expect(psql.stdout()).toMatch(/^1$/m);
      },
    },
    {
      reached: bench.waitForLine(/^progress: /, { from: 'stderr', withinMs: longMs }),
      finish: async () => {
        expect({ ...(await bench.exited), text: bench.stderr() }).toMatchObject({ code: 0 });
        expect(bench.stdout()).toMatch(/number of failed transactions: 0 /);
      },
    },
  ];
}

async function copyWork(): Promise<readonly Work[]> {
  if (sshd === null) return [];
  const shell = await installation.openTunnel('shell');
  const [from, to] = [join(installation.folder, 'from'), join(installation.folder, 'to')];
  writeFileSync(from, randomBytes(64 * mebibyte));
  const target = `${sshd.user}@${shell.host}:${to}`;
  // 64 MiB at 8 MiB a second: under way for as long as the router is away.
  const scp = startChild(cleanup.later, 'scp', [
    ...sshd.clientOptions(),
    ...['-q', '-l', '65536', '-P', String(shell.port), from, target],
  ]);
  return [
    {
      reached: until('the copy has begun', () => {
        try {
          return readFileSync(to).byteLength > 0;
        } catch {
          return false;
        }
      }),
      finish: async () => {
        expect({ ...(await scp.exited), text: scp.stderr() }).toMatchObject({ code: 0 });
        expect(readFileSync(to).equals(readFileSync(from))).toBe(true);
      },
    },
  ];
}

test('a router that is killed and started again is a stall and nothing else for whatever runs through it', async () => {
  const others = [...(await databaseWork()), ...(await copyWork())];
  const moving = await Promise.all([download(), upload()]);
  await Promise.all([...moving, ...others].map(({ reached }) => reached));
  await installation.restartRouter('SIGKILL');
  for (const { hash } of moving) expect(await hash).toBe(wantedHash);
  for (const work of others) await work.finish();
  expect(tunnel.messages()).toContain('The way is back; connections go on.');
});

test('while the router is away streams wait, pam says so once, and both what was said and its end arrive afterwards', async () => {
  const waiting = await Promise.all([1, 2, 3].map(() => connectRaw(tunnel.port)));
  for (const { socket } of waiting) socket.write('hello\n');
  await Promise.all(waiting.map((one) => until('greeted', () => one.received().byteLength === 6)));
  const losses = (): number => tunnel.messages().split('The way to the gateway was lost').length - 1;
  const before = losses();
  await installation.router.kill('SIGKILL');
  await until('pam says so', () => losses() === before + 1);
  for (const { socket } of waiting) socket.end('meanwhile\n');
  await installation.restartRouter();
  for (const one of waiting) {
    expect(await one.ended).toBe('end');
    expect(one.received().toString()).toBe('hello\nmeanwhile\n');
  }
  expect(losses()).toBe(before + 1);
});

test('a relay process that dies alone is a stall, too', async () => {
  const connection = await connectRaw(tunnel.port);
  connection.socket.write('hello\n');
  await until('greeted', () => connection.received().byteLength === 6);
  const relay = descendantsOf(installation.router.child.pid).at(-1);
  if (relay === undefined) throw new Error('the router has no relay');
  process.kill(relay, 'SIGKILL');
  connection.socket.end('meanwhile\n');
  expect(await connection.ended).toBe('end');
  expect(connection.received().toString()).toBe('hello\nmeanwhile\n');
});

test('session list shows since when a stream is detached and until when it is waited for', async () => {
  const connection = await connectRaw(tunnel.port);
  connection.socket.write('hello\n');
  await until('greeted', () => connection.received().byteLength > 0);
  // The client dies: nobody resumes.
  tunnel.child.kill('SIGKILL');
  const detached = await until('a stream is shown as detached', async () => {
    const list = await installation.json(['session', 'list', '--streams']);
    return members(list, 'sessions')
      .flatMap((session) => members(session, 'streams'))
      .find((stream) => member(stream, 'detached_since') !== null);
  });
  expect(member(detached, 'state')).toBe('open');
  expect(Date.parse(String(member(detached, 'detached_until')))).toBeGreaterThan(
    Date.parse(String(member(detached, 'detached_since'))),
  );
});
